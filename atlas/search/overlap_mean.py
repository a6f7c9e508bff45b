"""One embedding a peak from all rows that it overlaps, without holding all of them in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from scipy.sparse import csr_array

from peakatlas.atlas.format.schema import MASKED
from peakatlas.engine.intervals.table import as_intervals

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from peakatlas.engine.intervals.overlap import CoordinateIndex
    from peakatlas.engine.intervals.table import Intervals, IntervalTable

PAIRS_PER_BLOCK = 1 << 14


class ReduceTarget(Protocol):
    """What the mean needs of an atlas."""

    dim: int

    @property
    def intervals(self) -> Intervals:
        """Interval of each row."""
        ...

    @property
    def state(self) -> NDArray[np.uint8]:
        """State of each row, see `schema.STATES`."""
        ...

    @property
    def coordinate_index(self) -> CoordinateIndex:
        """Overlap join over `intervals`."""
        ...

    def gather(self, rows: ArrayLike) -> NDArray[np.float32]:
        """Embeddings of rows, float32, shape (n, dim)."""
        ...


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
    atlas: ReduceTarget, peaks: IntervalTable, *, index: CoordinateIndex | None = None
) -> OverlapMean:
    """Average the rows that each peak overlaps, weighted by the bases shared.

    Sums are float32, in the order of the rows: a peak's mean does not depend, to the bit, on the
    peaks beside it. Memory grows with the number of peaks only, by ``4 dim`` bytes each.

    Parameters
    ----------
    atlas : ReduceTarget
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
    pairs = (index or atlas.coordinate_index).overlap_pairs(peaks)
    known = atlas.state[pairs.row] != MASKED
    query, row = pairs.query[known], pairs.row[known]
    rows = atlas.intervals
    shared = np.minimum(peaks.end[query], rows.end[row])
    shared -= np.maximum(peaks.start[query], rows.start[row])
    n_rows = np.bincount(query, minlength=len(peaks))
    total = np.zeros(len(peaks), np.int64)
    np.add.at(total, query, shared)
    values = np.empty((len(peaks), atlas.dim), np.float32)
    values[n_rows == 0] = np.nan
    weight = (shared / total[query]).astype(np.float32)
    _fill_means(values, atlas, n_rows, row, weight)
    return OverlapMean(values=values, n_rows=n_rows, overlap_bp=total)


def _fill_means(
    values: NDArray[np.float32],
    atlas: ReduceTarget,
    n_rows: NDArray[np.int64],
    row: NDArray[np.int64],
    weight: NDArray[np.float32],
) -> None:
    """Set the rows of `values` that have any; pairs lie by query, `n_rows` of each."""
    first = np.concatenate([[0], np.cumsum(n_rows)])
    served = np.flatnonzero(n_rows)
    # Peaks in the order of their rows: a block then reads neighbouring rows, and reads them once.
    served = served[np.argsort(row[first[served]], kind="stable")]
    block = np.cumsum(n_rows[served]) // PAIRS_PER_BLOCK
    for part in np.split(served, np.flatnonzero(np.diff(block)) + 1):
        counts = n_rows[part]
        bounds = np.concatenate([[0], np.cumsum(counts)])
        at = np.arange(bounds[-1]) + np.repeat(first[part] - bounds[:-1], counts)
        unique, column = np.unique(row[at], return_inverse=True)
        shape = (len(part), len(unique))
        values[part] = csr_array((weight[at], column, bounds), shape) @ atlas.gather(unique)
