"""How objects show themselves: a few lines of text in a terminal, a table in a notebook."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MOST_NAMES = 8
_TABLE = "border-collapse:collapse;font-size:13px;margin:4px 0"
_NAME = "text-align:left;font-weight:600;padding:2px 18px 2px 0;vertical-align:top"
_VALUE = "text-align:left;padding:2px 0"


class Summary:
    """Text and HTML of an object, from the title and the facts that `_summary` gives."""

    def _summary(self) -> tuple[str, Mapping[str, object]]:
        """Title, and what there is to know; cheap, and never an error."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return as_text(*self._summary())

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return as_html(*self._summary())


def as_text(title: str, facts: Mapping[str, object]) -> str:
    """A title and its facts in two columns.

    Parameters
    ----------
    title : str
    facts : mapping
        Those that are None or empty texts are left out.

    Examples
    --------
    >>> print(as_text("Atlas 'a.zarr'", {"rows": 1200, "model": "peaklm-v3", "note": None}))
    Atlas 'a.zarr'
        rows   1,200
        model  peaklm-v3
    """
    told = _told(facts)
    width = max(map(len, told), default=0)
    return "\n".join([title, *(f"    {name:<{width}}  {value}" for name, value in told.items())])


def as_html(title: str, facts: Mapping[str, object]) -> str:
    """The same as a table of HTML; every text is escaped.

    Parameters
    ----------
    title : str
    facts : mapping

    Examples
    --------
    >>> as_html("Bundle", {"types": "B & <T>"}).partition("types</th>")[2].partition(">")[2]
    'B &amp; &lt;T&gt;</td></tr></table></div>'
    """
    rows = "".join(
        f'<tr><th scope="row" style="{_NAME}">{html.escape(name)}</th>'
        f'<td style="{_VALUE}">{html.escape(value)}</td></tr>'
        for name, value in _told(facts).items()
    )
    head = f"<strong>{html.escape(title)}</strong>"
    return f'<div class="peakatlas">{head}<table style="{_TABLE}">{rows}</table></div>'


def listed(names: Sequence[str], most: int = MOST_NAMES) -> str:
    """Names by commas; beyond `most` only how many more there are.

    Examples
    --------
    >>> listed(["B", "NK", "T"], most=2)
    'B, NK and 1 more'
    """
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _told(facts: Mapping[str, object]) -> dict[str, str]:
    """Facts as text, whole numbers with commas."""
    shown = {name: _text(value) for name, value in facts.items() if value is not None}
    return {name: text for name, text in shown.items() if text}


def _text(value: object) -> str:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return f"{value:,}" if whole else str(value)
