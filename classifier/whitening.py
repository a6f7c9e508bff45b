"""Making columns comparable: whitening of peak embeddings, moments of cell embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_EPS = 1e-6


def whitening(
    values: NDArray[np.float32], n_axes: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean of embeddings, and the axes on which they have unit variance and no correlation.

    Parameters
    ----------
    values : float32, shape (n_peaks, dim)
        Without NaN.
    n_axes : int
        Axes wanted, the widest first; fewer where peaks or variance do not allow as many.

    Returns
    -------
    mean : float32, shape (dim,)
    axes : float32, shape (dim, n_axes)
        The largest entry of each is positive.
    """
    dim = values.shape[1]
    if len(values) < 2:
        return np.zeros(dim, np.float32), np.zeros((dim, 0), np.float32)
    wide = values.astype(np.float64)
    spread, axes = np.linalg.eigh(np.cov(wide.T).reshape(dim, dim))
    order = np.argsort(spread)[::-1][: min(n_axes, len(values) - 1)]
    order = order[spread[order] > max(spread.max(), _EPS) * 1e-8]
    whiten = axes[:, order] / np.sqrt(spread[order])
    signs = np.sign(whiten[np.abs(whiten).argmax(axis=0), np.arange(whiten.shape[1])])
    return wide.mean(axis=0).astype(np.float32), np.ascontiguousarray(whiten * signs, np.float32)


def moments(block: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation of each column, float32, shape (dim,) each."""
    scale = block.std(axis=0, dtype=np.float64) + _EPS
    return block.mean(axis=0, dtype=np.float64).astype(np.float32), scale.astype(np.float32)


def used_moments(
    block: NDArray[np.float32], used: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """`moments` of the rows that are used, or of all rows where none is."""
    return moments(block[used] if used.any() else block)
