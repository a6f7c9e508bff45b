"""Distances and gains equal naive ones; a shallow cell is not strange, one of a new type is."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.spatial.distance import mahalanobis

from peakatlas.classifier.groups import BACKGROUND, BORROWED, Groups, TypeShares
from peakatlas.classifier.type_shapes import SHRINKAGE, TypeShapes, contrasts, lengths

ROWS = 400


def counts(rng: np.random.Generator, types: np.ndarray, depth: np.ndarray) -> sp.csr_matrix:
    """Open peaks of cells: a tenth of the rows is ten times as open in each type."""
    chance = np.ones((10, ROWS))
    for code in range(10):
        chance[code, code * 40 : (code + 1) * 40] = 10
    chance /= chance.sum(1, keepdims=True)
    opened = [
        np.bincount(rng.choice(ROWS, n, p=chance[t]), minlength=ROWS) > 0
        for t, n in zip(types, depth, strict=True)
    ]
    return sp.csr_matrix(np.asarray(opened, np.float32))


def test_distance_equals_scipy_at_one_depth():
    rng = np.random.default_rng(0)
    types = np.repeat([0, 1, 2], 60)
    cells = (rng.normal(size=(180, 3)) + 2 * np.eye(3)[types]).astype(np.float32)
    depth = np.full(180, 100, np.float32)
    shapes = TypeShapes.fit(cells, types, depth)

    def precision(residual):
        spread = residual.T @ residual / len(residual)
        level = np.trace(spread) / 3
        return np.linalg.inv((1 - SHRINKAGE) * spread + SHRINKAGE * level * np.eye(3))

    means = np.stack([cells[types == k].mean(0) for k in range(3)])
    centre = means.mean(0)
    within, overall = precision(cells - means[types]), precision(cells - centre)
    naive = [
        min(mahalanobis(c, m, within) ** 2 for m in means) - mahalanobis(c, centre, overall) ** 2
        for c in cells
    ]
    np.testing.assert_allclose(shapes.distance(cells, depth), naive, atol=1e-3)


def test_means_follow_depth_and_a_shift_is_found_despite_a_new_type():
    rng = np.random.default_rng(1)
    types = rng.integers(0, 4, 2000)
    depth = 10 ** rng.uniform(2, 4, 2000).astype(np.float32)
    scale = np.log10(depth)[:, None]
    cells = (scale * np.eye(4)[types] + 0.3 * rng.normal(size=(2000, 4))).astype(np.float32)
    shapes = TypeShapes.fit(cells, types, depth)
    line = np.log10(1000) - shapes.origin[0]
    at_1000 = shapes.means[:, 0] + shapes.means[:, 1] * line / shapes.origin[1]
    np.testing.assert_allclose(at_1000, 3 * np.eye(4), atol=0.1)
    far = shapes.distance(cells + 2 * np.ones(4, np.float32), depth)
    assert np.median(far) > np.median(shapes.distance(cells, depth)) + 10
    moved = cells + np.array([0.5, -0.3, 0.2, 0], np.float32)
    moved[types == 3] += np.array([0, 0, -1, 1], np.float32) * 4
    assert shapes.shift(moved, depth) == pytest.approx([0.5, -0.3, 0.2, 0], abs=0.1)
    again = TypeShapes.restore(shapes.arrays())
    assert np.array_equal(again.distance(cells, depth), shapes.distance(cells, depth))


def test_contrasts_are_per_unit_of_length():
    logs = np.log(np.array([[0.5, 0.25, 0.25], [0.8, 0.1, 0.1]], np.float32))
    features = sp.csr_matrix(np.array([[3.0, 4.0], [0, 0]], np.float32))
    assert lengths(features).tolist() == [5, 1] and lengths(np.ones((2, 3))).tolist() == [1, 1]
    found = contrasts(logs, lengths(features))
    assert found.sum(1) == pytest.approx([0, 0], abs=1e-6)
    assert found[0, 0] - found[0, 1] == pytest.approx(np.log(2) / 5)


def test_gain_equals_a_loop():
    rng = np.random.default_rng(2)
    types, depth = rng.integers(0, 3, 120), rng.integers(40, 90, 120)
    features = counts(rng, types, depth)
    shares = TypeShares.fit(features, types, 3)
    dense = features.toarray()
    background = (dense.sum(0) + 1) / (dense.sum() + ROWS)
    naive = np.stack([dense[types == k].sum(0) + BACKGROUND * background for k in range(3)])
    naive = np.log(naive / naive.sum(1, keepdims=True))
    np.testing.assert_allclose(shares.logs, naive, atol=1e-4)

    groups = Groups.fit(features, shares, seed=0)
    places = groups.axes.places(features)
    leading = places[:, :10] / np.linalg.norm(places[:, :10], axis=1, keepdims=True)
    nearest = ((leading[:, None] - groups.centres) ** 2).sum(2).argmin(1)
    members = np.arange(120) % 3 > 0
    found = groups.gain(features, places, members)
    said = dense @ naive.T
    for cell in (0, 1, 50):
        mates = dense[nearest == nearest[cell]]
        looks = np.bincount(said[nearest == nearest[cell]].argmax(1), minlength=3) / len(mates)
        group = mates.sum(0) + BORROWED * looks @ np.exp(naive) - members[cell] * dense[cell]
        own = dense[cell] @ np.log(group / group.sum())
        expected = (own - said[cell].max()) / (dense[cell].sum() + 1)
        assert found[cell] == pytest.approx(expected, abs=2e-3)


def test_groups_tell_new_cells_and_not_shallow_ones():
    rng = np.random.default_rng(3)
    types = rng.integers(0, 4, 800)
    reference = counts(rng, types, rng.integers(100, 200, 800))
    shares = TypeShares.fit(reference, types, 4)
    new, shallow = np.arange(600) < 100, np.arange(600) >= 350
    query = counts(
        rng,
        np.where(new, 7, rng.integers(0, 4, 600)),
        np.where(shallow, 30, rng.integers(100, 200, 600)),
    )
    groups = Groups.fit(query, shares, seed=0)
    gain = groups.gain(query, groups.axes.places(query), np.ones(600, bool))
    assert np.quantile(gain[new], 0.1) > np.quantile(gain[~new], 0.95)
    assert np.median(gain[shallow]) < np.median(gain[~new & ~shallow]) + 0.1


def test_few_cells_make_no_groups():
    rng = np.random.default_rng(4)
    types = np.arange(49) % 3
    features = counts(rng, types, np.full(49, 60))
    assert Groups.fit(features, TypeShares.fit(features, types, 3), seed=0) is None
