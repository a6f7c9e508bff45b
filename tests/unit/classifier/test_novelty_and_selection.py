"""Distances, rarities and calibration equal naive versions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis

from peakatlas.classifier.heads import Head
from peakatlas.classifier.novelty import (
    SHRINKAGE,
    ReferenceShape,
    Surprise,
    neighbours_of,
    smooth,
)
from peakatlas.classifier.route import fuse
from peakatlas.classifier.selection import (
    HeldOut,
    calibrate,
    choose_fusion,
    fit_temperature,
    sample_rows,
)


def test_distance_equals_scipy():
    rng = np.random.default_rng(0)
    cells, types = rng.normal(size=(90, 4)).astype(np.float32), np.repeat([0, 1, 2], 30)
    cells += types[:, None]
    shape = ReferenceShape.fit(cells, types, 3)

    def precision(residual):
        spread = residual.T @ residual / len(residual)
        level = np.trace(spread) / 4
        return np.linalg.inv((1 - SHRINKAGE) * spread + SHRINKAGE * level * np.eye(4))

    means = np.stack([cells[types == k].mean(0) for k in range(3)])
    within, overall = precision(cells - means[types]), precision(cells - cells.mean(0))
    naive = [
        min(mahalanobis(c, m, within) ** 2 for m in means)
        - mahalanobis(c, cells.mean(0), overall) ** 2
        for c in cells
    ]
    np.testing.assert_allclose(shape.distance(cells), naive, atol=1e-3)


def test_rarity_is_the_tail_share_among_cells_of_the_same_depth():
    rng = np.random.default_rng(0)
    depth = rng.uniform(10, 1000, 4000).astype(np.float32)
    scores = (1000 / depth + rng.normal(size=4000)).astype(np.float32)
    surprise = Surprise.fit(scores, depth)
    rarity = surprise(scores, depth)
    for low, high in ((10, 150), (600, 1000)):
        inside = (depth > low) & (depth < high)
        assert (rarity[inside] >= 1).mean() == pytest.approx(0.1, abs=0.04)
    assert surprise(np.array([1e6, -1e6], np.float32), np.array([50, 50], np.float32)) == (
        pytest.approx([np.log10(201), 0], abs=1e-2)
    )


def test_few_cells_make_one_bin():
    surprise = Surprise.fit(np.arange(30, dtype=np.float32), np.ones(30, np.float32))
    assert surprise.levels.shape == (1, 201)


def test_smoothing_equals_a_loop():
    rng = np.random.default_rng(0)
    cells, values = rng.normal(size=(40, 3)).astype(np.float32), rng.random(40).astype(np.float32)
    unit = cells / np.linalg.norm(cells, axis=1, keepdims=True)
    naive = [values[np.argsort(-(unit @ u))[:6]].mean() for u in unit]
    np.testing.assert_allclose(smooth(values, cells, 5), naive, rtol=1e-4)
    assert smooth(values, cells, 0) is values
    assert [neighbours_of(n) for n in (1, 99, 100, 299, 300)] == [0, 0, 5, 5, 15]


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
    assert fit_temperature(overconfident, types) == pytest.approx(3, rel=0.1)


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
        rng.normal(size=600).astype(np.float32),
        [(np.arange(600), rng.normal(size=(600, 2)).astype(np.float32))],
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
    logs = fuse(held.network, held.linear[Head("logistic", 1.0)], 1.0, calibration.temperature)
    right = logs.argmax(1) == types
    below = np.exp(logs.max(1))[right] < calibration.min_confidence
    assert below.mean() == pytest.approx(0.05, abs=0.005)
    assert calibration.max_novelty["0"] > calibration.max_novelty["15"]


def test_sample_is_even_over_types_and_repeatable():
    types = np.repeat([0, 1, 2], [500, 40, 5])
    rows = sample_rows(types, 60, seed=3)
    assert np.bincount(types[rows]).tolist() == [28, 27, 5]
    assert rows.tolist() == sample_rows(types, 60, seed=3).tolist()
    assert len(sample_rows(types, 10_000, seed=0)) == 545
