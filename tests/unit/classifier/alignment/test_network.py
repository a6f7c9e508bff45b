"""The alignment network: its losses, and that it finds simulated types, the same for one seed."""

import numpy as np
import pytest
import torch
from simulated_cells import simulated, simulated_pair, unlabelled

from peakatlas.classifier.alignment.network import (
    CANDIDATES,
    AlignmentNetwork,
    class_means,
    coral,
    held_out,
    like_target,
    mmd,
    type_weights,
)
from peakatlas.classifier.alignment.registry import MEMBERS, chosen_members
from peakatlas.classifier.training.labeller import LabellerOptions, label
from peakatlas.engine.errors import ModelError

SMALL = {"n_axes": 10, "steps": 40, "networks": 1}


@pytest.mark.parametrize("alignment", CANDIDATES, ids=lambda c: c[0])
def test_types_are_found_under_every_alignment(alignment):
    pair, truth = simulated_pair()
    scorer = AlignmentNetwork(**SMALL, candidates=(alignment,)).fit(pair)
    scores = scorer.scores(pair.query)
    assert scorer.alignment == alignment
    np.testing.assert_allclose(np.exp(scores).sum(axis=1), 1, rtol=1e-5)
    assert (scores.argmax(axis=1) == truth).mean() > 0.85


def test_the_same_for_one_seed_and_cell_by_cell():
    pair, _ = simulated_pair()
    network = AlignmentNetwork(**SMALL, candidates=CANDIDATES[:2])
    state = torch.random.get_rng_state()
    scorer = network.fit(pair)
    every = scorer.scores(pair.query)
    assert torch.equal(torch.random.get_rng_state(), state)
    np.testing.assert_array_equal(network.fit(pair).scores(pair.query), every)
    alone = scorer.scores(pair.query.take(np.array([7])))
    np.testing.assert_allclose(alone[0], every[7], rtol=1e-4, atol=1e-5)


def test_losses_are_0_for_equal_sides_and_grow_with_a_shift():
    rng = torch.Generator().manual_seed(0)
    cells = torch.randn(40, 3, generator=rng)
    known = torch.eye(2)[torch.arange(40) % 2]
    for loss in (coral, mmd, lambda a, b: class_means(a, b, known, known)):
        assert float(loss(cells, cells)) == pytest.approx(0, abs=1e-5)
        assert float(loss(cells, 2 * cells + 1)) > 0.05
    assert float(coral(cells, cells + 5)) == pytest.approx(0, abs=1e-5)
    assert float(class_means(cells, cells + 2, known, known)) == pytest.approx(4, rel=1e-4)


def test_like_target_draws_types_in_the_targets_shares():
    codes = torch.tensor([0, 0, 0, 1])
    weights = like_target(codes, torch.tensor([[0.5, 0.5]]))
    assert float(weights[3]) == pytest.approx(0.9 * 0.5 + 0.1 * 0.25)
    assert float(weights[:3].sum()) == pytest.approx(0.9 * 0.5 + 0.1 * 0.75)
    np.testing.assert_allclose(type_weights(codes, 2), [4 / 6, 2])


def test_a_batch_is_held_out_where_there_are_several():
    codes, batches = np.array([0, 1] * 3 + [2]), np.array(["a"] * 4 + ["b"] * 3)
    held = held_out(codes, batches, seed=0)
    assert len(np.unique(batches[held])) == 1
    assert np.isin(codes[held], codes[~held]).all()
    assert held_out(np.repeat([0, 1], 6), None, seed=0).sum() == 4


def test_by_name_only():
    assert "network" not in [each.name for each in MEMBERS]
    assert [each.name for each in chosen_members(["network", "lda"])] == ["network", "lda"]
    assert chosen_members(None) == MEMBERS
    with pytest.raises(ModelError, match="'x' is not known"):
        chosen_members(["x"])


def test_label_by_the_network(monkeypatch):
    network = AlignmentNetwork(**SMALL, candidates=CANDIDATES[:1])
    monkeypatch.setattr(
        "peakatlas.classifier.training.held_out.chosen_members", lambda names: (network,)
    )
    reference, query = simulated((20, 20, 20), seed=1), simulated((10, 10, 10), seed=2)
    options = LabellerOptions(members=("network",), folds=2)
    assert (
        label(reference, unlabelled(query), options=options).labels == query.labels
    ).mean() > 0.8
