"""Axes that reference and query share, unbiased in depth and with known noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from sklearn.utils.extmath import randomized_svd

from peakatlas.classifier.counts.sparse import scaled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from peakatlas.classifier.models.protocol import Floats, Matrix

POWER_ITERATIONS = 4


@dataclass(frozen=True, eq=False)
class JointSpace:
    """Truncated SVD of binary reference and query counts, most axes that will be asked for.

    A cell of depth d with peaks x has the coordinates ``x W V / d``. Given its depth, peaks
    drawn from its profile make these unbiased whatever the depth, with a sampling covariance of
    about ``S / d``, S being that of single peaks drawn from the pooled profile. `JointAxes` are
    centred on the pooled profile, lack the first axis (openness as such) and are turned so that
    S = I.
    """

    loadings: NDArray[np.float32]
    """W V, shape (n_peaks, n_axes + 1)."""
    centre: Floats
    """Coordinates of the pooled profile, shape (n_axes + 1,)."""
    noise: Floats
    """S, shape (n_axes + 1, n_axes + 1)."""
    reference: Floats
    """Coordinates before whitening, shape (n_reference, n_axes + 1)."""
    query: Floats
    reference_depth: Floats
    query_depth: Floats

    @classmethod
    def fit(cls, reference: Matrix, query: Matrix, n_axes: int, seed: int) -> JointSpace:
        """Find the axes.

        Parameters
        ----------
        reference, query : csr_matrix of float32, shapes (n_cells, n_peaks)
            Binary.
        n_axes : int
            Axes wanted; fewer where there are few cells or peaks.
        seed : int
            Of the randomised SVD.

        References
        ----------
        Halko, Martinsson & Tropp (2011), Finding structure with randomness, doi:10.1137/090771806.
        """
        both = sp.csr_matrix(sp.vstack([reference, query]), dtype=np.float32)
        n_axes = max(1, min(n_axes, reference.shape[0] // 3, both.shape[1] - 2))
        weights = peak_weights(both)
        depth = depth_of(both)
        found = randomized_svd(
            scaled(both, rows=depth**-0.5, columns=weights),
            min(n_axes + 1, *both.shape),
            n_iter=POWER_ITERATIONS,
            random_state=seed,
        )
        loadings = np.asarray(found[2].T * weights[:, None], np.float32, order="C")
        rows = np.asarray(both @ loadings, np.float64) / depth[:, None]
        opened = np.asarray(both.sum(axis=0), np.float64).ravel()
        profile = opened / max(opened.sum(), 1)
        centre = profile @ loadings
        noise = (loadings.T * profile) @ loadings - np.outer(centre, centre)
        n = reference.shape[0]
        return cls(loadings, centre, noise, rows[:n], rows[n:], depth[:n], depth[n:])

    def axes(self, n_axes: int) -> WhiteAxes:
        """The first axes, whitened."""
        n = max(1, min(n_axes, self.loadings.shape[1] - 1))
        part = slice(1, n + 1)
        return WhiteAxes(self, self.centre[part], inverse_root(self.noise[part, part]))


@dataclass(frozen=True, eq=False)
class WhiteAxes:
    """See `JointSpace`."""

    space: JointSpace
    centre: Floats
    whitening: Floats

    @property
    def reference(self) -> Floats:
        """Axes of the reference, shape (n_reference, n_axes)."""
        return self._whitened(self.space.reference)

    @property
    def query(self) -> Floats:
        """Axes of the query, shape (n_query, n_axes)."""
        return self._whitened(self.space.query)

    @property
    def reference_depth(self) -> Floats:
        """Open peaks a cell, at least 1, shape (n_reference,)."""
        return self.space.reference_depth

    @property
    def query_depth(self) -> Floats:
        """Open peaks a cell, at least 1, shape (n_query,)."""
        return self.space.query_depth

    def project(self, counts: Matrix) -> tuple[Floats, Floats]:
        """Axes and depth of cells on the same peaks.

        Parameters
        ----------
        counts : csr_matrix of float32, shape (n_cells, n_peaks)
            Binary.
        """
        depth = depth_of(counts)
        n = len(self.centre) + 1
        rows = np.asarray(counts @ self.space.loadings[:, :n], np.float64) / depth[:, None]
        return self._whitened(rows), depth

    def _whitened(self, rows: Floats) -> Floats:
        n = len(self.centre) + 1
        return np.asarray((rows[:, 1:n] - self.centre) @ self.whitening)


def peak_weights(both: Matrix) -> NDArray[np.float32]:
    """Squared smoothed inverse document frequency, scaled to a root mean square of 1 per read.

    Squared: rare peaks tell types apart, and the SVD of binary counts is led by common ones.
    """
    n = both.shape[0]
    open_in = np.bincount(both.indices, minlength=both.shape[1])
    frequency = (open_in + 1) / (n + 1)
    weights = (np.log(1 / frequency) + 1) ** 2
    return np.asarray(weights / np.sqrt(np.average(weights**2, weights=frequency)), np.float32)


def depth_of(counts: Matrix) -> Floats:
    """Sum of each row, at least 1."""
    return np.maximum(np.asarray(counts.sum(axis=1), np.float64).ravel(), 1)


def inverse_root(covariance: Floats) -> Floats:
    """A matrix M with ``M.T @ covariance @ M = I``; `covariance` gets a ridge of 1e-9."""
    n = len(covariance)
    scale = max(float(np.trace(covariance)) / n, 1e-12)
    ridged = covariance + 1e-9 * scale * np.eye(n)
    return np.asarray(np.linalg.cholesky(np.linalg.inv(ridged)))
