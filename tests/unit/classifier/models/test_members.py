"""Every member gives finite scores cell by cell and finds simulated types."""

import numpy as np
import pytest
from simulated_cells import simulated_pair

from peakatlas.classifier.alignment.registry import MEMBERS, chosen_members
from peakatlas.classifier.models.discriminant import NoiseAwareScorer
from peakatlas.classifier.models.multinomial import profiles
from peakatlas.engine.errors import ModelError

COUNT_MEMBERS = ("noise_aware", "lda", "logistic", "multinomial")


@pytest.mark.parametrize("name", COUNT_MEMBERS)
def test_member_finds_types(name):
    pair, truth = simulated_pair()
    scores = chosen_members([name])[0].fit(pair).scores(pair.query)
    assert scores.shape == (90, 3)
    assert np.isfinite(scores).all()
    assert (scores.argmax(axis=1) == truth).mean() > 0.9


@pytest.mark.parametrize("name", COUNT_MEMBERS)
def test_a_cell_scores_the_same_alone(name):
    pair, _ = simulated_pair()
    scorer = chosen_members([name])[0].fit(pair)
    every = scorer.scores(pair.query)
    alone = scorer.scores(pair.query.take(np.array([7])))
    np.testing.assert_allclose(alone[0], every[7], rtol=1e-5, atol=1e-5)


def test_names_are_unique_and_unknown_ones_refused():
    names = [each.name for each in MEMBERS]
    assert len(set(names)) == len(names)
    with pytest.raises(ModelError, match="Method 'x' is not known"):
        chosen_members(["x"])


def test_noise_aware_distance_has_the_mean_of_its_axes():
    """Whitened axes and the noise of a cell's depth: own-type distances are chi-squared."""
    pair, truth = simulated_pair((150, 150), n_peaks=300, depth=120)
    scorer = NoiseAwareScorer.fit(pair.axes(10), pair.one_hot)
    distances, n_axes = scorer.squared_distances(pair.query)
    own = distances[np.arange(len(truth)), truth]
    assert n_axes == 10
    assert own.mean() == pytest.approx(n_axes, rel=0.25)


def test_profiles_sum_to_one_and_lie_at_the_base_without_cells():
    pair, _ = simulated_pair()
    base = profiles(pair.reference.counts, pair.one_hot, 3.0)
    np.testing.assert_allclose(base.sum(axis=1), 1)
    nobody = np.zeros((pair.query.n_cells, 3))
    np.testing.assert_allclose(profiles(pair.query.counts, nobody, 3.0, base=base), base)
