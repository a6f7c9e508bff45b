"""Class-balanced logistic regression on unit TF-IDF."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression

from ..sparse import unit_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .protocol import Cells, Floats, Matrix, Pair


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
        """Always."""
        return True

    def fit(self, pair: Pair) -> LinearScorer:
        """Coefficients of the reference's types."""
        counts, codes = pair.reference.counts, pair.codes
        idf = joint_idf(counts, pair.query.counts)
        rows = unit_tf_idf(counts, idf)
        if pair.thinned is not None:
            rows = sp.csr_matrix(sp.vstack([rows, unit_tf_idf(pair.thinned, idf)]))
            codes = np.concatenate([codes, codes])
        c = self.penalty if pair.reference.n_cells > self.small else self.small_penalty
        model = LogisticRegression(C=c, class_weight="balanced", max_iter=300, tol=1e-3)
        model.fit(rows, codes)
        slopes, offsets = model.coef_, model.intercept_
        if len(model.classes_) == 2:
            slopes, offsets = np.vstack([-slopes, slopes]) / 2, np.r_[-offsets, offsets] / 2
        return LinearScorer(idf, slopes.T.astype(np.float32), offsets.astype(np.float64))


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


def joint_idf(reference: Matrix, query: Matrix) -> NDArray[np.float32]:
    """Smoothed inverse document frequency over both, shape (n_peaks,)."""
    n = reference.shape[0] + query.shape[0]
    open_in = sum(np.bincount(m.indices, minlength=m.shape[1]) for m in (reference, query))
    return np.asarray(np.log((n + 1) / (open_in + 1)) + 1, np.float32)


def unit_tf_idf(counts: Matrix, idf: NDArray[np.float32]) -> Matrix:
    """Binary counts times `idf`, rows of Euclidean length 1."""
    return unit_rows(sp.csr_matrix(counts @ sp.diags_array(idf), dtype=np.float32))
