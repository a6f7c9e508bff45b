"""Adaptation recovers known labels of a shifted query, and leaves alone what it would spoil."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from peakatlas.classifier import adapt as adapting
from peakatlas.classifier.adapt import adapt, trust, with_query
from peakatlas.classifier.annotate import AnnotateOptions, annotate
from peakatlas.classifier.bundle.bundle import Bundle
from peakatlas.classifier.linear import LinearHead
from peakatlas.classifier.route import Cells, kept_shares
from peakatlas.classifier.self_training import self_train
from peakatlas.classifier.train import train

NAMES = ("coral", "mmd", "adversarial", "class-conditional")


@pytest.fixture(scope="module")
def route(bundle):
    return bundle.routes["shared"]


def cells_of(route, rows, offset=0.0) -> Cells:
    """Cells of the reference's own sample, with their embedding moved."""
    embedding = route.sample[rows].astype(np.float32) + np.float32(offset)
    weights = sp.diags_array(route.encoder.idf / np.float32(route.encoder.tfidf_scale))
    opened = route.sample_open[rows]
    features = sp.csr_matrix(opened.multiply(1 / opened.sum(1)) @ weights, dtype=np.float32)
    return Cells(embedding, features, np.full(len(rows), 50, np.float32))


def adapted(route, cells, alignment="adaptive", seed=0):
    return adapt(route, cells, route.complete, alignment=alignment, seed=seed)


def test_it_is_off_when_asked_or_for_few_cells(route):
    done = adapted(route, cells_of(route, np.arange(100)), "none")
    assert done.network is route.network and done.self_trained is None
    assert done.told.reason == "alignment is off"
    done = adapted(route, cells_of(route, np.arange(20)))
    assert done.network is route.network and done.self_trained is None
    assert done.told.reason == "fewer than 50 cells"


def test_equal_sides_are_left_alone(route, monkeypatch):
    monkeypatch.setattr(adapting, "FEWEST_TO_TRAIN", 100)
    rows = np.random.default_rng(0).permutation(len(route.sample))[:120]
    done = adapted(route, cells_of(route, rows))
    assert done.network is route.network and done.self_trained is None
    assert done.told.separability <= 0.6
    assert done.told.self_reason == "query and reference can hardly be told apart"


def test_the_default_leaves_the_network_as_it_was_trained(route):
    cells = cells_of(route, np.arange(120), offset=0.4)
    done = adapted(route, cells)
    assert done.network is route.network and not done.told.used and not done.told.losses
    assert done.told.separability > 0.6
    assert done.told.reason == "its alignment losses are used only by name"


@pytest.mark.parametrize("name", NAMES)
def test_a_named_loss_is_applied_alone(route, name):
    done = adapted(route, cells_of(route, np.arange(100), 0.2), name)
    assert done.network is not route.network and done.self_trained is None
    assert done.told.used and done.told.reason == f"{name} was asked for"
    assert done.told.losses == {name: 1.0}
    assert done.told.separability_after < done.told.separability


def test_unknown_names_are_refused(route):
    with pytest.raises(ValueError, match="alignment 'harmony' is not known"):
        adapted(route, cells_of(route, np.arange(60)), "harmony")


def test_seeds_decide(route):
    cells = cells_of(route, np.arange(100), 0.3)
    first, second, other = (
        adapted(route, cells, "adversarial", seed).network.run(cells.embedding)[1].tobytes()
        for seed in (1, 1, 2)
    )
    assert first == second != other


def shifted(world, seed=21):
    """A query of other proportions and a sixth of the depth, where types open group 4 too.

    No type of the reference marks these. In the query each type has a quarter of them.
    """
    types = np.repeat([0, 1, 2, 3], [150, 60, 40, 90])
    query = world.cells(types, seed=seed, depth=10)
    rng = np.random.default_rng(seed)
    counts = query.X.toarray()
    for code in range(4):
        mine = np.flatnonzero(world.group == 4)[code::4]
        counts[np.ix_(types == code, mine)] = rng.poisson(0.6, ((types == code).sum(), len(mine)))
    query.X = sp.csr_matrix(counts.astype(np.float32))
    return query


def accuracy(query, bundle, alignment):
    options = AnnotateOptions(alignment=alignment)
    found = annotate(query, bundle, options=options).obs["peakatlas_best"]
    return float(np.mean(found.astype(str).to_numpy() == query.obs["cell_type"].to_numpy()))


def test_self_training_recovers_types_that_a_batch_effect_hides(world, reference, fast):
    bundle = train(reference, "cell_type", options=fast)
    query = shifted(world)
    plain = accuracy(query, bundle, "none")
    assert accuracy(query, bundle, "self-training") > plain + 0.05
    assert accuracy(query, bundle, "adaptive") > plain + 0.05


