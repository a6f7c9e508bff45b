"""Shares of the types in a query, found by expectation maximisation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import log_softmax

if TYPE_CHECKING:
    from peakatlas.classifier.models.protocol import Floats

STEPS = 60
PSEUDO_CELLS = 20.0
LABEL_STRENGTHS = (np.inf, 8.0, 4.0, 2.0)
"""Weights of the reference's composition to choose from for labels, times the query's cells."""
CONFIDENCE_STRENGTHS = (np.inf, 4.0, 2.0, 1.0, 0.5, 0.2)
"""The same for confidence."""
LABEL_SHARES = (0.0, 0.125, 0.25, 0.5)
"""Shares of the log of the query's composition in labels to choose from."""


def estimate_composition(logs: Floats, reference: Floats, strength: float) -> Floats:
    """The query's shares of the types, shrunk to those of the reference.

    Parameters
    ----------
    logs : float64, shape (n_cells, n_types)
        Log-probabilities of the stack, at equal shares.
    reference : float64, shape (n_types,)
        Shares in the reference, positive.
    strength : float
        Weight of the reference's composition, as a multiple of the query's cells; infinite: the
        composition is not estimated.

    References
    ----------
    Saerens, Latinne & Decaestecker (2002), Adjusting the outputs of a classifier to new a priori
    probabilities, doi:10.1162/089976602753284446.
    """
    if len(logs) == 0 or not np.isfinite(strength):
        return reference.copy()
    whole = np.exp(log_softmax(logs + np.log(reference), axis=1))
    weight = PSEUDO_CELLS + strength * len(logs)
    shares = reference.copy()
    for _ in range(STEPS):
        posterior = whole * (shares / reference)
        posterior /= posterior.sum(axis=1, keepdims=True)
        shares = (posterior.sum(axis=0) + weight * reference) / (len(logs) + weight)
    return shares


def at_composition(logs: Floats, shares: Floats, reference: Floats) -> Floats:
    """Log-probabilities of which rare types have an advantage; moved as the shares have."""
    return np.asarray(log_softmax(logs + np.log(shares / reference), axis=1))


def at_full_composition(logs: Floats, shares: Floats, reference: Floats) -> Floats:
    """Log-probabilities where the types have these shares, rare types at no advantage."""
    return at_composition(logs + np.log(reference), shares, reference)
