"""Tables and figures in the pages of `docs/`, filled in where they stand.

A page holds ``<!-- figure: FILE/KEY:FORMAT -->0.987<!-- end -->`` for a figure of
``benchmarks/results/FILE.json``, and a table between ``<!-- table: NAME -->`` and
``<!-- end of table -->``; comments are not shown. ``{{ FILE/KEY:FORMAT }}`` is a figure that was
not filled in yet. So a page reads the same on a code host and on the site.

    python scripts/site/fill.py        # fills all pages anew
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"
_TABLE = re.compile(
    r"<!-- table: ([\w-]+) -->(?:\n(?:(?!<!-- table:).)*?<!-- end of table -->)?", re.DOTALL
)
_FIGURE = re.compile(r"<!-- figure: ([^:>]+?)(?::(\S+))? -->[^<]*<!-- end -->")
_NEW_FIGURE = re.compile(r"\{\{ *([^|}:]+?) *(?:[|:] *([^}]+?) *)?\}\}")


def filled(text: str, where: str) -> str:
    """A page with its tables and figures as they are now.

    Parameters
    ----------
    text : str
        Markdown.
    where : str
        Name of the page, for errors.

    Raises
    ------
    ValueError
        If there is no such table or figure.

    Examples
    --------
    >>> filled("{{ lookup/queries }} peaks", "x.md")
    '<!-- figure: lookup/queries -->200000<!-- end --> peaks'
    >>> filled(filled("{{ lookup/queries }} peaks", "x.md"), "x.md")
    '<!-- figure: lookup/queries -->200000<!-- end --> peaks'
    """

    def table(match: re.Match[str]) -> str:
        return f"<!-- table: {match[1]} -->\n{_table(match[1], where)}\n<!-- end of table -->"

    def figure(match: re.Match[str]) -> str:
        value = format(_value(match[1], where), match[2] or "")
        asked = f"{match[1]}:{match[2]}" if match[2] else match[1]
        return f"<!-- figure: {asked} -->{value}<!-- end -->"

    for pattern, make in (
        (_TABLE, table),
        (_FIGURE, figure),
        (_NEW_FIGURE, figure),
    ):
        text = pattern.sub(make, text)
    return text


def _table(name: str, where: str) -> str:
    from tables import TABLES  # noqa: PLC0415 - beside this file, which is run by its path

    if name not in TABLES:
        raise ValueError(f"{where}: there is no table {name}; there are {sorted(TABLES)}.")
    return TABLES[name]().strip()


def _value(path: str, where: str) -> Any:  # noqa: ANN401 - of a JSON file
    name, *keys = path.split("/")
    file = RESULTS / f"{name}.json"
    if not file.exists():
        raise ValueError(f"{where}: {path}: there is no {file.name} in {RESULTS}.")
    value = json.loads(file.read_text())
    for key in keys:
        if not isinstance(value, dict) or key not in value:
            raise ValueError(f"{where}: {path}: {file.name} has no {key}.")
        value = value[key]
    return value


def main() -> None:
    """Fill all pages."""
    for page in sorted((ROOT / "docs").glob("*.md")):
        text = page.read_text("utf-8")
        if (new := filled(text, page.name)) != text:
            page.write_text(new, "utf-8")
            print(f"filled {page.relative_to(ROOT)}")


if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]
    main()
