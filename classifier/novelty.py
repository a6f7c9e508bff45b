"""How strange a cell is to the reference, apart from how shallow it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.neighbors import NearestNeighbors

from .landmarks import landmark_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

SHRINKAGE = 0.3
NEIGHBOURS = (0, 5, 15)
CELLS_A_NEIGHBOUR = 20
N_LEVELS = 201


@dataclass(frozen=True, eq=False)
class ReferenceShape:
    """Where the reference's types lie: one mean a type, one covariance within, one overall.

    The distance is the relative Mahalanobis distance of Ren et al. (2021), A Simple Fix to
    Mahalanobis Distance for Improving Near-OOD Detection; covariances are shrunk towards a
    multiple of the identity.
    """

    means: NDArray[np.float32]
    """Shape (n_types, dim)."""
    within: NDArray[np.float32]
    """Inverse covariance within types, shape (dim, dim)."""
    centre: NDArray[np.float32]
    """Mean of all cells, shape (dim,)."""
    overall: NDArray[np.float32]
    """Inverse covariance of all cells, shape (dim, dim)."""

    @classmethod
    def fit(
        cls, cells: NDArray[np.float32], types: NDArray[np.int64], n_types: int
    ) -> ReferenceShape:
        """Fit on reference cells.

        Parameters
        ----------
        cells : float32, shape (n_cells, dim)
        types : int64, shape (n_cells,)
        n_types : int
        """
        values = cells.astype(np.float64)
        sizes = np.maximum(np.bincount(types, minlength=n_types), 1)
        sums = np.zeros((n_types, values.shape[1]))
        np.add.at(sums, types, values)
        means = sums / sizes[:, None]
        weights = 1 / sizes[types]
        centre = np.average(values, axis=0, weights=weights)
        return cls(
            means.astype(np.float32),
            _precision(values - means[types], weights),
            centre.astype(np.float32),
            _precision(values - centre, weights),
        )

    def distance(self, cells: NDArray[np.float32]) -> NDArray[np.float32]:
        """Relative Mahalanobis distance to the nearest type, float32, shape (n_cells,)."""
        nearest = np.full(len(cells), np.inf, np.float32)
        for mean in self.means:
            nearest = np.minimum(nearest, _squared(cells - mean, self.within))
        return nearest - _squared(cells - self.centre, self.overall)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays that make it up, by name."""
        return {name: getattr(self, name) for name in ("means", "within", "centre", "overall")}


@dataclass(frozen=True, eq=False)
class Surprise:
    """Turns a score into how rare it is among held-out reference cells of the same depth.

    Parameters
    ----------
    edges : float32, shape (n_bins - 1,)
        Bounds of the depth bins, in log10 counts.
    levels : float32, shape (n_bins, 201)
        Quantiles of the score in each bin, ascending.
    """

    edges: NDArray[np.float32]
    levels: NDArray[np.float32]

    @classmethod
    def fit(
        cls, scores: NDArray[np.float32], depth: NDArray[np.float32], *, n_bins: int = 5
    ) -> Surprise:
        """Fit on held-out reference cells; bins hold equally many cells, at least 50.

        Parameters
        ----------
        scores, depth : float32, shape (n_cells,)
            Depth in counts.
        n_bins : int
        """
        log_depth = np.log10(np.maximum(depth, 1))
        bins = max(1, min(n_bins, len(scores) // 50))
        edges = np.quantile(log_depth, np.arange(1, bins) / bins).astype(np.float32)
        place = np.searchsorted(edges, log_depth)
        grid = np.linspace(0, 1, N_LEVELS)
        levels = [
            np.quantile(scores[place == b] if (place == b).any() else scores, grid)
            for b in range(bins)
        ]
        return cls(edges, np.asarray(levels, np.float32))

    def __call__(
        self, scores: NDArray[np.float32], depth: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """``-log10`` of the share of held-out reference cells with such a score or a higher one.

        Parameters
        ----------
        scores, depth : float32, shape (n_cells,)

        Returns
        -------
        float32, shape (n_cells,)
            From 0 to 2.3 (one in 200).
        """
        place = np.searchsorted(self.edges, np.log10(np.maximum(depth, 1)))
        below = np.empty(len(scores), np.float64)
        for b in range(len(self.levels)):
            rows = place == b
            below[rows] = np.searchsorted(self.levels[b], scores[rows]) / N_LEVELS
        return (-np.log10(1 - below + 1 / N_LEVELS)).clip(0).astype(np.float32)


def neighbours_of(n_cells: int) -> int:
    """With how many neighbours a cell shares its novelty in a set of this size.

    Examples
    --------
    >>> [neighbours_of(n) for n in (50, 200, 10_000)]
    [0, 5, 15]
    """
    return max(k for k in NEIGHBOURS if k * CELLS_A_NEIGHBOUR <= n_cells)


def smooth(
    values: NDArray[np.float32],
    cells: NDArray[np.float32],
    neighbours: int,
    among: NDArray[np.int64] | None = None,
) -> NDArray[np.float32]:
    """Mean over a cell and its nearest neighbours: strange cells of one type stand together.

    Parameters
    ----------
    values : float32, shape (n_cells,)
    cells : float32, shape (n_cells, dim)
        Embedding in which neighbours are sought, by angle.
    neighbours : int
        At most as many as there are other cells.
    among : int64, shape (n,), optional
        Ascending rows of the cells that may be neighbours; all by default.
    """
    k = min(neighbours, len(cells) - 1)
    if k < 1:
        return values
    unit = cells / np.maximum(np.linalg.norm(cells, axis=1, keepdims=True), 1e-12)
    if among is not None and len(among) < len(cells):
        return landmark_mean(values, unit, among, k)
    near = NearestNeighbors(n_neighbors=k + 1).fit(unit).kneighbors(unit, return_distance=False)
    return np.asarray(values[near].mean(axis=1), np.float32)


def restore_shape(arrays: Mapping[str, NDArray[Any]]) -> ReferenceShape:
    """Inverse of `ReferenceShape.arrays`."""
    return ReferenceShape(**{n: arrays[n] for n in ("means", "within", "centre", "overall")})


def _precision(residual: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float32]:
    spread = (residual * (weights / weights.sum())[:, None]).T @ residual
    dim = len(spread)
    level = max(float(np.trace(spread)) / max(dim, 1), 1e-12)
    shrunk = (1 - SHRINKAGE) * spread + SHRINKAGE * level * np.eye(dim)
    return np.asarray(np.linalg.inv(shrunk), np.float32)


def _squared(residual: NDArray[np.float32], precision: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(np.einsum("ij,ij->i", residual @ precision, residual), np.float32)
