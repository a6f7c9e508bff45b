"""Sets hold a cell's own type as often as promised, for every type and at every depth."""

from __future__ import annotations

import numpy as np
import pytest

from peakatlas.classifier.conformal import LEVELS, Conformal, order_limits
from peakatlas.classifier.rejection import Rejection, set_names, uncertainty
from peakatlas.classifier.validation import validate_sets

SIZES = (3000, 1200, 300)


def cells(seed: int, sizes: tuple[int, ...] = SIZES) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities that are worse for shallow cells and for the last type; types and depth."""
    rng = np.random.default_rng(seed)
    types = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    depth = rng.uniform(50, 2000, len(types)).astype(np.float32)
    signal = np.log10(depth) * np.array([1.5, 1.0, 0.4])[types]
    logits = rng.normal(size=(len(types), len(sizes)))
    logits[np.arange(len(types)), types] += signal
    return (np.exp(logits) / np.exp(logits).sum(1, keepdims=True)).astype(np.float32), types, depth


def test_limits_are_order_statistics():
    own = np.random.default_rng(0).random(37).astype(np.float32)
    limits = order_limits(own)
    for alpha in (0.03, 0.1, 0.25, 0.5):
        k = int(np.floor(alpha * 38))
        expected = np.sort(own)[k - 1]
        assert limits[round(alpha * 1000)] == expected
    assert np.isnan(limits[LEVELS < 1 / 38]).all() and not np.isnan(limits[LEVELS >= 1 / 38]).any()


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.2])
def test_coverage_is_as_promised_in_every_type_and_at_every_depth(alpha):
    fitted = Conformal.fit(*cells(0))
    chance, types, depth = cells(1)
    sets = fitted.sets(chance, depth, alpha)
    inside = sets[np.arange(len(types)), types]
    assert inside.mean() == pytest.approx(1 - alpha, abs=0.015)
    for code in range(3):
        assert inside[types == code].mean() == pytest.approx(1 - alpha, abs=0.04)
    shallow = depth < np.quantile(depth, 0.33)
    assert inside[shallow].mean() == pytest.approx(1 - alpha, abs=0.02)
    step = round(alpha * 1000)
    assert (fitted.limits[0, :2, step] < fitted.limits[2, :2, step]).all()


def test_coverage_holds_over_draws_of_few_cells():
    found = []
    for seed in range(60):
        fitted = Conformal.fit(*cells(seed, (40, 30, 25)))
        chance, types, depth = cells(1000 + seed, (40, 30, 25))
        found.append(fitted.sets(chance, depth, 0.1)[np.arange(len(types)), types])
    assert 0.89 <= np.mean(found) <= 0.94


def test_a_type_with_too_few_cells_has_the_limit_of_all():
    chance, types, depth = cells(0, (800, 600, 5))
    fitted = Conformal.fit(chance, types, depth)
    place = np.searchsorted(fitted.edges, np.log10(depth), side="right")
    own = chance[np.arange(len(types)), types]
    for d in range(3):
        expected = order_limits(own[place == d])
        assert fitted.limits[d, 2, 100] == expected[100]
        assert fitted.limits[d, 2, 400] == np.sort(own[types == 2])[1]


def test_arrays_bring_it_back():
    fitted = Conformal.fit(*cells(0))
    again = Conformal.restore(fitted.arrays())
    chance, _, depth = cells(2)
    assert np.array_equal(again.sets(chance, depth, 0.1), fitted.sets(chance, depth, 0.1))


def test_error_rates_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"alpha must lie in \[0.001, 0.5\], not 0.7"):
        Rejection(alpha=0.7)
    with pytest.raises(ValueError, match="rule must be one of limits, sets, none, not 'x'"):
        Rejection(rule="x")  # type: ignore[arg-type]


def test_nested_coverage_is_that_of_new_cells():
    chance, types, depth = cells(0)
    logs = np.log(chance) * 3
    found = validate_sets([logs, logs], types, [depth, depth], ["a", "b", "c"], seed=0)
    assert found["0.1"]["coverage"] == pytest.approx(0.9, abs=0.01)
    assert found["0.05"]["mean_size"] > found["0.2"]["mean_size"]
    assert set(found["0.1"]["by_type"]) == {"a", "b", "c"}
    for name, share in found["0.1"]["by_type"].items():
        assert share == pytest.approx(0.9, abs=0.04), name


def test_sets_are_named_in_the_order_of_types():
    sets = np.array([[0, 0, 1], [1, 0, 1], [0, 0, 0]], bool)
    assert set_names(sets, ["B", "NK", "T"]).tolist() == ["T", "B|T", ""]


def test_uncertainty_runs_from_0_to_1():
    chance = np.array([[1, 0, 0], [1 / 3, 1 / 3, 1 / 3], [0.5, 0.5, 0]], np.float32)
    assert uncertainty(chance) == pytest.approx([0, 1, np.log(2) / np.log(3)], abs=1e-5)
