"""Expectation maximisation finds a query's composition, as far as it is trusted."""

import numpy as np

from peakatlas.classifier.alignment.composition import at_composition, estimate_composition

REFERENCE = np.array([0.5, 0.3, 0.2])


def logs_of(codes, rng):
    """Calibrated log-probabilities at equal shares."""
    likelihood = 3 * np.eye(3)[codes] + rng.normal(0, 0.1, (len(codes), 3))
    return likelihood - np.log(np.exp(likelihood).sum(axis=1, keepdims=True))


def test_composition_is_found():
    rng = np.random.default_rng(0)
    logs = logs_of(rng.choice(3, 3000, p=[0.05, 0.05, 0.9]), rng)
    shares = estimate_composition(logs, REFERENCE, 0.0)
    np.testing.assert_allclose(shares.sum(), 1)
    assert shares[2] > 0.85
    assert estimate_composition(logs, REFERENCE, 4.0)[2] < shares[2]


def test_infinite_strength_leaves_it_out():
    logs = logs_of(np.zeros(50, int), np.random.default_rng(0))
    np.testing.assert_array_equal(estimate_composition(logs, REFERENCE, np.inf), REFERENCE)
    np.testing.assert_allclose(at_composition(logs, REFERENCE, REFERENCE), logs)


def test_no_cells():
    np.testing.assert_array_equal(estimate_composition(np.zeros((0, 3)), REFERENCE, 2.0), REFERENCE)
