"""Gaussian types on joint axes: one that knows a cell's sampling noise, and a shrunken LDA."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import log_softmax

if TYPE_CHECKING:
    from .protocol import Cells, Floats, JointAxes, Pair

SHRINKAGE = 0.05
LEAST_PEAKS = 4
"""Shared peaks below which there are no joint axes."""


@dataclass(frozen=True)
class NoiseAwareDiscriminant:
    """Types are Gaussians of a shared covariance; a cell of depth d has noise I / d besides.

    The shared covariance is the pooled one within types less the noise, its eigenvalues at least
    0 and shrunk to their mean.
    """

    n_axes: int = 20

    @property
    def name(self) -> str:
        """Short name."""
        return "noise_aware"

    def usable(self, pair: Pair) -> bool:
        """Whether there are joint axes."""
        return has_axes(pair)

    def fit(self, pair: Pair) -> NoiseAwareScorer:
        """Means and covariance of the reference's types."""
        axes = pair.axes(self.n_axes)
        return NoiseAwareScorer.fit(axes, pair.one_hot)


@dataclass(frozen=True, eq=False)
class NoiseAwareScorer:
    """Fitted `NoiseAwareDiscriminant`, in the eigenbasis of the shared covariance."""

    axes: JointAxes
    basis: Floats
    means: Floats
    variances: Floats
    sizes: Floats

    @classmethod
    def fit(cls, axes: JointAxes, weights: Floats) -> NoiseAwareScorer:
        """From reference cells with weights by type, shape (n_reference, n_types)."""
        depth = axes.reference_depth
        sizes = weights.sum(axis=0) + 1e-9
        trusted = 2 * depth / (depth + np.median(depth))
        means = type_means(axes.reference, weights * trusted[:, None])
        total = weights.sum(axis=1)
        centred = axes.reference - weights @ means / np.maximum(total, 1e-9)[:, None]
        share = total * trusted / (total * trusted).sum()
        within = (centred * share[:, None]).T @ centred
        within *= total.sum() / max(total.sum() - len(sizes), 1)
        noise = float((share / depth).sum())
        values, basis = np.linalg.eigh(within - noise * np.eye(len(within)))
        values = np.maximum(values, 0)
        values = (1 - SHRINKAGE) * values + SHRINKAGE * values.mean() + 1e-12
        return cls(axes, basis, means @ basis, values, sizes)

    def scores(self, cells: Cells) -> Floats:
        """Log-densities."""
        axes, depth = self.axes.project(cells.counts)
        return self.densities(axes @ self.basis, depth)

    def densities(self, rows: Floats, depth: Floats) -> Floats:
        """Log-densities of rows in the eigenbasis, shape (n_cells, n_types)."""
        n_axes = rows.shape[1]
        spread = self.variances + 1 / depth[:, None]
        squared = self._squared(rows, spread)
        logs = np.log(spread).sum(axis=1)[:, None] + n_axes * np.log1p(1 / self.sizes)
        return np.asarray(-0.5 * (squared / (1 + 1 / self.sizes) + logs))

    def squared_distances(self, cells: Cells) -> tuple[Floats, int]:
        """Squared Mahalanobis distances to the types, and the number of axes."""
        axes, depth = self.axes.project(cells.counts)
        rows = axes @ self.basis
        return self._squared(rows, self.variances + 1 / depth[:, None]), rows.shape[1]

    def _squared(self, rows: Floats, spread: Floats) -> Floats:
        precise = 1 / spread
        cross = (rows * precise) @ self.means.T
        return np.asarray(
            (rows**2 * precise).sum(axis=1)[:, None] - 2 * cross + precise @ (self.means**2).T
        )


@dataclass(frozen=True)
class ShrunkenLda:
    """Linear discriminant on joint axes scaled to unit length."""

    n_axes: int = 50

    @property
    def name(self) -> str:
        """Short name."""
        return "lda"

    def usable(self, pair: Pair) -> bool:
        """Whether there are joint axes."""
        return has_axes(pair)

    def fit(self, pair: Pair) -> LdaScorer:
        """Means and covariance of the reference's types."""
        axes = pair.axes(self.n_axes)
        return LdaScorer.fit(axes, unit(axes.reference), pair.one_hot)


@dataclass(frozen=True, eq=False)
class LdaScorer:
    """Fitted `ShrunkenLda`: linear functions of a cell's unit axes."""

    axes: JointAxes
    slopes: Floats
    offsets: Floats

    @classmethod
    def fit(cls, axes: JointAxes, rows: Floats, weights: Floats) -> LdaScorer:
        """From rows, shape (n, n_axes), with weights by type, shape (n, n_types)."""
        sizes = weights.sum(axis=0) + 1e-9
        means = type_means(rows, weights)
        within = rows.T @ (rows * weights.sum(axis=1)[:, None]) - (means.T * sizes) @ means
        within /= max(weights.sum(), 1)
        n = len(within)
        within = (1 - SHRINKAGE) * within + SHRINKAGE * np.trace(within) / n * np.eye(n)
        slopes = np.linalg.solve(within + 1e-12 * np.eye(n), means.T)
        return cls(axes, slopes, -0.5 * np.sum(means.T * slopes, axis=0))

    def scores(self, cells: Cells) -> Floats:
        """Log-probabilities at equal shares of the types."""
        axes, _ = self.axes.project(cells.counts)
        return np.asarray(log_softmax(unit(axes) @ self.slopes + self.offsets, axis=1))


def has_axes(pair: Pair) -> bool:
    """Whether the pair has counts on enough shared peaks for joint axes."""
    return pair.reference.n_peaks >= LEAST_PEAKS and pair.query.counts.nnz > 0


def unit(rows: Floats) -> Floats:
    """Rows of Euclidean length 1."""
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9))


def type_means(rows: Floats, weights: Floats) -> Floats:
    """Weighted means, shape (n_types, n_axes)."""
    return np.asarray(weights.T @ rows / (weights.sum(axis=0) + 1e-9)[:, None])
