"""Types by the DNA of peaks that the reference lacks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import log_softmax

from peakatlas.classifier.counts.sparse import binary, inverse_document_frequency, scaled, unit_sums

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .protocol import Cells, DnaInput, Floats, Matrix, Pair

LEAST_PEAKS = 20
PRIOR_CELLS = 4.0
SHRINKAGE = 0.05
SHIFT_STEPS = 10
SHIFT_CELLS = 2.0
"""Cells of the reference's composition that are added to the query's."""


@dataclass(frozen=True)
class TypeProfiles:
    """How much more each type opens a peak, predicted from the peak's embedding.

    The type log-odds of the reference's peaks are regressed on their embeddings. A cell is the
    mean, weighted by inverse document frequency, of what is predicted for its open peaks: for
    reference cells by maps that did not see the peak, for query cells over the peaks that the
    reference lacks, so that both are described alike and nothing enters through shared counts.
    Types are Gaussians of one covariance; all of them may have moved by one vector, as far as a
    mean over other peaks does by chance.

    References
    ----------
    Yuan & Kelley (2022), scBasset, doi:10.1038/s41592-022-01562-8: accessibility from sequence;
    here for types, with frozen embeddings. Wolpert (1992), doi:10.1016/S0893-6080(05)80023-1:
    cross-fitting.
    """

    penalties: tuple[float, ...] = (0.001, 0.01, 0.03, 0.1, 0.3, 1.0)
    """Ridges, as shares of the embeddings' largest variance; the one that predicts best is used."""
    n_folds: int = 3

    @property
    def name(self) -> str:
        """Short name."""
        return "dna"

    def usable(self, pair: Pair) -> bool:
        """Whether both sides have embedded peaks, and the query some that the reference lacks."""
        reference, query = pair.reference.dna, pair.query.dna
        if reference is None or query is None or not reference.kind == query.kind == self.name:
            return False
        there = self.reads(query)
        kept = min(len(embedded(reference)), len(there))
        return kept >= LEAST_PEAKS and query.counts[:, there].nnz > 0

    def reads(self, query: DnaInput) -> NDArray[np.int64]:
        """Peaks of a query that are read: those that the reference lacks."""
        return unmatched(query)

    def fit(self, pair: Pair) -> ProfileScorer:
        """Fit maps and Gaussians on the reference, and the common shift on the query."""
        reference, query = pair.reference.dna, pair.query.dna
        assert reference is not None and query is not None
        here, there = embedded(reference), self.reads(query)
        space = EmbeddingSpace.fit(reference.take_peaks(here))
        own, new = space.of(reference.take_peaks(here)), space.of(query.take_peaks(there))
        counts = binary(reference.counts[:, here])
        odds = type_log_odds(counts, pair.one_hot)
        fold = np.random.default_rng([pair.seed, 5]).permutation(len(here)) % self.n_folds
        found = [cross_fitted(own, odds, fold, penalty) for penalty in self.penalties]
        left = [odds - odds.mean(axis=0) - predicted for predicted, _ in found]
        predicted, slopes = found[int(np.argmin([np.linalg.norm(each) for each in left]))]
        weighted = PeakWeights.fit(counts, predicted).cells(counts)
        opened = binary(query.counts[:, there])
        peaks = PeakWeights.fit(opened, new @ slopes)
        types = SharedGaussians.fit(weighted, pair.one_hot)
        noise = peak_noise(counts, predicted) + peak_noise(opened, peaks.values)
        return ProfileScorer(there, peaks, types.shifted(peaks.cells(opened), noise))


@dataclass(frozen=True, eq=False)
class ProfileScorer:
    """Fitted `TypeProfiles`."""

    columns: NDArray[np.int64]
    """Peaks of the query that are read."""
    peaks: PeakWeights
    types: SharedGaussians

    def scores(self, cells: Cells) -> Floats:
        """Log-densities up to a constant; 0 for cells without an open peak."""
        assert cells.dna is not None
        opened = binary(cells.dna.counts[:, self.columns])
        found = self.types.scores(self.peaks.cells(opened))
        found[np.diff(opened.indptr) == 0] = 0
        return np.asarray(log_softmax(found, axis=1))


@dataclass(frozen=True, eq=False)
class EmbeddingSpace:
    """Embeddings free of what follows the share of N, their largest variance 1."""

    trend: Floats
    """Constant, slope and curvature in the share of N, shape (3, dim)."""
    scale: float

    @classmethod
    def fit(cls, peaks: DnaInput) -> EmbeddingSpace:
        """Fit on the reference's embedded peaks."""
        values, design = peaks.embeddings.astype(np.float64), _design(peaks)
        trend: Floats = np.linalg.lstsq(design, values, rcond=None)[0].astype(np.float64)
        left = values - design @ trend
        largest = float(np.linalg.norm(left, 2)) / np.sqrt(len(left))
        return cls(trend, max(float(largest), 1e-6))

    def of(self, peaks: DnaInput) -> Floats:
        """Embedded peaks, shape (n_peaks, dim)."""
        return np.asarray((peaks.embeddings - _design(peaks) @ self.trend) / self.scale)


@dataclass(frozen=True, eq=False)
class PeakWeights:
    """What is averaged over a cell's open peaks, and how they weigh."""

    weights: NDArray[np.float32]
    """Shape (n_peaks,)."""
    values: Floats
    """Shape (n_peaks, n_types)."""

    @classmethod
    def fit(cls, counts: Matrix, values: Floats) -> PeakWeights:
        """Weights by inverse document frequency."""
        return cls(inverse_document_frequency(counts), values)

    def cells(self, counts: Matrix) -> Floats:
        """Weighted means of cells, shape (n_cells, n_types)."""
        rows = unit_sums(scaled(counts, columns=self.weights))
        return np.asarray(rows @ self.values, np.float64)