def test_self_training_is_dropped_when_its_labels_contradict_the_reference(
    world, reference, fast, monkeypatch
):
    def rotated(head):
        return LinearHead(np.roll(head.coefficients, 1, axis=1), np.roll(head.intercept, 1))

    def wrong(*args, **kwargs):
        found = self_train(*args, **kwargs)
        logs = np.roll(found.landmark_logs, 1, axis=1)
        heads = {"joint": rotated(found.joint), "own": rotated(found.own)}
        return replace(found, landmark_logs=logs, **heads)

    bundle = train(reference, "cell_type", options=fast)
    query = shifted(world)
    plain = annotate(query, bundle, options=AnnotateOptions(alignment="none"))
    monkeypatch.setattr(adapting, "self_train", wrong)
    found = annotate(query, bundle)
    told = json.loads(found.uns["peakatlas"]["record"])["alignment"]
    assert not told["self_trained"]
    assert told["self_reason"].startswith("it would hurt: held-out reference cells told 0.9")
    assert accuracy(query, bundle, "self-training") < accuracy(query, bundle, "none") - 0.3
    if not told["used"]:
        assert found.obs["peakatlas_best"].equals(plain.obs["peakatlas_best"])


def test_with_query_measures_what_its_labels_do_to_the_reference():
    rng = np.random.default_rng(0)
    types = np.arange(120) % 3
    centres = np.eye(3, 8)
    cells = (centres[types] + rng.normal(size=(120, 8)) * 0.5).astype(np.float32)
    query = (centres[types] + rng.normal(size=(120, 8)) * 0.5).astype(np.float32)
    right = np.eye(3, dtype=np.float32)[types] * 0.8 + 0.05
    alone, good = with_query(cells, types, query, right)
    again, bad = with_query(cells, types, query, np.roll(right, 1, axis=1))
    assert alone == again > 0.8 and good > alone - 0.05
    assert bad < alone - 0.2


def test_cells_too_sparse_to_be_trusted_are_not_learnt_from(world, reference, fast):
    bundle = train(reference, "cell_type", options=fast)
    query = shifted(world)
    rng = np.random.default_rng(0)
    counts = query.X.toarray()
    query.X = sp.csr_matrix((counts * (rng.random(counts.shape) < 0.15)).astype(np.float32))
    told = json.loads(annotate(query, bundle).uns["peakatlas"]["record"])["alignment"]
    assert not told["self_trained"]
    assert told["self_reason"].startswith("too much of it would be wrong: of the surer held-out")
    deep = json.loads(annotate(shifted(world), bundle).uns["peakatlas"]["record"])["alignment"]
    assert deep["self_trained"]


def test_trust_is_how_often_surer_cells_are_right_at_the_depth_of_the_query():
    rng = np.random.default_rng(0)
    types = np.arange(300) % 3
    full = (np.eye(3, 8)[types] * 3 + rng.normal(size=(300, 8)) * 0.5).astype(np.float32)
    noise = rng.normal(size=(300, 8)).astype(np.float32)
    assert trust(full, full, types) > 0.98
    assert 0.2 < trust(full, noise, types) < 0.47


def test_few_cells_are_not_learnt_from(world, reference, fast):
    bundle = train(reference, "cell_type", options=fast)
    few = annotate(shifted(world)[::2].copy(), bundle)
    told = json.loads(few.uns["peakatlas"]["record"])["alignment"]
    assert not told["self_trained"]
    assert told["self_reason"] == "fewer than 300 cells to learn from"


def test_depth_is_matched_rank_by_rank():
    assert kept_shares(np.array([300, 100, 200]), np.array([10, 20, 60])).tolist() == (
        pytest.approx([0.2, 0.1, 0.1])
    )
    assert kept_shares(np.array([10, 0]), np.array([50])).tolist() == [1, 1]


def test_a_saved_bundle_adapts_as_the_one_that_was_saved(world, reference, fast, tmp_path):
    bundle = train(reference, "cell_type", options=fast)
    bundle.save(tmp_path / "b")
    loaded = Bundle.load(tmp_path / "b")
    opened = [each.routes["shared"].sample_open for each in (bundle, loaded)]
    assert opened[0].shape == opened[1].shape and (opened[0] != opened[1]).nnz == 0
    options = AnnotateOptions(alignment="self-training")
    first, second = (
        annotate(shifted(world), each, options=options).obs for each in (bundle, loaded)
    )
    assert first.equals(second)


def test_the_sample_is_thinned_to_the_depth_of_the_query(route):
    cells = cells_of(route, np.arange(100))
    thin = sp.csr_matrix(sp.random(80, cells.features.shape[1], 0.03, "csr", np.float32, rng=0))
    full, shallow = route.sample_features(replace(cells, features=thin), seed=3)
    np.testing.assert_allclose(full[:100].toarray(), cells.features.toarray(), rtol=1e-5)
    depths = np.diff(shallow.indptr)
    assert abs(depths.mean() - np.diff(thin.indptr).mean()) < 1
    assert set(zip(*shallow.nonzero(), strict=True)) <= set(zip(*full.nonzero(), strict=True))
