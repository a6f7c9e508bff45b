"""A balanced linear model on TF-IDF: the member of the ensemble that is hard to beat."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression

from peakatlas.classifier.counts.sparse import unit_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Features = sp.csr_matrix | NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class LinearHead:
    """Linear model of types on TF-IDF rows or cell embeddings.

    Parameters
    ----------
    coefficients : float32, shape (n_features, n_types)
    intercept : float32, shape (n_types,)
    unit : bool
        Whether rows are first brought to length 1; they are sparse then.
    """

    coefficients: NDArray[np.float32]
    intercept: NDArray[np.float32]
    unit: bool = False

    def log_probabilities(self, features: Features) -> NDArray[np.float32]:
        """Log-probability of each type, float32, shape (n_cells, n_types)."""
        if self.unit:
            features = unit_rows(sp.csr_matrix(features))
        logits = np.asarray(features @ self.coefficients, np.float32) + self.intercept
        return np.asarray(log_softmax(logits, axis=1), np.float32)

    def cooled(self, temperature: float) -> LinearHead:
        """The same model, less sure of itself by this temperature."""
        by = np.float32(temperature)
        return replace(self, coefficients=self.coefficients / by, intercept=self.intercept / by)


def fit_linear(
    features: Features,
    types: NDArray[np.int64],
    n_types: int,
    *,
    strength: float,
    weights: NDArray[np.float32] | None = None,
) -> LinearHead:
    """Fit with every type weighing the same.

    Parameters
    ----------
    features : csr_matrix or array of float32, shape (n_cells, n_features)
    types : int64, shape (n_cells,)
        Every one of the `n_types` occurs.
    n_types : int
    strength : float
        Inverse of the ridge penalty.
    weights : float32, shape (n_cells,), optional
        Of each cell among those of its type, mean 1 a type.
    """
    model = LogisticRegression(C=strength, class_weight="balanced", max_iter=150, tol=1e-3)
    model.fit(features, types, sample_weight=weights)
    return LinearHead(*class_columns(model.coef_, model.intercept_, n_types))


def class_columns(
    weights: NDArray[np.float64], bias: NDArray[np.float64], n_types: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """One column a type from scikit-learn's coefficients, which have one row for two types.

    Parameters
    ----------
    weights : float64, shape (n_types, n_features), or (1, n_features) for two types
    bias : float64, shape (n_types,) or (1,)
    n_types : int
    """
    if n_types == 2:
        weights, bias = np.concatenate([-weights, weights]) / 2, np.concatenate([-bias, bias]) / 2
    return np.ascontiguousarray(weights.T, np.float32), np.asarray(bias, np.float32)
