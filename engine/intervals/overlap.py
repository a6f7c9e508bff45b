"""Which intervals overlap which, exactly, by nested containment lists.

Intervals of which none lies within another have ends in the order of their starts; those that a
query overlaps are then one run, found by two binary searches. A table is peeled into such layers:
first what lies within nothing before it, then the same of what is left. Real elements are two or
three layers, laid out in a tenth of the time that a tree takes. What is nested deeper than
`MAX_LAYERS` goes into the tree of the ncls package, whose cost does not grow with the depth.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from ncls import NCLS

from peakatlas.engine.errors import IntervalError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from peakatlas.engine.intervals.table import Intervals

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
_LONGEST_AXIS = 2.0**62
MAX_LAYERS = 8


class CoordinateIndex(Protocol):
    """What finds overlaps in a fixed table of intervals."""

    def overlap_pairs(self, queries: Intervals) -> OverlapPairs:
        """All pairs of a query and an indexed interval that share at least one bp."""
        ...

    def pair_blocks(self, queries: Intervals, most: int) -> Iterator[OverlapPairs]:
        """The same pairs in blocks of about `most` at a time, all of a query in one block."""
        ...


class OverlapIndex:
    """Exact overlap join on one int64 axis on which the contigs lie end to end.

    Parameters
    ----------
    intervals : Intervals
        Indexed table, in any order; duplicates and nesting are fine.

    Raises
    ------
    IntervalError
        If the contigs, laid end to end, are longer than whole numbers of 64 bits count.

    Examples
    --------
    >>> from peakatlas.engine.intervals.table import Intervals
    >>> index = OverlapIndex(Intervals.from_columns(["chr1", "chr1"], [0, 50], [60, 90]))
    >>> pairs = index.overlap_pairs(Intervals.from_columns(["chr1", "chr2"], [55, 55], [70, 70]))
    >>> pairs.query.tolist(), pairs.row.tolist()
    ([0, 0], [0, 1])
    """

    def __init__(self, intervals: Intervals) -> None:
        self.contigs = intervals.contigs
        extent = np.zeros(len(self.contigs), np.int64)
        np.maximum.at(extent, intervals.contig_ids, intervals.end)
        if extent.sum(dtype=np.float64) > _LONGEST_AXIS:
            raise IntervalError(
                f"an interval ends at {extent.max():,} bp, which is past any contig. Check the "
                "columns of the table."
            )
        self._extent = extent
        self._origin = np.concatenate([[0], np.cumsum(extent)[:-1]]).astype(np.int64)
        shift = self._origin[intervals.contig_ids] if len(intervals) else intervals.start
        start, end = intervals.start + shift, intervals.end + shift
        rows = np.arange(len(intervals), dtype=np.int64)
        if (np.diff(start) < 0).any():
            rows = np.argsort(start, kind="stable")
        self._layers: list[_Layer] = []
        while len(rows) and len(self._layers) < MAX_LAYERS:
            layer, rows = _peel(start, end, rows)
            self._layers.append(layer)
        self._tree = NCLS(start[rows], end[rows], rows) if len(rows) else None
        self._deep = np.sort(start[rows]), np.sort(end[rows])

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
        (pairs,) = self._blocks(queries, None)
        return pairs

    def pair_blocks(self, queries: Intervals, most: int) -> Iterator[OverlapPairs]:
        """The same pairs in blocks, so that memory does not grow with them.

        Parameters
        ----------
        queries : Intervals
            In any order; contigs that the index does not have give no pairs.
        most : int
            Pairs in a block; a query that has more is in a block with few others.

        Yields
        ------
        OverlapPairs
            All pairs of some queries, which are in no other block.
        """
        return self._blocks(queries, most)

    def _blocks(self, queries: Intervals, most: int | None) -> Iterator[OverlapPairs]:
        contig = contig_codes(queries, self.contigs)
        rows = np.flatnonzero(contig >= 0)
        rows = rows[queries.start[rows] < self._extent[contig[rows]]]
        shift = self._origin[contig[rows]]
        start = queries.start[rows] + shift
        end = np.minimum(queries.end[rows], self._extent[contig[rows]]) + shift
        # Queries in genome order walk the layers from end to end, which is four times as fast.
        order = np.argsort(start)
        start, end, rows = start[order], end[order], rows[order]
        spans = [layer.spans(start, end) for layer in self._layers]
        bounds = [0, len(rows)]
        if most is not None:
            counts = np.searchsorted(self._deep[0], end, side="left")
            counts -= np.searchsorted(self._deep[1], start, side="right")
            of_block = np.cumsum(sum((n for _, n in spans), counts)) // most
            bounds[1:1] = (np.flatnonzero(np.diff(of_block)) + 1).tolist()
        for low, high in pairwise(bounds):
            at = slice(low, high)
            found = [
                layer.pairs(first[at], counts[at], rows[at])
                for layer, (first, counts) in zip(self._layers, spans, strict=True)
            ]
            if self._tree is not None:
                found.append(self._tree.all_overlaps_both(start[at], end[at], rows[at]))
            empty = np.empty(0, np.int64)
            yield OverlapPairs.sorted(
                np.concatenate([empty, *(query for query, _ in found)]),
                np.concatenate([empty, *(row for _, row in found)]),
            )


@dataclass(frozen=True, kw_only=True)
class _Layer:
    """Intervals of which none lies within another: starts and ends both ascend."""

    start: NDArray[np.int64]
    end: NDArray[np.int64]
    row: NDArray[np.int64]
    """Row of the indexed table, shape (n,)."""

    def spans(
        self, start: NDArray[np.int64], end: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First interval of the layer that each query overlaps, and how many follow each other."""
        first = np.searchsorted(self.end, start, side="right")
        return first, np.searchsorted(self.start, end, side="left") - first

    def pairs(
        self, first: NDArray[np.int64], counts: NDArray[np.int64], query: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Query and row of each pair."""
        begin = np.cumsum(counts) - counts
        at = np.arange(counts.sum()) + np.repeat(first - begin, counts)
        return np.repeat(query, counts), self.row[at]


def _peel(
    start: NDArray[np.int64], end: NDArray[np.int64], rows: NDArray[np.int64]
) -> tuple[_Layer, NDArray[np.int64]]:
    """Split rows, by start, into those that end no earlier than any before them, and the rest."""
    ends = end[rows]
    outer = ends == np.maximum.accumulate(ends)
    kept = rows[outer]
    return _Layer(start=start[kept], end=ends[outer], row=kept), rows[~outer]


def contig_codes(queries: Intervals, contigs: Sequence[str]) -> NDArray[np.int64]:
    """Index into `contigs` of each query, -1 where its contig is not there; shape (n,)."""
    position = {name: i for i, name in enumerate(contigs)}
    table = np.array([position.get(name, -1) for name in queries.contigs], np.int64)
    return table[queries.contig_ids] if len(queries) else np.empty(0, np.int64)
