"""The strength of the composition is chosen on pseudo-queries whose composition drifts."""

import numpy as np

from peakatlas.classifier.training.drift import choose_strengths, drawn


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
