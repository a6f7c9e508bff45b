"""Neighbours among the cells of a query, by their own peaks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from sklearn.decomposition import TruncatedSVD
from sklearn.neighbors import NearestNeighbors

from peakatlas.classifier.counts.sparse import binary, inverse_document_frequency, unit_rows

from .landmarks import landmark_mean

if TYPE_CHECKING:
    from numpy.typing import NDArray

N_AXES = 10


@dataclass(frozen=True, eq=False)
class OwnAxes:
    """Latent semantic indexing of a query's cells by their own peaks.

    The first axis, which follows depth, is left out.

    Parameters
    ----------
    weights : float32, shape (n_peaks,)
        Inverse document frequency.
    axes : TruncatedSVD
        Fitted on unit rows.
    fitted : float32, shape (n_cells, n_axes - 1)
        Places of the cells that it was fitted on.

    References
    ----------
    Cusanovich et al. (2018), doi:10.1016/j.cell.2018.06.052: latent semantic indexing of cells.
    """

    weights: NDArray[np.float32]
    axes: TruncatedSVD
    fitted: NDArray[np.float32]

    @classmethod
    def fit(
        cls,
        counts: sp.csr_matrix,
        weights: NDArray[np.float32],
        *,
        n_axes: int = N_AXES,
        seed: int = 0,
    ) -> OwnAxes:
        """Fit on cells.

        Parameters
        ----------
        counts : csr_matrix of float32, shape (n_cells, n_peaks)
            At least three cells and peaks.
        weights : float32, shape (n_peaks,)
        n_axes : int
            Axes to keep, at most.
        seed : int
            Of the decomposition.
        """
        axes = TruncatedSVD(
            min(n_axes + 1, *(size - 1 for size in counts.shape)), random_state=seed
        )
        return cls(weights, axes, _directions(axes.fit_transform(_weighted(counts, weights))))

    def places(self, counts: sp.csr_matrix) -> NDArray[np.float32]:
        """Where cells are on the axes, of length 1, float32, shape (n_cells, n_axes - 1)."""
        return _directions(self.axes.transform(_weighted(counts, self.weights)))


def neighbour_graph(counts: sp.csr_matrix, neighbours: int, *, seed: int = 0) -> sp.csr_matrix:
    """Which cells resemble which, from their open peaks alone.

    By `OwnAxes`; a pair is linked if either cell is among the nearest of the other.

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
    """
    k = min(neighbours, counts.shape[0] - 1)
    if k < 1 or min(counts.shape) < 3:
        return sp.csr_matrix(sp.eye_array(counts.shape[0], dtype=np.float32))
    cells = OwnAxes.fit(counts, inverse_document_frequency(counts), seed=seed).fitted
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
    return _logs(neighbour_graph(counts, neighbours, seed=seed) @ np.exp(logs))


def share_among_landmarks(
    logs: NDArray[np.float32],
    cells: NDArray[np.float32],
    landmarks: NDArray[np.int64],
    neighbours: int,
) -> NDArray[np.float32]:
    """`share_among_neighbours` of so many cells that neighbours are sought among some of them.

    Parameters
    ----------
    logs : float32, shape (n_cells, n_types)
        Log-probabilities.
    cells : float32, shape (n_cells, n_axes - 1)
        `OwnAxes.places` of the cells.
    landmarks : int64, shape (n_landmarks,)
        Ascending rows of the cells that may be neighbours.
    neighbours : int
    """
    return _logs(landmark_mean(np.exp(logs), cells, landmarks, neighbours))


def _logs(chances: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(np.log(np.maximum(chances, 1e-12)), np.float32)


def _weighted(counts: sp.csr_matrix, weights: NDArray[np.float32]) -> sp.csr_matrix:
    return unit_rows(sp.csr_matrix(binary(counts) @ sp.diags_array(weights), dtype=np.float32))


def _directions(cells: NDArray[np.float32]) -> NDArray[np.float32]:
    return unit_places(cells[:, 1:])


def unit_places(cells: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cells as vectors of length 1; what lies at 0 stays there."""
    length = np.maximum(np.linalg.norm(cells, axis=1, keepdims=True), 1e-12)
    return np.asarray(cells / length, np.float32)
