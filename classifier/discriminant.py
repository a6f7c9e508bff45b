"""A regularised linear discriminant of unit rows: sparse, and so few cells are enough for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from peakatlas.classifier.counts.sparse import unit_rows

from .linear import LinearHead

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Columns = NDArray[np.float32]

TOLERANCE = 1e-3
MOST_STEPS = 300
SMALLEST = np.finfo(np.float32).tiny


def fit_discriminant(
    features: sp.csr_matrix,
    types: NDArray[np.int64],
    n_types: int,
    *,
    ridge: float,
    weights: NDArray[np.float32] | None = None,
) -> LinearHead:
    """Linear discriminant of rows of length 1, every type being equally likely.

    Normal densities with one covariance: the mean of the types' own, plus `ridge` times its trace
    in every direction. The covariance is never formed: conjugate gradients need its products only.

    Parameters
    ----------
    features : csr_matrix of float32, shape (n_cells, n_features)
    types : int64, shape (n_cells,)
        Every one of the `n_types` occurs.
    n_types : int
    ridge : float
        Above 0.
    weights : float32, shape (n_cells,), optional
        Of each cell among those of its type, mean 1 a type.

    Returns
    -------
    LinearHead
        Of unit rows. A normal density is too sure of itself; see `self_training.tempered`.

    References
    ----------
    Friedman (1989), Regularized Discriminant Analysis, equation 18;
    Hestenes & Stiefel (1952), Methods of Conjugate Gradients for Solving Linear Systems.
    """
    cells = sp.csr_matrix(unit_rows(features), dtype=np.float32)
    share = _shares(types, n_types, weights)
    members = sp.csr_matrix((share, (types, np.arange(len(types)))), (n_types, len(types)))
    means = np.ascontiguousarray((members @ cells).toarray().T, np.float32)
    turned = sp.csr_matrix(cells.T)
    each = (share / np.float32(n_types))[:, None]
    lengths = np.asarray(cells.multiply(cells).sum(axis=1), np.float32)
    trace = float((each * lengths).sum() - np.square(means).sum() / n_types)
    added = np.float32(ridge * max(trace, 1e-12))

    def covariance(columns: Columns) -> Columns:
        inside = turned @ (each * (cells @ columns))
        between = means @ (means.T @ columns) / np.float32(n_types)
        return np.asarray(inside - between + added * columns, np.float32)

    middle = means.mean(axis=1, keepdims=True)
    found = solve(covariance, means - middle)
    intercept = -((means + middle) * found).sum(axis=0) / 2
    return LinearHead(found, np.asarray(intercept, np.float32), unit=True)


def solve(matrix: Callable[[Columns], Columns], wanted: Columns) -> Columns:
    """Columns that a positive definite matrix maps to those wanted, by conjugate gradients.

    Parameters
    ----------
    matrix : callable
        Product with float32 columns.
    wanted : float32, shape (n, n_columns)

    Returns
    -------
    float32, shape (n, n_columns)
        With residuals of at most a thousandth of the wanted columns' lengths.
    """
    found, rest = np.zeros_like(wanted), wanted.copy()
    along, length = rest.copy(), _squares(rest)
    enough = length * np.float32(TOLERANCE**2)
    for _ in range(MOST_STEPS):
        if (length <= enough).all():
            break
        image = matrix(along)
        step = length / np.maximum((along * image).sum(axis=0), SMALLEST)
        found += step * along
        rest -= step * image
        before, length = length, _squares(rest)
        along = np.asarray(rest + length / np.maximum(before, SMALLEST) * along, np.float32)
    return found


def _squares(columns: Columns) -> Columns:
    return np.asarray(np.square(columns).sum(axis=0), np.float32)


def _shares(
    types: NDArray[np.int64], n_types: int, weights: NDArray[np.float32] | None
) -> NDArray[np.float32]:
    """Share of each cell in the mean of its type."""
    given = np.ones(len(types), np.float32) if weights is None else weights
    totals = np.asarray(np.bincount(types, weights=given, minlength=n_types), np.float64)
    return np.asarray(given / totals[types], np.float32)
