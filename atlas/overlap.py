"""Which intervals overlap which, exactly, by nested containment lists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from ncls import NCLS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from peakatlas.engine.intervals import Intervals

IndexName = Literal["ncls", "faiss"]


@dataclass(frozen=True, kw_only=True)
class OverlapPairs:
    """Pairs of a query and a row that share at least one bp, by query, then row."""

    query: NDArray[np.int64]
    """Row of the query table, shape (n_pairs,), ascending."""
    row: NDArray[np.int64]
    """Row of the indexed table, shape (n_pairs,), ascending within a query."""

    def __len__(self) -> int:
        return len(self.query)

    @classmethod
    def sorted(cls, query: NDArray[np.int64], row: NDArray[np.int64]) -> OverlapPairs:
        """Pairs found in any order, no two alike."""
        bits = int(row.max(initial=0)).bit_length()
        if int(query.max(initial=0)).bit_length() + bits > _INT64_BITS:
            order = np.lexsort((row, query))
            return cls(query=query[order], row=row[order])
        # One integer a pair: sorting those takes a tenth of the time of sorting by two columns.
        pair = np.sort((query << bits) | row)
        return cls(query=pair >> bits, row=pair & ((1 << bits) - 1))


_INT64_BITS = 63


class CoordinateIndex(Protocol):
    """What finds overlaps in a fixed table of intervals."""

    def overlap_pairs(self, queries: Intervals) -> OverlapPairs:
        """All pairs of a query and an indexed interval that share at least one bp."""
        ...


class OverlapIndex:
    """Exact overlap join on one int64 axis on which the contigs lie end to end.

    Parameters
    ----------
    intervals : Intervals
        Indexed table, in any order; duplicates and nesting are fine.

    Examples
    --------
    >>> from peakatlas.engine.intervals import Intervals
    >>> index = OverlapIndex(Intervals.from_columns(["chr1", "chr1"], [0, 50], [60, 90]))
    >>> pairs = index.overlap_pairs(Intervals.from_columns(["chr1", "chr2"], [55, 55], [70, 70]))
    >>> pairs.query.tolist(), pairs.row.tolist()
    ([0, 0], [0, 1])
    """

    def __init__(self, intervals: Intervals) -> None:
        self.contigs = intervals.contigs
        extent = np.zeros(len(self.contigs), np.int64)
        np.maximum.at(extent, intervals.contig_ids, intervals.end)
        self._extent = extent
        self._origin = np.concatenate([[0], np.cumsum(extent)[:-1]]).astype(np.int64)
        shift = self._origin[intervals.contig_ids] if len(intervals) else intervals.start
        rows = np.arange(len(intervals), dtype=np.int64)
        self._tree = (
            NCLS(intervals.start + shift, intervals.end + shift, rows) if len(rows) else None
        )

    def overlap_pairs(self, queries: Intervals) -> OverlapPairs:
        """All pairs of a query and an indexed interval that share at least one bp.

        Parameters
        ----------
        queries : Intervals
            In any order; contigs that the index does not have give no pairs.

        Returns
        -------
        OverlapPairs
        """
        contig = contig_codes(queries, self.contigs)
        rows = np.flatnonzero(contig >= 0)
        rows = rows[queries.start[rows] < self._extent[contig[rows]]]
        if self._tree is None or not len(rows):
            return OverlapPairs(query=np.empty(0, np.int64), row=np.empty(0, np.int64))
        shift = self._origin[contig[rows]]
        start = queries.start[rows] + shift
        end = np.minimum(queries.end[rows], self._extent[contig[rows]]) + shift
        # Queries in genome order walk the lists from end to end, which is four times as fast.
        order = np.argsort(start)
        found = self._tree.all_overlaps_both(start[order], end[order], rows[order])
        return OverlapPairs.sorted(*found)


def contig_codes(queries: Intervals, contigs: Sequence[str]) -> NDArray[np.int64]:
    """Index into `contigs` of each query, -1 where its contig is not there; shape (n,)."""
    position = {name: i for i, name in enumerate(contigs)}
    table = np.array([position.get(name, -1) for name in queries.contigs], np.int64)
    return table[queries.contig_ids] if len(queries) else np.empty(0, np.int64)
