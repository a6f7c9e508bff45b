"""Rows of an atlas are sorted in genome order and never repeat."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from peakatlas.engine.errors import AtlasError

from .schema import SHOWN

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from peakatlas.engine.intervals.table import Intervals


def sorted_unique(
    intervals: Intervals, contigs: Iterable[str]
) -> tuple[Intervals, NDArray[np.int64]]:
    """Sort by contig, start, end and collapse repeats.

    Parameters
    ----------
    intervals : Intervals
        n intervals.
    contigs : iterable of str
        Contigs in genome order; those it lacks follow in their own order.

    Returns
    -------
    Intervals
        Sorted, without repeats, over the contigs in use.
    int64, shape (n,)
        Row of the sorted table that each interval became.

    Examples
    --------
    >>> from peakatlas.engine.intervals.table import Intervals
    >>> peaks = Intervals.from_columns(["2", "1", "2"], [5, 7, 5], [6, 8, 6])
    >>> unique, became = sorted_unique(peaks, ["1", "2"])
    >>> unique.names(), became.tolist()
    (['1:7-8', '2:5-6'], [1, 0, 1])
    """
    used = {intervals.contigs[i] for i in np.unique(intervals.contig_ids)}
    ranked = dict.fromkeys((*contigs, *intervals.contigs))
    table = intervals.recoded([name for name in ranked if name in used])
    if _ascend(table):  # as most BED files are: no second table in memory
        return table, np.arange(len(table), dtype=np.int64)
    order = table.genome_order()
    ordered = table.take(order)
    first = unlike_previous(ordered)
    became = np.empty(len(ordered), np.int64)
    became[order] = np.cumsum(first) - 1
    return ordered.take(first), became


def unlike_previous(table: Intervals) -> NDArray[np.bool_]:
    """Which rows hold another interval than the row before, shape (n,); the first one does.

    Examples
    --------
    >>> from peakatlas.engine.intervals.table import Intervals
    >>> unlike_previous(Intervals.from_columns(["1", "1", "1"], [5, 5, 7], [9, 9, 9])).tolist()
    [True, False, True]
    """
    columns = (table.contig_ids, table.start, table.end)
    first = np.ones(len(table), np.bool_)
    first[1:] = np.logical_or.reduce([column[1:] != column[:-1] for column in columns])
    return first


def _ascend(table: Intervals) -> bool:
    """Whether each interval comes after the one before it, and none repeats."""
    contig, start, end = (
        column[1:] > column[:-1] for column in (table.contig_ids, table.start, table.end)
    )
    same_contig = table.contig_ids[1:] == table.contig_ids[:-1]
    later = (start | ((table.start[1:] == table.start[:-1]) & end)) & same_contig
    return bool((contig | later).all())


def check_order(intervals: Intervals) -> None:
    """Refuse rows that are not in genome order, are repeated, or none.

    Raises
    ------
    AtlasError
        Names the first of them.
    """
    if not len(intervals):
        raise AtlasError("an atlas needs at least one interval, and there is none.")
    order = intervals.genome_order()
    moved = np.flatnonzero(order != np.arange(len(order)))
    if len(moved):
        raise AtlasError(
            f"the intervals are not in genome order (first at row {moved[0]}: "
            f"{intervals.take(moved[:1]).names()[0]}). Sort them by contig, start, end."
        )
    repeated = np.flatnonzero(~unlike_previous(intervals))  # equal rows are neighbours
    if len(repeated):
        shown = ", ".join(intervals.take(repeated[:SHOWN]).names())
        raise AtlasError(f"{len(repeated)} interval(s) are repeated: {shown}. Remove them.")
