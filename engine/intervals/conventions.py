"""Whether starts count from 0 or from 1, by what stands beside them in a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from peakatlas.engine.errors import IntervalError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

WIDTH_NAMES = ("width", "length")
"""Columns, in lower case, that say how wide an interval is (GRanges, MACS, featureCounts)."""
_ONE_BASED_FIRST = {"geneid": "SAF", "peakid": "HOMER"}
"""First columns, in lower case, of tables whose starts count from 1, and what writes them."""
_GRANGES = "seqnames"
_SHOWN = 5


def zero_based_starts(
    start: NDArray[np.int64], end: NDArray[np.int64], width: NDArray[np.int64], source: str
) -> NDArray[np.int64]:
    """Starts that count from 0, by a column of widths.

    ``end - start`` beside a width of one more shows that starts count from 1, as R's GRanges and
    the ``_peaks.xls`` of MACS have them.

    Parameters
    ----------
    start, end, width : int64, shape (n,)
        As in the table.
    source : str
        Name of the table, for an error.

    Raises
    ------
    IntervalError
        If the widths fit neither way of counting in all rows.

    Examples
    --------
    >>> zero_based_starts(np.array([101]), np.array([600]), np.array([500]), "p.xls").tolist()
    [100]
    """
    extra = width - (end - start)
    if (extra == 0).all():
        return start
    if (extra == 1).all():
        return start - 1
    bad = np.flatnonzero(extra != (1 if (extra == 1).sum() > (extra == 0).sum() else 0))[:_SHOWN]
    shown = ", ".join(f"row {row} {start[row]}-{end[row]} of {width[row]} bp" for row in bad)
    raise IntervalError(
        f"{source}: the column of widths is neither end - start nor end - start + 1 in all rows "
        f"({shown}), so whether starts count from 0 or 1 is unknown. Mend it, or remove the column."
    )


def refuse_one_based(columns: Iterable[str], source: str) -> None:
    """Refuse a table, without a column of widths, of a kind whose starts count from 1.

    Parameters
    ----------
    columns : iterable of str
        Names in lower case, in order; HOMER puts its command line after the first.
    source : str
        Name of the table.

    Raises
    ------
    IntervalError
        Says how to write it from 0.
    """
    names = list(columns)
    first = names[0].split(None, 1)[0] if names and names[0].strip() else ""
    kind = "GRanges" if _GRANGES in names else _ONE_BASED_FIRST.get(first)
    if kind is not None:
        column = _GRANGES if _GRANGES in names else first
        raise IntervalError(
            f"{source}: a column {column!r} is of {kind}, whose starts count from 1, "
            "and no column 'width' shows it. Take 1 from each start and name the columns chrom, "
            "start, end; or add 'width'."
        )
