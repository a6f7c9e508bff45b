"""Two-dimensional maps of cells, for the eye only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

if TYPE_CHECKING:
    from numpy.typing import NDArray

LANDMARKS = 1500
SMALLEST = 20
NEAREST = 4


def cell_map(cells: NDArray[np.float32], *, seed: int = 0) -> NDArray[np.float32]:
    """t-SNE of up to 1,500 cells; every other cell lies among its nearest of these.

    Parameters
    ----------
    cells : float32, shape (n_cells, dim)
    seed : int

    Returns
    -------
    float32, shape (n_cells, 2)
        The two main axes instead, for fewer than 20 cells.
    """
    if len(cells) < SMALLEST or cells.shape[1] < 2:
        return _main_axes(cells)
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.permutation(len(cells))[:LANDMARKS])
    landmarks = cells[chosen].astype(np.float64)
    perplexity = min(30.0, (len(chosen) - 1) / 3)
    tsne = TSNE(2, perplexity=perplexity, init="pca", random_state=seed, n_jobs=1)
    with threadpool_limits(1, "openmp"):  # on so few points threads wait more than they work
        placed = tsne.fit_transform(landmarks)
    if len(chosen) == len(cells):
        return np.asarray(placed, np.float32)
    near = NearestNeighbors(n_neighbors=NEAREST).fit(landmarks)
    distance, index = near.kneighbors(cells.astype(np.float64))
    weight = 1 / (distance + 1e-3 * distance.mean() + 1e-9)
    weight /= weight.sum(axis=1, keepdims=True)
    return np.asarray((placed[index] * weight[:, :, None]).sum(axis=1), np.float32)


def _main_axes(cells: NDArray[np.float32]) -> NDArray[np.float32]:
    flat = np.zeros((len(cells), 2), np.float32)
    k = min(2, len(cells), cells.shape[1])
    if k:
        flat[:, :k] = PCA(k, random_state=0).fit_transform(cells)
    return flat
