"""The strength of the composition is chosen on pseudo-queries whose composition drifts."""

import numpy as np
from scipy.special import log_softmax

from peakatlas.classifier.alignment.labeller import FirstStage, QueryComposition
from peakatlas.classifier.alignment.stack import Stack
from peakatlas.classifier.training.drift import choose_share, choose_strengths, drawn


def test_draws_are_of_the_size_asked_for():
    codes = np.repeat(np.arange(4), 100)
    sizes = [len(rows) for rows in drawn(codes, 50, 0)]
    assert set(sizes) == {50}
    types = [len(np.unique(codes[rows])) for rows in drawn(codes, 50, 0)]
    assert min(types) <= 3 < max(types)


def test_noise_is_not_trusted():
    """Log-probabilities that are wrong with confidence make estimated compositions harmful."""
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, 800)
    said = (codes + rng.integers(0, 4, 800)) % 4
    sure = np.log(np.full((800, 4), 1e-3) + np.eye(4)[said])
    good = np.log(np.full((800, 4), 0.15) + np.eye(4)[codes] * 0.4)
    uniform = np.full(4, 0.25)
    trusted = choose_strengths(good, codes, uniform, n_query=300, seed=0)
    doubted = choose_strengths(sure, codes, uniform, n_query=300, seed=0)
    assert trusted.confidence < doubted.confidence
    assert trusted.label <= doubted.label


def _stage(composition):
    stack = Stack(weights={}, slope=0.0, middle=0.0, converged=True)
    return FirstStage(
        stack=stack, strength=np.inf, confidence_strength=np.inf, composition=composition
    )


def _said(codes, n_types, spread, rng):
    """Noisy log-probabilities at equal shares."""
    return log_softmax(np.eye(n_types)[codes] + rng.normal(0, spread, (len(codes), n_types)), 1)


def test_noisy_labels_read_the_composition():
    """Where one type is common and cells say little, its share makes both kinds of F1 better."""
    rng = np.random.default_rng(0)
    composition = np.array([0.85, 0.05, 0.05, 0.05])
    codes = rng.choice(4, 3000, p=composition)
    chosen = choose_share(
        _said(codes, 4, 0.7, rng), codes, _stage(composition), n_query=3000, seed=0
    )
    assert chosen > 0


def test_sure_labels_do_without_the_composition():
    rng = np.random.default_rng(0)
    composition = np.array([0.85, 0.05, 0.05, 0.05])
    codes = rng.choice(4, 2000, p=composition)
    logs = np.log(np.full((2000, 4), 1e-4) + np.eye(4)[codes])
    assert choose_share(logs, codes, _stage(composition), n_query=2000, seed=0) == 0.0


def test_the_share_is_of_the_estimated_composition():
    composition = np.array([0.8, 0.2])
    logs = np.log(np.array([[0.4, 0.6], [0.1, 0.9]]))
    of = {share: QueryComposition.fit(logs, _stage(composition), share) for share in (0.0, 0.5)}
    assert of[0.0].for_labels(logs).argmax(axis=1).tolist() == [1, 1]
    assert of[0.5].for_labels(logs).argmax(axis=1).tolist() == [0, 1]
    np.testing.assert_allclose(
        np.diff(of[0.5].for_labels(logs) - of[0.0].for_labels(logs)), 0.5 * np.log(0.2 / 0.8)
    )
