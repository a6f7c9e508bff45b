"""What mkdocs calls while it builds the site: generated pages, and links between pages."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

HERE = Path(__file__).resolve().parent
for folder in (HERE, HERE.parents[1]):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

from mkdocs.structure.files import File  # noqa: E402 - mkdocs loads this file by its path
from pages import PAGES, relinked  # noqa: E402 - as above

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
    """Links to files beside `docs/` lead to their pages."""
    name = page.file.src_uri
    return markdown if name in PAGES else relinked(markdown, f"docs/{name}")
