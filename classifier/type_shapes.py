"""Where the types of the reference lie among each other, by the depth of a cell."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from .linear import Features

SHRINKAGE = 0.1
SHRUNK_CELLS = 10
DEPTHS = 4
FEWEST_A_DEPTH = 50
FEWEST_TO_SHIFT = 20


@dataclass(frozen=True, eq=False, kw_only=True)
class TypeShapes:
    """Means of the types, which move with depth, and covariances, one for each class of depth.

    Cells are described by `contrasts`. Their distance is the relative Mahalanobis distance of Ren
    et al. (2021), A Simple Fix to Mahalanobis Distance for Improving Near-OOD Detection; that means
    and covariances depend on depth is ours. The distance is to the nearest type either way: a cell
    that looks more like a type than any cell of it does is strange too.
    """

    origin: NDArray[np.float32]
    """Mean and standard deviation of log10 depth, shape (2,)."""
    means: NDArray[np.float32]
    """Of each type: at the mean log10 depth, and what a standard deviation of it adds, shape
    (n_types, 2, n_types)."""
    edges: NDArray[np.float32]
    """Bounds of the classes of depth, in log10 counts, shape (n_depths - 1,)."""
    within: NDArray[np.float32]
    """Inverse covariance within types, shape (n_depths, n_types, n_types)."""
    overall: NDArray[np.float32]
    """Inverse covariance about the mean of all types, same shape."""

    @classmethod
    def fit(
        cls, cells: NDArray[np.float32], types: NDArray[np.int64], depth: NDArray[np.float32]
    ) -> TypeShapes:
        """Fit on held-out reference cells; types weigh the same.

        Parameters
        ----------
        cells : float32, shape (n_cells, n_types)
            From `contrasts`, by models that did not see the cell.
        types : int64, shape (n_cells,)
        depth : float32, shape (n_cells,)
            Counts.
        """
        values, n_types = cells.astype(np.float64), cells.shape[1]
        log_depth = _log10(depth)
        origin = np.asarray([log_depth.mean(), max(float(log_depth.std()), 1e-6)], np.float32)
        lines = _lines(log_depth, origin)
        penalty = np.diag([1e-6, SHRUNK_CELLS])
        means = np.stack(
            [
                np.linalg.solve(
                    lines[types == k].T @ lines[types == k] + penalty,
                    lines[types == k].T @ values[types == k],
                )
                for k in range(n_types)
            ]
        )
        n_depths = max(1, min(DEPTHS, len(cells) // FEWEST_A_DEPTH))
        edges = np.quantile(log_depth, np.arange(1, n_depths) / n_depths).astype(np.float32)
        weights = 1 / np.maximum(np.bincount(types, minlength=n_types), 1)[types]
        own = values - np.einsum("nd,ndf->nf", lines, means[types])
        away = values - lines @ means.mean(axis=0)
        place = np.searchsorted(edges, log_depth)
        here = [place == d for d in range(n_depths)]
        return cls(
            origin=origin,
            means=means.astype(np.float32),
            edges=edges,
            within=np.stack([_precision(own[rows], weights[rows]) for rows in here]),
            overall=np.stack([_precision(away[rows], weights[rows]) for rows in here]),
        )

    def distance(
        self, cells: NDArray[np.float32], depth: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Relative Mahalanobis distance to the nearest type, float32, shape (n_cells,).

        Parameters
        ----------
        cells : float32, shape (n_cells, n_types)
        depth : float32, shape (n_cells,)
            Counts.
        """
        log_depth = _log10(depth)
        lines, place = _lines(log_depth, self.origin), np.searchsorted(self.edges, log_depth)
        found = np.empty(len(cells), np.float32)
        for d, (within, overall) in enumerate(zip(self.within, self.overall, strict=True)):
            rows = place == d
            nearest = np.full(int(rows.sum()), np.inf, np.float32)
            for mean in self.means:
                nearest = np.minimum(nearest, _squared(cells[rows] - lines[rows] @ mean, within))
            centre = lines[rows] @ self.means.mean(axis=0)
            found[rows] = nearest - _squared(cells[rows] - centre, overall)
        return found

    def shift(self, cells: NDArray[np.float32], depth: NDArray[np.float32]) -> NDArray[np.float32]:
        """What cells of another experiment are moved by, float32, shape (n_types,).

        The median, over types that 20 cells or more look like, of how far these lie from the mean
        of the type: a type that the reference lacks spoils the mean of one type, not the median.

        Parameters
        ----------
        cells : float32, shape (n_cells, n_types)
        depth : float32, shape (n_cells,)
            Counts.
        """
        lines, called = _lines(_log10(depth), self.origin), cells.argmax(axis=1)
        moved = [
            (cells[rows] - lines[rows] @ self.means[code]).mean(axis=0)
            for code in range(len(self.means))
            if (rows := np.flatnonzero(called == code)).size >= FEWEST_TO_SHIFT
        ]
        if not moved:
            return np.zeros(cells.shape[1], np.float32)
        return np.asarray(np.median(moved, axis=0), np.float32)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays that make it up, by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def restore(cls, arrays: Mapping[str, NDArray[Any]]) -> TypeShapes:
        """Inverse of `arrays`."""
        return cls(**{field.name: arrays[field.name] for field in fields(cls)})


def lengths(features: Features) -> NDArray[np.float32]:
    """Length of each cell's TF-IDF row, which falls with depth; 1 for dense features and no counts.

    Parameters
    ----------
    features : csr_matrix or float32, shape (n_cells, n_features)
    """
    if not sp.issparse(features):
        return np.ones(features.shape[0], np.float32)
    squares = np.asarray(features.multiply(features).sum(axis=1), np.float32).ravel()
    return np.asarray(np.where(squares > 0, np.sqrt(squares), 1), np.float32)


def contrasts(logs: NDArray[np.float32], length: NDArray[np.float32]) -> NDArray[np.float32]:
    """What a linear head says of cells per unit of their length, centred, same shape.

    Parameters
    ----------
    logs : float32, shape (n_cells, n_types)
        Log-probabilities.
    length : float32, shape (n_cells,)
        From `lengths`.
    """
    return np.asarray((logs - logs.mean(axis=1, keepdims=True)) / length[:, None], np.float32)


def _log10(depth: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.log10(np.maximum(depth, 1).astype(np.float64))


def _lines(log_depth: NDArray[np.float64], origin: NDArray[np.float32]) -> NDArray[np.float64]:
    scaled = (log_depth - float(origin[0])) / float(origin[1])
    return np.stack([np.ones_like(scaled), scaled], axis=1)


def _precision(residual: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float32]:
    spread = (residual * (weights / max(float(weights.sum()), 1e-12))[:, None]).T @ residual
    dim = len(spread)
    level = max(float(np.trace(spread)) / max(dim, 1), 1e-12)
    shrunk = (1 - SHRINKAGE) * spread + SHRINKAGE * level * np.eye(dim)
    return np.asarray(np.linalg.inv(shrunk), np.float32)


def _squared(residual: NDArray[np.float64], precision: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(np.einsum("ij,ij->i", residual @ precision, residual), np.float32)
