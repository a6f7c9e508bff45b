"""Parts of self-training equal naive versions; the whole recovers structure of the query."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.special import log_softmax
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from peakatlas.classifier.linear import LinearHead
from peakatlas.classifier.self_training import (
    as_sure_as,
    confident,
    joint_axes,
    joint_head,
    mixed,
    neighbour_mean,
    places,
    self_train,
    temperature_of,
    tempered,
)


@pytest.fixture
def sides():
    rng = np.random.default_rng(0)
    make = (sp.csr_matrix((rng.random((n, 40)) < 0.3).astype(np.float32)) for n in (60, 50))
    return tuple(make)


def test_joint_axes_span_the_singular_vectors_of_unit_rows(sides):
    rows = np.concatenate([side.toarray() for side in sides])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    axes = joint_axes(*sides)
    assert axes.shape == (40, 39)
    naive = np.linalg.svd(rows)[2][:39]
    np.testing.assert_allclose(np.abs(np.sum(axes.T * naive, axis=1)), 1, atol=1e-3)
    assert axes.tobytes() == joint_axes(*sides).tobytes()


@pytest.mark.parametrize("n_types", [2, 3])
def test_the_joint_head_equals_a_discriminant_on_the_axes(sides, n_types):
    types, axes = np.arange(60) % n_types, joint_axes(*sides)[:, :10]
    head = joint_head(axes, [sides[0]], types, n_types)
    there = sides[0] @ axes
    model = LinearDiscriminantAnalysis(
        solver="lsqr", shrinkage="auto", priors=np.full(n_types, 1 / n_types)
    )
    expected = model.fit(there, types).predict_log_proba(sides[1] @ axes)
    np.testing.assert_allclose(head.log_probabilities(sides[1]), expected, atol=2e-3)


def test_each_type_keeps_its_surer_half_and_rare_types_ten_cells():
    sure = np.concatenate([np.linspace(0.9, 0.6, 40), np.linspace(0.95, 0.55, 12)])
    chance = np.stack([sure, 1 - sure], axis=1)
    chance[40:] = chance[40:, ::-1]
    rows, types = confident(chance)
    assert rows.tolist() == [*range(20), *range(40, 50)]
    assert types.tolist() == [0] * 20 + [1] * 10


def test_neighbour_mean_equals_a_loop(sides):
    axes = joint_axes(*sides)[:, :5]
    cells, landmarks = places(sides[0], axes), places(sp.vstack([*sides] * 3).tocsr(), axes)
    values = np.random.default_rng(1).random((330, 2)).astype(np.float32)
    cells += np.random.default_rng(2).normal(size=cells.shape).astype(np.float32) * 1e-3
    landmarks += np.random.default_rng(3).normal(size=landmarks.shape).astype(np.float32) * 1e-3
    naive = [
        values[np.argsort(np.linalg.norm(landmarks - cell, axis=1))[:15]].mean(0) for cell in cells
    ]
    np.testing.assert_allclose(neighbour_mean(cells, landmarks, values), naive, rtol=1e-4)
    assert not neighbour_mean(cells, landmarks[:50], values[:50]).any()


def test_tempering_gives_the_sureness_of_the_model_and_keeps_the_order(sides):
    rng = np.random.default_rng(0)
    head = LinearHead(rng.normal(size=(40, 3)).astype(np.float32) * 3, np.zeros(3, np.float32))
    model = log_softmax(rng.normal(size=(50, 3)) * 0.5, axis=1).astype(np.float32)
    sharp = head.log_probabilities(sides[1])
    cool = tempered(head, sides[1], model).log_probabilities(sides[1])
    want = np.exp(model).max(1).mean()
    assert np.exp(sharp).max(1).mean() > want + 0.2
    assert np.exp(cool).max(1).mean() == pytest.approx(want, abs=1e-4)
    assert (cool.argmax(1) == sharp.argmax(1)).all()
    np.testing.assert_allclose(as_sure_as(sharp, model), cool, atol=1e-4)
    assert temperature_of(model, model) == pytest.approx(1, rel=1e-3)


def test_mixed_is_a_weighted_mean_of_logs():
    first, second = np.log([[0.5, 0.5]]), np.log([[0.2, 0.8]])
    found = np.exp(mixed(first, second, 0.75))
    by_hand = np.array([0.5**0.25 * 0.2**0.75, 0.5**0.25 * 0.8**0.75])
    np.testing.assert_allclose(found[0], by_hand / by_hand.sum(), rtol=1e-6)


def world(rng, types, marks, n_features=120, depth=0.1, gain=0.5):
    chance = np.full((len(types), n_features), depth)
    for code in range(3):
        chance[np.ix_(types == code, marks[code])] += gain
    return sp.csr_matrix((rng.random(chance.shape) < chance).astype(np.float32))


def test_features_that_only_the_query_has_are_learnt():
    """Some of the marks of each type are common; the query has others that the reference lacks."""
    rng = np.random.default_rng(0)
    marks = np.arange(90).reshape(3, 30)
    types, truth = np.arange(150) % 3, np.repeat([0, 1, 2], [300, 60, 40])
    reference = world(rng, types, marks[:, :10])
    query = world(rng, truth, marks[:, 5:], gain=0.3)
    logs = np.log(rng.dirichlet(np.ones(3), 400)).astype(np.float32)
    known = joint_head(np.eye(120, dtype=np.float32), [reference], types, 3)
    logs = tempered(known, query, logs).log_probabilities(query)
    found = self_train([reference], types, query, logs)
    said = found.log_probabilities(query, logs)
    before, after = (np.mean(each.argmax(1) == truth) for each in (logs, said))
    assert after > before + 0.1 and after > 0.85
    assert np.exp(said).max(1).mean() == pytest.approx(np.exp(logs).max(1).mean(), abs=1e-3)
    # Cells that come later are labelled by what is frozen.
    later = world(np.random.default_rng(9), truth, marks[:, 5:], gain=0.3)
    blank = tempered(known, later, logs).log_probabilities(later)
    assert np.mean(found.log_probabilities(later, blank).argmax(1) == truth) > before + 0.1
