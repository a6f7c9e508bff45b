"""What mkdocs calls while it builds the site: generated pages, tables and figures.

A page may hold ``<!-- table: NAME -->``, replaced by a table of `tables.TABLES`, and
``{{ FILE/KEY | FORMAT }}``, replaced by a figure of ``benchmarks/results/FILE.json``. A name that
is not there ends the build.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

HERE = Path(__file__).resolve().parent
for folder in (HERE, HERE.parents[1]):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

from fill import filled  # noqa: E402 - mkdocs loads this file by its path
from mkdocs.structure.files import File  # noqa: E402 - as above
from pages import PAGES  # noqa: E402 - as above

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made from the code, the results and files elsewhere."""
    for name, make in PAGES.items():
        files.append(File.generated(config, name, content=make()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put tables and figures in their places."""
    return filled(markdown, page.file.src_uri)
