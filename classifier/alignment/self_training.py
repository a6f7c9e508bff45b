"""Members that are fitted again with what the first stage says of the query's cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import scipy.sparse as sp

from peakatlas.classifier.models.linear import LinearScorer, fit_logistic, joint_idf, unit_tf_idf
from peakatlas.classifier.models.multinomial import MultinomialScorer, profiles

from .own_peaks import OwnPeaks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from peakatlas.classifier.models.protocol import Floats, Pair, Scorer

SURE_SHARE = 0.6
"""Share of the query's cells of each type, the surest, that logistic regression learns from."""


class AdaptedMember(Protocol):
    """A member that learns from the query's cells by their posterior."""

    @property
    def name(self) -> str:
        """Short name."""

    def usable(self, pair: Pair) -> bool:
        """Whether the pair has what this member reads."""

    def fit(self, pair: Pair, posterior: Floats) -> Scorer:
        """Fit on a pair and the posterior of its query's cells, shape (n_query, n_types)."""


@dataclass(frozen=True)
class AdaptedMultinomial:
    """Profiles of the query's own cells, with a Dirichlet prior at the reference's profiles."""

    prior: float = 3.0
    """Pseudo-reads of the prior, as a multiple of the number of peaks."""

    @property
    def name(self) -> str:
        """Short name."""
        return "adapted_multinomial"

    def usable(self, pair: Pair) -> bool:
        """Whether any peak with counts is shared."""
        return pair.reference.counts.nnz > 0 and pair.query.counts.nnz > 0

    def fit(self, pair: Pair, posterior: Floats) -> MultinomialScorer:
        """Profiles by expected type."""
        reference = profiles(pair.reference.counts, pair.one_hot, self.prior)
        query = profiles(pair.query.counts, posterior, self.prior, base=reference)
        return MultinomialScorer.of(query)


@dataclass(frozen=True)
class AdaptedLogistic:
    """Balanced logistic regression on the reference and the query's surer cells of each type."""

    penalty: float = 5.0

    @property
    def name(self) -> str:
        """Short name."""
        return "adapted_logistic"

    def usable(self, pair: Pair) -> bool:
        """Whether any peak with counts is shared."""
        return pair.reference.counts.nnz > 0 and pair.query.counts.nnz > 0

    def fit(self, pair: Pair, posterior: Floats) -> LinearScorer:
        """Coefficients on reference cells and surer query cells."""
        idf = joint_idf(pair.reference.counts, pair.query.counts)
        best = posterior.argmax(axis=1)
        sure = surest(best, posterior.max(axis=1))
        rows = sp.vstack(
            [
                unit_tf_idf(pair.reference.counts, idf),
                unit_tf_idf(pair.query.counts, idf)[sure],
            ]
        )
        codes = np.concatenate([pair.codes, best[sure]])
        return fit_logistic(sp.csr_matrix(rows), codes, idf, self.penalty)


ADAPTED: tuple[AdaptedMember, ...] = (
    AdaptedMultinomial(),
    AdaptedLogistic(),
    OwnPeaks(),
)
"""Members of the second stage."""


def surest(best: NDArray[np.int64], confidence: Floats) -> NDArray[np.int64]:
    """Rows of the surest cells of each type, `SURE_SHARE` of them and at least one."""
    found = []
    for code in np.unique(best):
        rows = np.flatnonzero(best == code)
        order = rows[np.argsort(-confidence[rows], kind="stable")]
        found.append(order[: max(1, int(SURE_SHARE * len(rows)))])
    return np.concatenate(found) if found else np.zeros(0, np.int64)
