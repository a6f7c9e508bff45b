"""One embedding a peak from all rows that it overlaps, without holding all of them in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array, eye_array, hstack

from peakatlas.atlas.format.schema import MASKED
from peakatlas.engine.intervals.table import as_intervals

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from peakatlas.engine.intervals.overlap import CoordinateIndex, OverlapPairs
    from peakatlas.engine.intervals.table import Intervals, IntervalTable

    from .targets import AtlasRows

PAIRS_AT_ONCE = 1 << 18
"""Pairs that are joined at a time."""
PAIRS_PER_BLOCK = 1 << 14
"""Pairs whose rows are in memory at a time."""


@dataclass(frozen=True, kw_only=True)
class OverlapMean:
    """Mean embedding of each peak over the rows that it overlaps, in the order of the peaks."""

    values: NDArray[np.float32]
    """Mean weighted by shared bp, shape (n, dim); NaN where `overlap_bp` is 0."""
    n_rows: NDArray[np.int64]
    """Embedded rows that the peak overlaps, shape (n,)."""
    overlap_bp: NDArray[np.int64]
    """Sum of the bases shared with each of them, shape (n,)."""


def overlap_mean(
    atlas: AtlasRows, peaks: IntervalTable, *, index: CoordinateIndex | None = None
) -> OverlapMean:
    """Average the rows that each peak overlaps, weighted by the bases shared.

    Sums are float32, in the order of the rows: a peak's mean does not depend, to the bit, on the
    peaks beside it. Memory grows with the number of peaks only, by ``4 dim`` bytes each, however
    many rows they overlap.

    Parameters
    ----------
    atlas : AtlasRows
        Rows whose window is all N (state ``masked``) are left out.
    peaks : Intervals, pandas.DataFrame or pyranges.PyRanges
        In any order; repeats are fine.
    index : CoordinateIndex, optional
        What finds the overlaps; the atlas's own when not given.

    Returns
    -------
    OverlapMean

    Raises
    ------
    IntervalError
        If `peaks` is a table that cannot be used.
    AtlasError
        If a shard is damaged.
    """
    peaks = as_intervals(peaks)
    found = OverlapMean(
        values=np.full((len(peaks), atlas.dim), np.nan, np.float32),
        n_rows=np.zeros(len(peaks), np.int64),
        overlap_bp=np.zeros(len(peaks), np.int64),
    )
    for pairs in (index or atlas.coordinate_index).pair_blocks(peaks, PAIRS_AT_ONCE):
        _fill(found, atlas, peaks, pairs)
    return found


def _fill(found: OverlapMean, atlas: AtlasRows, peaks: Intervals, pairs: OverlapPairs) -> None:
    """Set the rows of all peaks of a block of pairs."""
    known = atlas.state[pairs.row] != MASKED
    query, row, rows = pairs.query[known], pairs.row[known], atlas.intervals
    if not len(query):
        return
    shared = np.minimum(peaks.end[query], rows.end[row])
    shared -= np.maximum(peaks.start[query], rows.start[row])
    first = np.flatnonzero(np.diff(query, prepend=-1))
    served, counts = query[first], np.diff(first, append=len(query))
    total = np.add.reduceat(shared, first)
    found.n_rows[served], found.overlap_bp[served] = counts, total
    weight = (shared / np.repeat(total, counts)).astype(np.float32)
    # Peaks in the order of their rows: a block then reads neighbouring rows, and reads them once.
    order = np.argsort(row[first], kind="stable")
    block = np.cumsum(counts[order]) // PAIRS_PER_BLOCK
    for part in np.split(order, np.flatnonzero(np.diff(block)) + 1):
        begin = np.repeat(first[part] - np.cumsum(counts[part]) + counts[part], counts[part])
        at = np.arange(counts[part].sum()) + begin
        found.values[served[part]] = _sums(atlas, counts[part], row[at], weight[at])


def _sums(
    atlas: AtlasRows,
    counts: NDArray[np.int64],
    row: NDArray[np.int64],
    weight: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Weighted sum of the rows of each peak, whose pairs follow each other.

    The rows of peaks that have very many are read in pieces.
    """
    longest, stop = int(counts.max()), np.cumsum(counts)
    total = np.zeros((len(counts), atlas.dim), np.float32)
    for low in range(0, longest, PAIRS_PER_BLOCK):
        taken = np.clip(counts - low, 0, PAIRS_PER_BLOCK)
        bounds = np.concatenate([[0], np.cumsum(taken)])
        begin = stop - counts + low - bounds[:-1]
        at = np.arange(bounds[-1]) + np.repeat(begin, taken)
        unique, column = np.unique(row[at], return_inverse=True)
        matrix = csr_array((weight[at], column, bounds), (len(counts), len(unique)))
        values = atlas.gather(unique)
        if low:  # goes on with the sum so far: the bits are those of one sum
            matrix = hstack([eye_array(len(counts), dtype=np.float32, format="csr"), matrix], "csr")
            values = np.concatenate([total, values])
        total = matrix @ values
    return total
