"""A plain pile-up peak caller, for walks where no peaks come with the fragments."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.ndimage import uniform_filter1d
from scipy.signal import find_peaks
from scipy.stats import poisson

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from numpy.typing import NDArray

WIDTH = 501
"""Width of a peak, bp; as ArchR has it."""
SMOOTHING = 150
"""Cut sites are spread over so many bp, as MACS does with --shift -75 --extsize 150."""
BACKGROUND = 10_000
"""Stretch about a place, in bp, whose mean pile-up is what chance would give, as in MACS."""
P_VALUE = 1e-5
"""Largest chance of so high a pile-up; the default of MACS."""


def read_fragments(path: Path) -> pd.DataFrame:
    """Columns ``chrom, start, end, barcode`` of a fragments file."""
    names = ["chrom", "start", "end", "barcode"]
    return pd.read_csv(path, sep="\t", comment="#", header=None, usecols=range(4), names=names)


def call_peaks(fragments: pd.DataFrame, barcodes: Collection[str]) -> pd.DataFrame:
    """Places where the cut sites of some cells pile up more than about them.

    Parameters
    ----------
    fragments : DataFrame
        Columns ``chrom, start, end, barcode``.
    barcodes : collection of str
        Cells to call from.

    Returns
    -------
    DataFrame
        Columns ``chrom, start, end``: peaks of `WIDTH` bp that do not overlap, sorted.
    """
    kept = fragments[fragments["barcode"].isin(list(barcodes))]
    parts = []
    for chrom, rows in kept.groupby("chrom", sort=True):
        sites = np.concatenate([rows["start"].to_numpy(), rows["end"].to_numpy() - 1])
        start = _summits(np.sort(sites)) - WIDTH // 2
        parts.append(pd.DataFrame({"chrom": chrom, "start": start, "end": start + WIDTH}))
    peaks = pd.concat(parts, ignore_index=True)
    return peaks[peaks["start"] >= 0].reset_index(drop=True)


def _summits(sites: NDArray[np.int64]) -> NDArray[np.int64]:
    """Centres of the peaks on one contig, in bp, by stretches that lie far from each other."""
    gaps = np.flatnonzero(np.diff(sites) > 2 * BACKGROUND) + 1
    return np.concatenate([_summits_of(stretch) for stretch in np.split(sites, gaps)])


def _summits_of(sites: NDArray[np.int64]) -> NDArray[np.int64]:
    first = int(sites[0]) - BACKGROUND
    cuts = np.bincount(sites - first, minlength=int(sites[-1]) - first + BACKGROUND).astype(float)
    piled = uniform_filter1d(cuts, SMOOTHING, mode="constant") * SMOOTHING
    about = uniform_filter1d(cuts, BACKGROUND, mode="constant") * SMOOTHING
    # isf is slow: once for each mean that occurs, to a thousandth
    means, which = np.unique(np.round(about, 3), return_inverse=True)
    limit = poisson.isf(P_VALUE, np.maximum(means, 1e-3))[which]
    found, _ = find_peaks(piled, height=limit + 1, distance=WIDTH)
    return np.asarray(found + first, np.int64)
