"""How a query's experiment differs from the reference's, learnt without labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import log_softmax

from peakatlas.classifier.models.discriminant import LEAST_PEAKS, NoiseAwareScorer

if TYPE_CHECKING:
    from peakatlas.classifier.models.protocol import Floats, Pair

PRIOR_READS = 0.3
"""Dirichlet pseudo-reads a peak of the reference's profiles."""
N_AXES = 20
SHIFT_PRIOR = 20.0
"""Cells that hold the common shift at 0."""
SHIFT_CELLS = 2.0
SHIFT_STEPS = 15


def peak_ratio(pair: Pair, posterior: Floats) -> Floats:
    """The query's open peaks over what the reference's types at its composition give.

    Peaks are Poisson with gamma-distributed ratios, whose variance is found by moments; ratios
    are the posterior means. They are 1 where nothing but sampling noise is seen.

    Parameters
    ----------
    pair : Pair
    posterior : float64, shape (n_query, n_types)

    Returns
    -------
    float64, shape (n_peaks,)
    """
    if pair.reference.counts.nnz == 0 or pair.query.counts.nnz == 0:
        return np.ones(pair.reference.n_peaks)
    opened = np.asarray((pair.reference.counts.T @ pair.one_hot).T, np.float64)
    pooled = opened.sum(axis=0)
    prior = PRIOR_READS * (pooled + 0.5) / (pooled + 0.5).mean()
    profiles = (opened + prior) / (opened + prior).sum(axis=1, keepdims=True)
    depth = np.asarray(pair.query.counts.sum(axis=1), np.float64).ravel()
    seen = np.asarray(pair.query.counts.sum(axis=0), np.float64).ravel()
    expected = (posterior * depth[:, None]).sum(axis=0) @ profiles
    if seen.sum() == 0 or expected.sum() == 0:
        return np.ones(len(seen))
    expected *= seen.sum() / expected.sum()
    noise = seen + expected**2 / np.maximum(pooled, 1)
    variance = float(((seen - expected) ** 2 - noise).sum() / (expected**2).sum())
    shape = 1 / max(variance, 1e-6)
    return np.asarray((shape + seen) / (shape + expected))


def shifted_posterior(pair: Pair) -> Floats:
    """Posterior of the query's cells by Gaussian types that all moved by one common vector.

    Expectation maximisation of the vector and the composition, on joint axes that know each
    cell's noise (`NoiseAwareScorer`).

    Returns
    -------
    float64, shape (n_query, n_types)
    """
    if pair.reference.n_peaks < LEAST_PEAKS:
        return np.full((pair.query.n_cells, pair.n_types), 1 / pair.n_types)
    axes = pair.axes(N_AXES)
    scorer = NoiseAwareScorer.fit(axes, pair.one_hot)
    rows, depth = axes.project(pair.query.counts)
    rows = rows @ scorer.basis
    precision = 1 / (scorer.variances + 1 / depth[:, None])
    prior = SHIFT_PRIOR / (scorer.variances + 1 / np.median(depth))
    shares = reference = scorer.sizes / scorer.sizes.sum()
    shift = np.zeros(rows.shape[1])
    posterior = np.empty((len(rows), pair.n_types))
    for _ in range(SHIFT_STEPS):
        logs = scorer.densities(rows - shift, depth)
        posterior = np.exp(log_softmax(logs + np.log(shares), axis=1))
        shares = posterior.sum(axis=0) + SHIFT_CELLS * reference
        shares = shares / shares.sum()
        residual = rows - posterior @ scorer.means
        shift = (precision * residual).sum(axis=0) / (precision.sum(axis=0) + prior)
    return posterior
