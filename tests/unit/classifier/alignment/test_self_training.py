"""Members fitted again on the query's own cells."""

import numpy as np
import pytest
from simulated_cells import simulated_pair
from simulated_dna import simulated_sides

from peakatlas.classifier.alignment.self_training import ADAPTED, surest


@pytest.mark.parametrize("adapted", ADAPTED, ids=lambda m: m.name)
def test_adapted_members_find_types(adapted):
    pair, truth = simulated_pair()
    if not adapted.usable(pair):
        sides = simulated_sides(100)
        pair, truth = sides.pair, sides.truth
    posterior = np.full((len(truth), 3), 0.1)
    posterior[np.arange(len(truth)), truth] = 0.8
    scores = adapted.fit(pair, posterior).scores(pair.query)
    assert np.isfinite(scores).all()
    assert (scores.argmax(axis=1) == truth).mean() > 0.9


def test_surest_takes_the_surest_of_each_type():
    best = np.array([0, 0, 0, 0, 0, 1])
    confidence = np.array([0.5, 0.9, 0.8, 0.7, 0.6, 0.1])
    assert sorted(surest(best, confidence).tolist()) == [1, 2, 3, 5]
