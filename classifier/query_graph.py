"""Neighbours among the cells of a query, by their own peaks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from sklearn.decomposition import TruncatedSVD
from sklearn.neighbors import NearestNeighbors

from .sparse import binary, inverse_document_frequency, unit_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

N_AXES = 10


def neighbour_graph(counts: sp.csr_matrix, neighbours: int, *, seed: int = 0) -> sp.csr_matrix:
    """Which cells resemble which, from their open peaks alone.

    Latent semantic indexing of the cells' own peaks; the first axis, which follows depth, is left
    out. A pair is linked if either cell is among the nearest of the other.

    Parameters
    ----------
    counts : csr_matrix of float32, shape (n_cells, n_peaks)
    neighbours : int
    seed : int
        Of the decomposition.

    Returns
    -------
    csr_matrix of float32, shape (n_cells, n_cells)
        Rows sum to 1; each cell is linked with itself.

    References
    ----------
    Cusanovich et al. (2018), doi:10.1016/j.cell.2018.06.052: latent semantic indexing of cells.
    """
    opened = binary(counts)
    weights = inverse_document_frequency(counts)
    unit = unit_rows(sp.csr_matrix(opened @ sp.diags_array(weights), dtype=np.float32))
    k = min(neighbours, counts.shape[0] - 1)
    n_axes = min(N_AXES + 1, *(size - 1 for size in unit.shape))
    if k < 1 or n_axes < 2:
        return sp.csr_matrix(sp.eye_array(counts.shape[0], dtype=np.float32))
    cells = TruncatedSVD(n_axes, random_state=seed).fit_transform(unit)[:, 1:]
    cells /= np.maximum(np.linalg.norm(cells, axis=1, keepdims=True), 1e-12)
    near = NearestNeighbors(n_neighbors=k + 1).fit(cells).kneighbors_graph(cells)
    linked = sp.csr_matrix(near.maximum(near.T).maximum(sp.eye_array(len(cells))), dtype=np.float32)
    share = 1 / np.asarray(linked.sum(axis=1)).ravel()
    return sp.csr_matrix(sp.diags_array(share) @ linked, dtype=np.float32)


def share_among_neighbours(
    logs: NDArray[np.float32], counts: sp.csr_matrix, neighbours: int, *, seed: int = 0
) -> NDArray[np.float32]:
    """Log-probabilities averaged, as probabilities, over each cell and its neighbours.

    Where types are told by the DNA in other peaks than the reference's, a single cell is told
    poorly; which cells belong together is seen far better in the query's own peaks.

    Parameters
    ----------
    logs : float32, shape (n_cells, n_types)
        Log-probabilities.
    counts : csr_matrix of float32, shape (n_cells, n_peaks)
        Of the same cells.
    neighbours : int
        0 for none.
    seed : int

    References
    ----------
    Zhou et al. (2004), Learning with Local and Global Consistency: labels spread over a graph of
    the unlabelled; here for one step.
    """
    if neighbours == 0:
        return logs
    shared = neighbour_graph(counts, neighbours, seed=seed) @ np.exp(logs)
    return np.asarray(np.log(np.maximum(shared, 1e-12)), np.float32)
