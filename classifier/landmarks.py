"""Neighbours of many cells, sought among some of them so that time and memory stay bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.neighbors import NearestNeighbors

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK = 8192


def landmark_mean(
    values: NDArray[np.float32],
    cells: NDArray[np.float32],
    landmarks: NDArray[np.int64],
    neighbours: int,
) -> NDArray[np.float32]:
    """Mean over a cell and the landmarks nearest to it, itself left out of these.

    With every cell a landmark, it is the mean over a cell and its nearest neighbours.

    Parameters
    ----------
    values : float32, shape (n_cells,) or (n_cells, n_values)
    cells : float32, shape (n_cells, dim)
        Where the cells are.
    landmarks : int64, shape (n_landmarks,)
        Rows of some cells, in ascending order.
    neighbours : int
        Below the number of landmarks.

    Returns
    -------
    float32, the shape of `values`

    Examples
    --------
    >>> place = np.array([[0.0], [1.0], [5.0], [6.0]], np.float32)
    >>> landmark_mean(np.array([0, 2, 4, 8], np.float32), place, np.array([0, 3]), 1)
    array([4., 1., 6., 4.], dtype=float32)
    """
    index = NearestNeighbors(n_neighbors=neighbours + 1).fit(cells[landmarks])
    known = values[landmarks]
    mean = np.empty_like(values)
    for start in range(0, len(cells), BLOCK):
        part = np.arange(start, min(start + BLOCK, len(cells)))
        near = index.kneighbors(cells[part], return_distance=False)
        itself = (landmarks[near] == part[:, None]).any(axis=1)
        total = known[near].sum(axis=1)
        total[~itself] += values[part[~itself]] - known[near[~itself, -1]]
        mean[part] = total / np.float32(neighbours + 1)
    return mean
