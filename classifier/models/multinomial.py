"""Multinomial types over peaks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import log_softmax

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .protocol import Cells, Floats, Pair


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
        """Always."""
        return True

    def fit(self, pair: Pair) -> MultinomialScorer:
        """Profiles of the reference's types."""
        opened = np.asarray((pair.reference.counts.T @ pair.one_hot).T, np.float64)
        pooled = opened.sum(axis=0) + 0.5
        pooled /= pooled.sum()
        prior = self.prior * opened.shape[1]
        share = (opened + prior * pooled) / (opened.sum(axis=1, keepdims=True) + prior)
        return MultinomialScorer((np.log(share) - np.log(pooled)).T.astype(np.float32))


@dataclass(frozen=True, eq=False)
class MultinomialScorer:
    """Fitted `DirichletMultinomial`."""

    log_ratios: NDArray[np.float32]
    """Shape (n_peaks, n_types)."""

    def scores(self, cells: Cells) -> Floats:
        """Log-probabilities at equal shares of the types."""
        found = np.asarray(cells.counts @ self.log_ratios, np.float64)
        return np.asarray(log_softmax(found, axis=1))
