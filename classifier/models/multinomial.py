"""Multinomial types over peaks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import log_softmax

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .protocol import Cells, Floats, Matrix, Pair


@dataclass(frozen=True)
class DirichletMultinomial:
    """Open peaks are drawn from a type's profile, with a Dirichlet prior at the pooled profile."""

    prior: float = 3.0
    """Pseudo-reads of the prior, as a multiple of the number of peaks."""

    @property
    def name(self) -> str:
        """Short name."""
        return "multinomial"

    def usable(self, pair: Pair) -> bool:
        """Whether any peak is shared."""
        return pair.reference.counts.nnz > 0

    def fit(self, pair: Pair) -> MultinomialScorer:
        """Profiles of the reference's types."""
        return MultinomialScorer.of(profiles(pair.reference.counts, pair.one_hot, self.prior))


@dataclass(frozen=True, eq=False)
class MultinomialScorer:
    """Fitted `DirichletMultinomial`."""

    log_ratios: NDArray[np.float32]
    """Shape (n_peaks, n_types)."""

    @classmethod
    def of(cls, shares: Floats) -> MultinomialScorer:
        """From profiles, shape (n_types, n_peaks), each summing to 1."""
        return cls((np.log(shares) - np.log(shares.mean(axis=0))).T.astype(np.float32))

    def scores(self, cells: Cells) -> Floats:
        """Log-probabilities at equal shares of the types."""
        found = np.asarray(cells.counts @ self.log_ratios, np.float64)
        return np.asarray(log_softmax(found, axis=1))


def profiles(counts: Matrix, weights: Floats, prior: float, base: Floats | None = None) -> Floats:
    """Shares of the peaks among the reads of each type.

    Parameters
    ----------
    counts : csr_matrix of float32, shape (n_cells, n_peaks)
    weights : float64, shape (n_cells, n_types)
    prior : float
        Pseudo-reads, as a multiple of the number of peaks.
    base : float64, shape (n_types, n_peaks), optional
        Profiles at which the prior lies; the pooled one if not given.

    Returns
    -------
    float64, shape (n_types, n_peaks)
    """
    opened = np.asarray((counts.T @ weights).T, np.float64)
    if base is None:
        pooled = opened.sum(axis=0) + 0.5
        base = (pooled / pooled.sum())[None]
    reads = prior * opened.shape[1]
    return np.asarray((opened + reads * base) / (opened.sum(axis=1, keepdims=True) + reads))
