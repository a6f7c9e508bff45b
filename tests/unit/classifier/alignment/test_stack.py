"""The stack finds which member is worth something, and its gradient is right."""

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from peakatlas.classifier.alignment.stack import Stack, _Problem


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 3, 400)
    depth = np.exp(rng.normal(5, 1, 400))
    good = 2.0 * np.eye(3)[codes] + rng.normal(0, 1, (400, 3))
    noise = rng.normal(0, 1, (400, 3))
    return {"good": good, "noise": noise}, codes, depth, np.full(3, 1 / 3)


def test_gradient(problem):
    scores, codes, depth, composition = problem
    found = _Problem(list(scores.values()), codes, depth, composition)
    found.ridge = 0.1
    at = np.array([0.3, -0.5, 0.2])
    numeric = approx_fprime(at, lambda x: found.loss(x)[0], 1e-6)
    np.testing.assert_allclose(found.loss(at)[1], numeric, atol=1e-5)


def test_noise_gets_next_to_no_weight(problem):
    scores, codes, depth, composition = problem
    stack = Stack.fit(scores, codes, depth, composition, ridge=1e-5)
    assert stack.converged
    assert stack.contributions(scores)["noise"] < 0.1
    logs = stack.apply(scores, depth)
    np.testing.assert_allclose(np.exp(logs).sum(axis=1), 1)
    assert (logs.argmax(axis=1) == codes).mean() > 0.8


def test_a_ridge_keeps_weights_near_their_prior(problem):
    scores, codes, depth, composition = problem
    stack = Stack.fit(scores, codes, depth, composition, ridge=100.0, prior={"good": -1.0})
    free = Stack.fit(scores, codes, depth, composition, ridge=100.0)
    assert stack.weights["good"] == pytest.approx(free.weights["good"] / np.e, rel=0.05)
