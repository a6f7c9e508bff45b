"""Tables and figures in the text of a page."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tables import TABLES

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results"
_TABLE = re.compile(r"<!-- table: ([\w-]+) -->")
_FIGURE = re.compile(r"\{\{ *([^|}]+?) *(?:\| *([^}]+?) *)?\}\}")


def filled(text: str, where: str) -> str:
    """A page with its tables and figures.

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
    >>> filled("{{ schep2017/cells }} cells", "x.md")
    '600 cells'
    """

    def table(match: re.Match[str]) -> str:
        if match[1] not in TABLES:
            raise ValueError(f"{where}: there is no table {match[1]}; there are {sorted(TABLES)}.")
        return TABLES[match[1]]()

    def figure(match: re.Match[str]) -> str:
        return format(_value(match[1], where), match[2] or "")

    return _FIGURE.sub(figure, _TABLE.sub(table, text))


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
