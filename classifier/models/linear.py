"""Class-balanced logistic regression on unit TF-IDF."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression

from peakatlas.classifier.counts.sparse import scaled, unit_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .protocol import Cells, Floats, Matrix, Pair


MAX_STEPS = 300
TOLERANCE = 1e-3


@dataclass(frozen=True)
class BalancedLogisticRegression:
    """Logistic regression with every type of equal weight, on TF-IDF rows of unit length.

    Where the query is shallower, a copy of the reference that is thinned to its depths is
    learnt from besides.
    """

    penalty: float = 5.0
    small_penalty: float = 2.0
    """C with at most `small` reference cells."""
    small: int = 2000

    @property
    def name(self) -> str:
        """Short name."""
        return "logistic"

    def usable(self, pair: Pair) -> bool:
        """Whether any peak is shared."""
        return pair.reference.counts.nnz > 0

    def fit(self, pair: Pair) -> LinearScorer:
        """Coefficients of the reference's types."""
        counts, codes = pair.reference.counts, pair.codes
        idf = joint_idf(counts, pair.query.counts)
        rows = unit_tf_idf(counts, idf)
        if pair.thinned is not None:
            rows = sp.csr_matrix(sp.vstack([rows, unit_tf_idf(pair.thinned, idf)]))
            codes = np.concatenate([codes, codes])
        small = pair.reference.n_cells <= self.small
        return fit_logistic(rows, codes, idf, self.small_penalty if small else self.penalty)


@dataclass(frozen=True, eq=False)
class LinearScorer:
    """Fitted `BalancedLogisticRegression`."""

    idf: NDArray[np.float32]
    slopes: NDArray[np.float32]
    offsets: Floats

    def scores(self, cells: Cells) -> Floats:
        """Log-probabilities at equal shares of the types."""
        rows = unit_tf_idf(cells.counts, self.idf)
        found = np.asarray(rows @ self.slopes, np.float64) + self.offsets
        return np.asarray(log_softmax(found, axis=1))


def fit_logistic(
    rows: Matrix, codes: NDArray[np.int64], idf: NDArray[np.float32], penalty: float
) -> LinearScorer:
    """Balanced logistic regression with scikit-learn's C = `penalty`; types are 0, 1, …"""
    model = LogisticRegression(
        C=penalty, class_weight="balanced", max_iter=MAX_STEPS, tol=TOLERANCE
    )
    model.fit(rows, codes)
    slopes, offsets = model.coef_, model.intercept_
    if len(model.classes_) == 2:
        slopes, offsets = np.vstack([-slopes, slopes]) / 2, np.r_[-offsets, offsets] / 2
    slopes = np.ascontiguousarray(slopes.T, dtype=np.float32)
    return LinearScorer(idf, slopes, np.asarray(offsets, np.float64))


def joint_idf(reference: Matrix, query: Matrix) -> NDArray[np.float32]:
    """Smoothed inverse document frequency over both, shape (n_peaks,)."""
    n = reference.shape[0] + query.shape[0]
    open_in = sum(np.bincount(m.indices, minlength=m.shape[1]) for m in (reference, query))
    return np.asarray(np.log((n + 1) / (open_in + 1)) + 1, np.float32)


def unit_tf_idf(counts: Matrix, idf: NDArray[np.float32]) -> Matrix:
    """Binary counts times `idf`, rows of Euclidean length 1."""
    return unit_rows(scaled(counts, columns=idf))
