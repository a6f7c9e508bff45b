"""Parts of the reference as queries, made like the query as it looks without labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from peakatlas.classifier.counts.sparse import kept_reads, thin

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from peakatlas.classifier.models.protocol import Floats, Matrix

    Rows = NDArray[np.int64]

FULL_RATIO = 0.95
"""Quantile of the peak ratios at which a pseudo-query keeps every read."""
LEAST_TYPES = 0.5
"""Share of the types that must stay in the reference when a batch is left out."""
LEAST_KNOWN = 0.5
"""Share of the cells whose type must be in other batches."""


def folds(
    codes: NDArray[np.int64],
    batches: NDArray[np.str_] | None,
    n_folds: int,
    seed: int,
) -> tuple[str, list[tuple[Rows, Rows]]]:
    """Rows of pseudo-references and pseudo-queries.

    Batches are left out where there are two or more and the other ones hold at least half of the
    types; else cells are dealt out type by type, so that a fold lacks a type only if that has
    fewer cells than there are folds.

    Returns
    -------
    str
        ``batch`` or ``fold``.
    list of (int64, int64)
        Reference and query rows.
    """
    rng = np.random.default_rng([seed, 1])
    by_batch = None if batches is None else _batch_groups(codes, batches, n_folds, rng)
    fold = _dealt(codes, n_folds, rng) if by_batch is None else by_batch
    pairs = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in np.unique(fold)]
    return "fold" if by_batch is None else "batch", pairs


def _dealt(codes: NDArray[np.int64], n_folds: int, rng: np.random.Generator) -> Rows:
    """Fold of each cell; every type's cells are spread as evenly as they can be."""
    fold = np.empty(len(codes), np.int64)
    start = 0
    for code in np.unique(codes):
        rows = rng.permutation(np.flatnonzero(codes == code))
        fold[rows] = (start + np.arange(len(rows))) % n_folds
        start += len(rows)
    return fold


def _batch_groups(
    codes: NDArray[np.int64],
    batches: NDArray[np.str_],
    n_folds: int,
    rng: np.random.Generator,
) -> Rows | None:
    """Group of each cell's batch, or None where batches cannot be left out."""
    names, index = np.unique(batches, return_inverse=True)
    if len(names) < 2:
        return None
    group = rng.permutation(len(names)) % n_folds
    fold = group[index]
    n_types, known = len(np.unique(codes)), 0
    for k in np.unique(fold):
        if len(np.unique(codes[fold != k])) < max(2, LEAST_TYPES * n_types):
            return None
        known += int(np.isin(codes[fold == k], codes[fold != k]).sum())
    return np.asarray(fold, np.int64) if known >= LEAST_KNOWN * len(codes) else None


def thinned_to(counts: Matrix, depth: Floats, rng: np.random.Generator) -> tuple[Matrix, float]:
    """Cells whose depths follow other cells', quantile by quantile, where these are lower.

    Parameters
    ----------
    counts : csr_matrix of float32, shape (n_cells, n_peaks)
        Reads.
    depth : float64, shape (n_query,)
        Reads a cell to be followed.

    Returns
    -------
    csr_matrix of float32, shape (n_cells, n_peaks)
    float
        Mean share of the reads kept.
    """
    own = np.maximum(np.asarray(counts.sum(axis=1), np.float64).ravel(), 1)
    rank = (np.argsort(np.argsort(own, kind="stable"), kind="stable") + 0.5) / max(len(own), 1)
    keep = np.minimum(1, np.quantile(depth, rank) / own)
    return thin(counts, keep, rng), float(keep.mean())


def like_query(counts: Matrix, ratio: Floats, depth: Floats, rng: np.random.Generator) -> Matrix:
    """Cells as the query's experiment would have seen them.

    Parameters
    ----------
    counts : csr_matrix of float32, shape (n_cells, n_peaks)
        Reads.
    ratio : float64, shape (n_peaks,)
        The query's ratio to what was expected of each peak.
    depth : float64, shape (n_query,)
        Reads of the query's cells.
    """
    if counts.nnz == 0:
        return counts
    keep = np.minimum(1, ratio / max(float(np.quantile(ratio, FULL_RATIO)), 1e-9))
    if keep.min() < 1:
        counts = kept_reads(counts, keep[counts.indices], rng)
    return thinned_to(counts, depth, rng)[0]