@dataclass(frozen=True, eq=False)
class SharedGaussians:
    """Types with means of their own and one covariance."""

    origin: Floats
    """Mean of the reference, from which means are counted."""
    means: Floats
    precision: Floats
    shares: Floats

    @classmethod
    def fit(cls, cells: Floats, one_hot: Floats) -> SharedGaussians:
        """From reference cells, shape (n_cells, n), and their types."""
        sizes, origin = one_hot.sum(axis=0), cells.mean(axis=0)
        means = one_hot.T @ (cells - origin) / np.maximum(sizes, 1)[:, None]
        left = cells - origin - one_hot @ means
        within = left.T @ left / max(len(cells) - len(sizes), 1)
        level = np.trace(within) / len(within) + 1e-12
        within = (1 - SHRINKAGE) * within + SHRINKAGE * level * np.eye(len(within))
        return cls(origin, means, np.linalg.inv(within), sizes / sizes.sum())

    def shifted(self, cells: Floats, noise: Floats) -> SharedGaussians:
        """The same types moved by the vector that fits a query's cells.

        Expectation maximisation of the vector, whose prior is normal about 0, and of the query's
        composition.

        Parameters
        ----------
        cells : float64, shape (n_cells, n)
        noise : float64, shape (n, n)
            Prior covariance of the vector.
        """
        shift, shares, moved = np.zeros(len(self.origin)), self.shares, self
        prior = np.linalg.inv(noise + 1e-9 * (np.trace(noise) + 1e-12) * np.eye(len(noise)))
        for _ in range(SHIFT_STEPS):
            logs = moved.scores(cells) + np.log(shares)
            posterior = np.exp(log_softmax(logs, axis=1))
            shares = posterior.sum(axis=0) + SHIFT_CELLS * self.shares
            shares = shares / shares.sum()
            left = (cells - self.origin - posterior @ self.means).sum(axis=0)
            shift = np.linalg.solve(len(cells) * self.precision + prior, self.precision @ left)
            moved = SharedGaussians(self.origin + shift, self.means, self.precision, self.shares)
        return moved

    def scores(self, cells: Floats) -> Floats:
        """Log-densities up to a constant a cell, shape (n_cells, n_types)."""
        slopes = self.precision @ self.means.T
        return np.asarray(
            (cells - self.origin) @ slopes - 0.5 * (self.means.T * slopes).sum(axis=0)
        )


def embedded(side: DnaInput) -> NDArray[np.int64]:
    """Peaks that have an embedding."""
    return np.flatnonzero(np.isfinite(side.embeddings).all(axis=1))


def unmatched(query: DnaInput) -> NDArray[np.int64]:
    """Peaks that have an embedding and no counterpart in the reference."""
    kept = embedded(query)
    return kept[query.column[kept] < 0]


def type_log_odds(counts: Matrix, one_hot: Floats) -> Floats:
    """Log-odds that a type opens a peak, less the mean over types, shape (n_peaks, n_types).

    Shares are drawn towards that of all cells by four cells' worth.
    """
    opened = np.asarray(counts.T @ one_hot, np.float64)
    sizes = one_hot.sum(axis=0)
    overall = (opened.sum(axis=1, keepdims=True) + 0.5) / (len(one_hot) + 1)
    share = (opened + PRIOR_CELLS * overall) / (sizes + PRIOR_CELLS)
    odds = np.log(share / (1 - share))
    return np.asarray(odds - odds.mean(axis=1, keepdims=True))


def peak_noise(counts: Matrix, values: Floats) -> Floats:
    """Covariance of the mean of all cells if the same number of peaks were drawn anew.

    Parameters
    ----------
    counts : csr_matrix, shape (n_cells, n_peaks)
    values : float64, shape (n_peaks, n)
    """
    share = np.asarray(counts.sum(axis=0), np.float64).ravel()
    share *= inverse_document_frequency(counts)
    share /= max(share.sum(), 1e-12)
    spread = share[:, None] * (values - share @ values)
    return np.asarray(spread.T @ spread)


def _design(peaks: DnaInput) -> Floats:
    given = peaks.n_fraction
    share = np.zeros(len(peaks.column)) if given is None else given.astype(np.float64)
    return np.stack([np.ones_like(share), share, share**2], axis=1)


def cross_fitted(
    values: Floats, odds: Floats, fold: NDArray[np.int64], penalty: float
) -> tuple[Floats, Floats]:
    """Predictions of each peak by maps that did not see it, and the mean map.

    Parameters
    ----------
    values : float64, shape (n_peaks, dim)
    odds : float64, shape (n_peaks, n_types)
    fold : int64, shape (n_peaks,)
        Part of the peaks that each is predicted with.
    penalty : float
        Ridge for each peak.
    """
    predicted, maps = np.empty_like(odds), []
    for k in np.unique(fold):
        maps.append(_ridge(values[fold != k], odds[fold != k], penalty))
        predicted[fold == k] = values[fold == k] @ maps[-1]
    return predicted, np.mean(maps, axis=0)


def _ridge(values: Floats, odds: Floats, penalty: float) -> Floats:
    gram = values.T @ values + penalty * len(values) * np.eye(values.shape[1])
    return np.asarray(np.linalg.solve(gram, values.T @ (odds - odds.mean(axis=0))))
