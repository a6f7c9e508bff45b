"""Distances, rarities and calibration equal naive versions."""

from __future__ import annotations

import numpy as np
import pytest

from peakatlas.classifier.heads import Head
from peakatlas.classifier.novelty import NOVELTY_NEIGHBOURS, Usual, neighbours_of, smooth
from peakatlas.classifier.route import fuse
from peakatlas.classifier.selection import HeldOut, calibrate, choose_fusion, sample_rows
from peakatlas.classifier.temperature import Temperature


def test_a_score_is_counted_in_spreads_above_the_median_of_its_depth():
    rng = np.random.default_rng(0)
    depth = rng.uniform(10, 1000, 4000).astype(np.float32)
    scores = (5 * (depth < 400) + rng.normal(size=4000)).astype(np.float32)
    usual = Usual.fit(scores, depth)
    found = usual(scores, depth)
    for low, high in ((10, 200), (600, 1000)):
        inside = (depth > low) & (depth < high)
        assert np.median(found[inside]) == pytest.approx(0, abs=0.1)
        assert (found[inside] >= 1).mean() == pytest.approx(0.16, abs=0.04)
    assert usual(np.full(1, 1e3, np.float32), np.full(1, 800, np.float32))[0] > 100
    assert (Usual.silent()(scores, depth) == 0).all()


def test_few_cells_make_one_class_of_depth():
    usual = Usual.fit(np.arange(31, dtype=np.float32), np.ones(31, np.float32))
    assert usual.middle.tolist() == [15] and len(usual.edges) == 0


def test_smoothing_equals_a_loop():
    rng = np.random.default_rng(0)
    cells, values = rng.normal(size=(40, 3)).astype(np.float32), rng.random(40).astype(np.float32)
    unit = cells / np.linalg.norm(cells, axis=1, keepdims=True)
    naive = [values[np.argsort(-(unit @ u))[:6]].mean() for u in unit]
    np.testing.assert_allclose(smooth(values, cells, 5), naive, rtol=1e-4)
    assert smooth(values, cells, 0) is values
    assert [neighbours_of(n) for n in (1, 99, 100, 299, 300)] == [0, 0, 5, 5, 15]
    assert [neighbours_of(n, NOVELTY_NEIGHBOURS) for n in (599, 600)] == [15, 30]


def test_fuse_and_temperature():
    rng = np.random.default_rng(0)
    network, linear = (np.log(rng.dirichlet(np.ones(3), 50)).astype(np.float32) for _ in "ab")
    mixed = np.exp((0.25 * linear + 0.75 * network) / 2)
    expected = np.log(mixed / mixed.sum(1, keepdims=True))
    np.testing.assert_allclose(fuse(network, linear, 0.25, 2.0), expected, atol=1e-5)


def test_temperature_undoes_overconfidence():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4000, 3)) * 2
    chance = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    types = np.array([rng.choice(3, p=p) for p in chance])
    overconfident = fuse(*[(logits * 3).astype(np.float32)] * 2, 1.0)
    found = Temperature.fit(overconfident, types, np.full(4000, 100, np.float32))
    assert found.of(np.array([100, 1e9], np.float32)) == pytest.approx([3, 3], rel=0.1)


def test_temperature_follows_depth():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(8000, 3)) * 2
    chance = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    types = np.array([rng.choice(3, p=p) for p in chance])
    depth = np.where(np.arange(8000) % 2 == 0, 1000, 50).astype(np.float32)
    scale = np.where(depth == 1000, 1, 4)[:, None]
    found = Temperature.fit(fuse(*[(logits * scale).astype(np.float32)] * 2, 1.0), types, depth)
    assert found.of(np.array([1000, 50, 1], np.float32)) == pytest.approx([1, 4, 4], rel=0.15)
    assert Temperature(**found.to_json()) == found


def held_out(seed: int, *, network_is_better: bool) -> tuple[HeldOut, np.ndarray]:
    rng = np.random.default_rng(seed)
    types = rng.integers(0, 3, 600)
    sharp = np.eye(3)[types] * 2 + rng.normal(size=(600, 3))
    blunt = np.eye(3)[types] * 0.3 + rng.normal(size=(600, 3))
    network, linear = (sharp, blunt) if network_is_better else (blunt, sharp)
    held = HeldOut(
        rng.uniform(50, 500, 600).astype(np.float32),
        fuse(network.astype(np.float32), network.astype(np.float32), 1.0),
        {Head("logistic", 1.0): fuse(linear.astype(np.float32), linear.astype(np.float32), 1.0)},
        fuse(linear.astype(np.float32), linear.astype(np.float32), 1.0),
        rng.normal(size=600).astype(np.float32),
        [(np.arange(600), rng.normal(size=(600, 2)).astype(np.float32))],
        np.zeros((5, 3), np.float32),
    )
    return held, types


def test_fusion_goes_to_the_better_member():
    good, types = held_out(0, network_is_better=True)
    assert choose_fusion([good], types)[1] == 0.25
    bad, types = held_out(0, network_is_better=False)
    assert choose_fusion([bad], types)[1] >= 0.75


def test_thresholds_give_up_the_share_asked_for():
    held, types = held_out(1, network_is_better=False)
    calibration = calibrate([held], types, Head("logistic", 1.0), 1.0, 0.05)
    by = calibration.temperature.of(held.depth)
    logs = fuse(held.network, held.linear[Head("logistic", 1.0)], 1.0, by)
    right = logs.argmax(1) == types
    below = np.exp(logs.max(1))[right] < calibration.min_confidence
    assert below.mean() == pytest.approx(0.05, abs=0.005)
    low, quarter, middle, limit = calibration.usual_novelty["15"]
    assert low < quarter < middle < limit < calibration.usual_novelty["5"][3]


def test_sample_is_even_over_types_and_repeatable():
    types = np.repeat([0, 1, 2], [500, 40, 5])
    rows = sample_rows(types, 60, seed=3)
    assert np.bincount(types[rows]).tolist() == [28, 27, 5]
    assert rows.tolist() == sample_rows(types, 60, seed=3).tolist()
    assert len(sample_rows(types, 10_000, seed=0)) == 545
