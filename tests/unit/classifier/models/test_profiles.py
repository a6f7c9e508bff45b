"""The DNA member: types by peaks that the reference lacks."""

from dataclasses import replace

import numpy as np
import pytest
from simulated_dna import simulated_sides

from peakatlas.classifier.models.profiles import (
    SharedGaussians,
    TypeProfiles,
    cross_fitted,
    peak_noise,
    type_log_odds,
)


def accuracy(sides):
    scores = TypeProfiles().fit(sides.pair).scores(sides.query)
    assert np.isfinite(scores).all()
    return float((scores.argmax(axis=1) == sides.truth).mean())


@pytest.mark.parametrize("n_shared", [0, 100])
def test_types_are_found_by_peaks_that_the_reference_lacks(n_shared):
    assert accuracy(simulated_sides(n_shared)) > 0.9


def test_permuted_embeddings_are_at_chance():
    found = [accuracy(simulated_sides(100, permuted=True, seed=seed)) for seed in range(8)]
    assert np.mean(found) == pytest.approx(1 / 3, abs=0.15)


def test_a_cell_scores_the_same_alone_and_nothing_without_open_peaks():
    sides = simulated_sides()
    scorer = TypeProfiles().fit(sides.pair)
    every = scorer.scores(sides.query)
    np.testing.assert_allclose(scorer.scores(sides.query.take(np.array([7])))[0], every[7])
    empty = replace(sides.query.dna, counts=sides.query.dna.counts * 0)
    empty.counts.eliminate_zeros()
    np.testing.assert_allclose(scorer.scores(replace(sides.query, dna=empty)), -np.log(3))


def test_what_follows_the_share_of_n_does_not_count():
    sides = simulated_sides()
    rng = np.random.default_rng(0)

    def with_n(cells):
        share = rng.random(len(cells.dna.column)).astype(np.float32)
        moved = cells.dna.embeddings + 5 * share[:, None] ** 2
        return replace(cells, dna=replace(cells.dna, embeddings=moved, n_fraction=share))

    noisy = replace(sides, reference=with_n(sides.reference), query=with_n(sides.query))
    assert accuracy(noisy) > 0.9


def test_usable_only_with_own_embedded_peaks():
    sides = simulated_sides(290)
    member = TypeProfiles()
    assert member.usable(simulated_sides().pair)
    assert not member.usable(sides.pair)
    blank = replace(sides.query.dna, embeddings=np.full_like(sides.query.dna.embeddings, np.nan))
    assert not member.usable(replace(sides, query=replace(sides.query, dna=blank)).pair)
    assert not member.usable(replace(sides, query=replace(sides.query, dna=None)).pair)


def test_a_query_of_one_type_is_not_spread_over_all():
    sides = simulated_sides()
    rows = np.flatnonzero(sides.truth == 1)
    assert accuracy(replace(sides, query=sides.query.take(rows), truth=sides.truth[rows])) > 0.8


def test_log_odds_have_mean_0_over_types():
    sides = simulated_sides()
    odds = type_log_odds(sides.reference.dna.counts, sides.pair.one_hot)
    np.testing.assert_allclose(odds.sum(axis=1), 0, atol=1e-9)


def test_cross_fitted_recovers_a_linear_map():
    rng = np.random.default_rng(0)
    values, slopes = rng.normal(size=(200, 4)), rng.normal(size=(4, 2))
    predicted, found = cross_fitted(values, values @ slopes, np.arange(200) % 3, 1e-9)
    np.testing.assert_allclose(found, slopes, atol=0.05)
    assert np.corrcoef(predicted[:, 0], (values @ slopes)[:, 0])[0, 1] > 0.99


def test_peak_noise_is_the_variance_of_a_mean_over_new_peaks():
    sides = simulated_sides()
    counts, values = sides.reference.dna.counts, np.random.default_rng(1).normal(size=(300, 2))
    assert peak_noise(counts, values)[0, 0] == pytest.approx(1 / 300, rel=0.4)
    np.testing.assert_allclose(peak_noise(counts, np.ones((300, 2))), 0, atol=1e-15)


def test_gaussians_follow_a_common_shift():
    rng = np.random.default_rng(0)
    means = np.array([[3.0, 0], [-3, 0], [0, 3]])
    codes = np.arange(300) % 3
    types = SharedGaussians.fit(means[codes] + rng.normal(size=(300, 2)), np.eye(3)[codes])
    cells = means[codes[:200] % 2] + rng.normal(size=(200, 2)) + 1.0
    moved = types.shifted(cells, np.eye(2))
    np.testing.assert_allclose(moved.origin - types.origin, 1, atol=0.3)
