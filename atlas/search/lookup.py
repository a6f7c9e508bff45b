"""Which row of an atlas serves each query peak, and how well it fits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from peakatlas.atlas.format.digests import DIGEST_BYTES
from peakatlas.atlas.format.schema import MASKED
from peakatlas.engine.errors import AtlasError, IntervalError
from peakatlas.engine.intervals.contig_names import check_contigs, in_other_style
from peakatlas.engine.intervals.table import as_intervals
from peakatlas.engine.summary import Summary

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from peakatlas.atlas.format.digests import DigestIndex
    from peakatlas.engine.intervals.overlap import CoordinateIndex, OverlapPairs
    from peakatlas.engine.intervals.table import Intervals, IntervalTable

    from .targets import JoinTarget

TIERS = ("exact", "sequence", "overlap", "embedded", "missing")
"""What served a peak, best first; `LookupResult.tier` points into it."""
EXACT, SEQUENCE, OVERLAP, EMBEDDED_NOW, MISSING = range(len(TIERS))

RECOMMENDED_MAX_OFFSET = 25
"""Limit in bp for those who want the tier ``overlap``; it is off unless asked for.

With the shipped model the centred cosine of a stand-in to the peak's own embedding is 0.97 at an
offset of 10 bp, 0.94 at 25, 0.90 at 50, 0.77 at 125 and 0.54 at 250, and the own peak is the
nearest of 3,000 in 100 %, 100 %, 100 %, 91 % and 37 % of cases (``benchmarks/fidelity.py``); 25 is
the largest of these offsets at which it is 0.9 or more. Models that read k-mers in a fixed frame,
as the Nucleotide Transformers do, lose far more at offsets that are no multiple of k.
Embedding what is missing costs none of this.
"""
PAIRS_AT_ONCE = 1 << 20


@dataclass(frozen=True, kw_only=True, repr=False)
class LookupResult(Summary):
    """One row a query peak, in the order of the query.

    Examples
    --------
    >>> import peakatlas
    >>> with peakatlas.Atlas.open("atlas.zarr") as atlas:
    ...     found = atlas.lookup(peakatlas.read_bed("more_peaks.bed"))
    >>> found.counts()["missing"], found.to_frame().columns[3]
    (10, 'tier')
    """

    peaks: Intervals
    """The query."""
    row: NDArray[np.int64]
    """Row of the atlas that serves the peak, -1 if none does, shape (n,)."""
    tier: NDArray[np.int8]
    """Index into `TIERS`, shape (n,)."""
    overlap_row: NDArray[np.int64]
    """Best overlapping row (the exact one, else smallest centre offset, ties to the lower row),
    -1 if none overlaps, shape (n,). Filled whatever the tier is."""
    overlap_bp: NDArray[np.int64]
    """Bases shared with `overlap_row`, 0 if there is none, shape (n,)."""
    centre_offset_bp: NDArray[np.int64]
    """Peak centre minus centre of `overlap_row` in bp, 0 if there is none, shape (n,)."""

    def __len__(self) -> int:
        return len(self.row)

    def counts(self) -> dict[str, int]:
        """Peaks by tier, every tier named."""
        counts = np.bincount(self.tier, minlength=len(TIERS))
        return {name: int(count) for name, count in zip(TIERS, counts, strict=True)}

    def _summary(self) -> tuple[str, dict[str, object]]:
        return f"Look-up of {len(self):,} peaks", dict(self.counts())

    def to_frame(self) -> pd.DataFrame:
        """One row a peak, in query order.

        Returns
        -------
        pandas.DataFrame
            ``chrom, start, end, tier, row, overlap_row, overlap_bp, centre_offset_bp``; rows and
            the offset are missing (``<NA>``) where there is none.
        """
        unserved, alone = self.row < 0, self.overlap_row < 0
        return self.peaks.to_frame().assign(
            tier=np.asarray(TIERS, dtype=object)[self.tier],
            row=pd.arrays.IntegerArray(self.row, unserved),
            overlap_row=pd.arrays.IntegerArray(self.overlap_row, alone),
            overlap_bp=self.overlap_bp,
            centre_offset_bp=pd.arrays.IntegerArray(self.centre_offset_bp, alone),
        )


@dataclass(frozen=True, kw_only=True)
class _Best:
    """Best overlap of each query, see `LookupResult`."""

    exact: NDArray[np.int64]
    row: NDArray[np.int64]
    shared: NDArray[np.int64]
    offset: NDArray[np.int64]


def look_up(
    atlas: JoinTarget,
    peaks: IntervalTable,
    *,
    max_offset: int | None = None,
    index: CoordinateIndex | None = None,
) -> LookupResult:
    """Find the row that serves each peak: the same interval, else the best overlap.

    Parameters
    ----------
    atlas : JoinTarget
    peaks, max_offset
        As in `Atlas.lookup`.
    index : CoordinateIndex, optional
        What finds the overlaps; the atlas's own when not given.

    Returns
    -------
    LookupResult
        A row whose window is all N (state ``masked``) serves only as ``exact``.

    Raises
    ------
    ContigError
        If the atlas has contigs of the peaks under another naming style.
    IntervalError
        If `max_offset` is negative, or `peaks` is a table that cannot be used.
    """
    peaks = as_intervals(peaks)
    if max_offset is not None and max_offset < 0:
        raise IntervalError(f"max_offset is {max_offset} bp; it must be 0 or more.")
    check_naming(peaks, atlas.intervals.contigs, atlas.name)
    best = _best_overlaps(index or atlas.coordinate_index, atlas.intervals, peaks)
    row, tier = best.exact.copy(), np.full(len(peaks), MISSING, np.int8)
    tier[row >= 0] = EXACT
    if max_offset is not None:
        near = (row < 0) & (best.row >= 0) & (np.abs(best.offset) <= max_offset)
        near[near] = atlas.state[best.row[near]] != MASKED
        row[near], tier[near] = best.row[near], OVERLAP
    return LookupResult(
        peaks=peaks,
        row=row,
        tier=tier,
        overlap_row=best.row,
        overlap_bp=best.shared,
        centre_offset_bp=best.offset,
    )


def with_sequences(
    found: LookupResult, digests: NDArray[np.uint8], index: DigestIndex
) -> LookupResult:
    """Let rows of the same sequence serve the peaks whose interval is not in the atlas.

    Parameters
    ----------
    found : LookupResult
    digests : uint8, shape (n, 16)
        Digest of each peak's window sequence(s) under the window rule of the atlas.
    index : DigestIndex
        Of the atlas.

    Raises
    ------
    AtlasError
        If `digests` has another length than there are peaks.
    """
    if digests.shape != (len(found), DIGEST_BYTES):
        raise AtlasError(
            f"digests has shape {digests.shape}; it must be ({len(found)}, {DIGEST_BYTES}), a row "
            "for each peak."
        )
    row = np.where(found.tier == EXACT, -1, index.find(digests))
    return with_rows(found, np.flatnonzero(row >= 0), row[row >= 0], SEQUENCE)


def with_rows(
    found: LookupResult, at: NDArray[np.int64], row: NDArray[np.int64], tier: int
) -> LookupResult:
    """The same result, but peaks `at` served by these rows under this tier."""
    rows, tiers = found.row.copy(), found.tier.copy()
    rows[at], tiers[at] = row, tier
    return replace(found, row=rows, tier=tiers)


def _best_overlaps(index: CoordinateIndex, rows: Intervals, peaks: Intervals) -> _Best:
    n = len(peaks)
    best = _Best(
        exact=np.full(n, -1, np.int64),
        row=np.full(n, -1, np.int64),
        shared=np.zeros(n, np.int64),
        offset=np.zeros(n, np.int64),
    )
    for pairs in index.pair_blocks(peaks, PAIRS_AT_ONCE):
        _fill_block(best, pairs, rows, peaks)
    return best


def _fill_block(best: _Best, pairs: OverlapPairs, rows: Intervals, peaks: Intervals) -> None:
    query, row = pairs.query, pairs.row
    offset = peaks.centres[query] - (rows.start[row] + rows.end[row]) // 2
    same = (peaks.start[query] == rows.start[row]) & (peaks.end[query] == rows.end[row])
    chosen = _least_of_each(query, np.where(same, -1, np.abs(offset)))
    at, row_at = query[chosen], row[chosen]
    best.exact[query[same]] = row[same]
    best.row[at], best.offset[at] = row_at, offset[chosen]
    best.shared[at] = np.minimum(peaks.end[at], rows.end[row_at]) - np.maximum(
        peaks.start[at], rows.start[row_at]
    )


def _least_of_each(group: NDArray[np.int64], cost: NDArray[np.int64]) -> NDArray[np.int64]:
    """Place of the first least cost of each group; equal groups are neighbours."""
    if not len(group):
        return np.empty(0, np.int64)
    first = np.flatnonzero(np.diff(group, prepend=-1))
    least = np.minimum.reduceat(cost, first)
    lowest = np.flatnonzero(cost == np.repeat(least, np.diff(first, append=len(group))))
    return lowest[np.diff(group[lowest], prepend=-1) > 0]


def check_naming(peaks: Intervals, contigs: tuple[str, ...], where: str) -> None:
    """Refuse peaks with contigs that are known under another naming style.

    Parameters
    ----------
    peaks : Intervals
    contigs : tuple of str
        Names that there are.
    where : str
        What has these names, for the text.

    Raises
    ------
    ContigError
    """
    if in_other_style(peaks, contigs):
        check_contigs(peaks, contigs, where)
