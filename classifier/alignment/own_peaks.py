"""Types of the query by its own peaks, learnt from a posterior of its cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from scipy.special import log_softmax, logsumexp

from peakatlas.classifier.counts.sparse import binary
from peakatlas.classifier.models.multinomial import profiles

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from peakatlas.classifier.models.protocol import Cells, Floats, Matrix, Pair

LEAST_PEAKS = 20
MOST_CELLS = 3000
STEPS = 10
SCALES = np.concatenate([[0.0], np.geomspace(0.01, 1, 10)])


@dataclass(frozen=True)
class OwnPeaks:
    """Profiles of the query's own peaks, with a Dirichlet prior at the pooled profile.

    Which cells of a query belong together is seen in its own peaks, however few of them the
    reference has. Expectation maximisation from the posterior of the first stage, in which a cell
    is compared with profiles without it; otherwise cells would stay what they are. The profiles
    count as much as makes them agree best with the first stage, which is evidence of another kind.

    References
    ----------
    Nigam et al. (2000), Text Classification from Labeled and Unlabeled Documents using EM;
    Blum & Mitchell (1998), doi:10.1145/279943.279962: agreement of two kinds of evidence.
    """

    prior: float = 4.0
    """Pseudo-reads of the prior, as a multiple of the number of peaks."""
    sharpness: float = 2.0
    """Power to which the posterior is taken to begin with."""
    trust: float = 1.5
    """Weight of its logarithm in each step."""

    @property
    def name(self) -> str:
        """Short name."""
        return "own_peaks"

    def usable(self, pair: Pair) -> bool:
        """Whether the query has counts on peaks that the reference lacks."""
        dna = pair.query.dna
        return dna is not None and int((dna.column < 0).sum()) >= LEAST_PEAKS and dna.counts.nnz > 0

    def fit(self, pair: Pair, posterior: Floats) -> OwnPeaksScorer:
        """Profiles by expected type."""
        assert pair.query.dna is not None
        counts = binary(pair.query.dna.counts)
        rows = np.arange(counts.shape[0])
        if len(rows) > MOST_CELLS:
            rng = np.random.default_rng([pair.seed, 6])
            rows = np.sort(rng.choice(len(rows), MOST_CELLS, replace=False))
        logs = np.log(np.maximum(posterior[rows], 1e-6))
        left_out = LeftOut.of(sp.csr_matrix(counts[rows]), self.prior)
        found = np.exp(log_softmax(self.sharpness * logs, axis=1))
        for _ in range(STEPS):
            scores = left_out.scores(found)
            scale = agreement_scale(scores, logs, found.mean(axis=0))
            found = np.exp(log_softmax(scale * scores + self.trust * logs, axis=1))
        shares = profiles(counts[rows], found, self.prior)
        return OwnPeaksScorer(np.log(shares / shares.mean(axis=0)).T.astype(np.float32))


@dataclass(frozen=True, eq=False)
class OwnPeaksScorer:
    """Fitted `OwnPeaks`."""

    log_ratios: NDArray[np.float32]
    """Shape (n_own, n_types)."""

    def scores(self, cells: Cells) -> Floats:
        """Log-probabilities at equal shares of the types."""
        assert cells.dna is not None
        found = np.asarray(binary(cells.dna.counts) @ self.log_ratios, np.float64)
        return np.asarray(log_softmax(found, axis=1))


@dataclass(frozen=True, eq=False)
class LeftOut:
    """Cells under multinomial profiles of their types, each without the cell itself."""

    counts: Matrix
    row: NDArray[np.int64]
    """Cell of each entry of `counts`."""
    pooled: Floats
    """Prior reads of each peak, shape (n_peaks,)."""
    pooled_without: Floats
    """The same without the cell, for each entry."""
    own: Floats
    """What each cell puts into the prior reads, shape (n_cells,)."""

    @classmethod
    def of(cls, counts: Matrix, prior: float) -> LeftOut:
        """Prior reads, `prior` times the number of peaks, go by all cells."""
        opened = np.asarray(counts.sum(axis=0), np.float64).ravel() + 0.5
        reads = prior * len(opened) / opened.sum()
        entries = counts.indices
        row = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
        own = reads * np.diff(counts.indptr).astype(np.float64)
        return cls(counts, row, reads * opened, reads * (opened - 1)[entries], own)

    def scores(self, posterior: Floats) -> Floats:
        """Log-likelihoods up to a constant a cell.

        Parameters
        ----------
        posterior : float64, shape (n_cells, n_types)
        """
        entries, depth = self.counts.indices, np.diff(self.counts.indptr)
        opened = np.asarray(self.counts.T @ posterior, np.float64)
        scores = np.empty_like(posterior)
        for code, (reads, own) in enumerate(zip(opened.T, posterior.T, strict=True)):
            seen = np.maximum(reads[entries] - own[self.row] + self.pooled_without, 1e-9)
            logs = np.log(seen / self.pooled[entries])
            total = reads.sum() + self.pooled.sum() - self.own - own * depth
            scores[:, code] = np.bincount(self.row, logs, minlength=len(own))
            scores[:, code] -= depth * np.log(np.maximum(total, 1e-9) / self.pooled.sum())
        return scores


def agreement_scale(scores: Floats, logs: Floats, shares: Floats) -> float:
    """Factor on `scores`, in [0, 1], that makes them agree best with other evidence.

    The likelihood that both speak of the same type, given that they are independent where the
    type is known.

    Parameters
    ----------
    scores, logs : float64, shape (n_cells, n_types)
        Log-likelihoods; log-posteriors by the other evidence.
    shares : float64, shape (n_types,)
    """
    log_shares = np.log(np.maximum(shares, 1e-6))
    other = log_softmax(logs, axis=1) - log_shares

    def agreement(scale: float) -> float:
        own = log_softmax(scale * scores + log_shares, axis=1)
        return float(logsumexp(own + other, axis=1).mean())

    return float(max(SCALES, key=agreement))
