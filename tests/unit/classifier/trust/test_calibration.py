"""Temperatures are found within bounds, and say when they are not."""

import numpy as np
import pytest
from scipy.special import log_softmax

from peakatlas.classifier.trust.calibration import (
    Calibration,
    calibration_error,
    calibration_error_by_type,
)


def overconfident(n=4000, factor=3.0):
    rng = np.random.default_rng(0)
    logs = log_softmax(rng.normal(0, 1.5, (n, 4)), axis=1)
    codes = np.array([rng.choice(4, p=p) for p in np.exp(logs)])
    return log_softmax(logs * factor, axis=1), codes, np.exp(rng.normal(6, 1, n))


def test_overconfidence_is_undone():
    logs, codes, depth = overconfident()
    found = Calibration.fit(logs, codes, depth)
    assert found.converged
    assert np.exp(found.log_sharpness) == pytest.approx(1 / 3, rel=0.1)
    after = found.apply(logs, depth)
    right = after.argmax(axis=1) == codes
    assert calibration_error(np.exp(after.max(axis=1)), right) < 0.03
    assert calibration_error(np.exp(logs.max(axis=1)), right) > 0.15


def test_no_cells_and_infinite_values_do_not_converge():
    assert not Calibration.fit(np.zeros((0, 3)), np.zeros(0, int), np.zeros(0)).converged
    logs, codes, depth = overconfident(50)
    assert not Calibration.fit(np.full_like(logs, np.nan), codes, depth).converged


def test_errors_by_type():
    confidence = np.array([1.0, 1.0, 0.5, 0.5])
    best, codes = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 0])
    found = calibration_error_by_type(confidence, best, codes)
    assert found == {0: pytest.approx(0.5), 1: pytest.approx(0.0)}


def test_a_type_that_is_given_too_often_gets_a_negative_offset():
    logs, codes, depth = overconfident(factor=1.0)
    found = Calibration.fit(logs + np.array([0.8, 0, 0, 0]), codes, depth)
    assert found.offsets[0] - found.offsets[1:].mean() == pytest.approx(-0.8, abs=0.1)


def test_few_cells_leave_offsets_near_0():
    logs, codes, depth = overconfident(8, factor=1.0)
    found = Calibration.fit(logs + np.array([0.8, 0, 0, 0]), codes, depth)
    assert np.abs(found.offsets).max() < 0.2


def test_calibration_error_equals_a_naive_loop():
    rng = np.random.default_rng(1)
    confidence, right = rng.random(500), rng.random(500) < 0.6
    naive = 0.0
    for low in np.arange(15) / 15:
        inside = (confidence >= low) & (confidence < low + 1 / 15)
        if inside.any():
            naive += inside.mean() * abs(confidence[inside].mean() - right[inside].mean())
    assert calibration_error(confidence, right) == pytest.approx(naive)
    assert calibration_error(np.ones(4), np.ones(4, bool)) == 0
