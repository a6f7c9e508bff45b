"""Profiles of types reach unseen peaks; neighbours come from the query's own peaks."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from cell_tools import DIM, types_of

from peakatlas.classifier.annotate import annotate
from peakatlas.classifier.bundle.bundle import Bundle
from peakatlas.classifier.cells import CellEncoder
from peakatlas.classifier.counts.peak_table import PeakTable
from peakatlas.classifier.predict import predict
from peakatlas.classifier.profiles import PRIOR_CELLS, TypeProfiles, type_log_odds
from peakatlas.classifier.query_graph import neighbour_graph, share_among_neighbours

TYPES = types_of(30)


@pytest.fixture(scope="module")
def counts(world):
    return sp.csr_matrix(world.cells(TYPES, seed=3).X)


@pytest.fixture(scope="module")
def peaks(world):
    return PeakTable(world.values, np.arange(len(world.start)))


@pytest.fixture(scope="module")
def encoder(counts, peaks):
    return CellEncoder.fit(counts, peaks, TYPES, representation="profile")


def test_log_odds_equal_a_formula(counts):
    opened = counts.toarray() > 0
    overall = (opened.sum(0) + 0.5) / (len(TYPES) + 1)
    odds = []
    for code in range(4):
        share = (opened[code == TYPES].sum(0) + PRIOR_CELLS * overall) / (30 + PRIOR_CELLS)
        odds.append(np.log(share / (1 - share)))
    naive = np.stack(odds, axis=1)
    np.testing.assert_allclose(
        type_log_odds(counts, TYPES), naive - naive.mean(1, keepdims=True), atol=1e-6
    )


def test_a_peak_is_judged_by_the_map_that_has_not_seen_it(counts, world):
    fold = np.arange(len(world.values)) % 3
    profiles = TypeProfiles.fit(counts, world.values, fold, TYPES)
    lied = counts.toarray()
    lied[:, fold == 1] = lied[::-1, fold == 1]
    other = TypeProfiles.fit(sp.csr_matrix(lied), world.values, fold, TYPES)
    said, said_of_lies = (p.predict(world.values, fold) for p in (profiles, other))
    assert said[fold == 1].tobytes() == said_of_lies[fold == 1].tobytes()
    assert np.abs(said[fold == 0] - said_of_lies[fold == 0]).max() > 0.01
    unseen = profiles.predict(world.values, np.full(len(fold), -1))
    each = [profiles.predict(world.values, np.full(len(fold), k)) for k in range(3)]
    np.testing.assert_allclose(unseen, np.mean(each, axis=0), atol=1e-5)


def test_profiles_name_the_type_that_opens_a_peak(counts, world):
    fold = np.arange(len(world.values)) % 3
    said = TypeProfiles.fit(counts, world.values, fold, TYPES).predict(world.values, fold)
    own = world.group < 4  # no type of the reference opens the last group
    assert np.mean(said[own].argmax(1) == world.group[own]) > 0.9


def test_types_are_told_on_peaks_that_the_reference_lacks(world, counts):
    half = np.arange(len(world.start)) < len(world.start) // 2
    here = PeakTable(world.values[half], np.arange(half.sum()))
    there = PeakTable(world.values[~half], np.full((~half).sum(), -1))
    encoder = CellEncoder.fit(sp.csr_matrix(counts[:, half]), here, TYPES, representation="profile")
    cells = encoder.transform(sp.csr_matrix(counts[:, ~half]), there, own_statistics=True)
    assert np.mean(cells.argmax(1) == TYPES) > 0.85
    permuted = PeakTable(there.values[np.random.default_rng(0).permutation(len(there))], there.rows)
    cells = encoder.transform(sp.csr_matrix(counts[:, ~half]), permuted, own_statistics=True)
    assert np.mean(cells.argmax(1) == TYPES) < 0.6


@pytest.mark.parametrize("representation", ["profile", "trunk"])
def test_restored_encoders_give_the_same_bytes(counts, peaks, representation):
    encoder = CellEncoder.fit(counts, peaks, TYPES, representation=representation)
    again = CellEncoder.restore(encoder.arrays(), encoder.settings())
    assert again.transform(counts, peaks).tobytes() == encoder.transform(counts, peaks).tobytes()


def test_encoders_saved_before_there_were_profiles_can_be_read(counts, peaks):
    encoder = CellEncoder.fit(counts, peaks)
    older = {k: v for k, v in encoder.arrays().items() if not k.startswith(("profile", "trunk"))}
    again = CellEncoder.restore(older, encoder.settings())
    assert again.transform(counts, peaks).tobytes() == encoder.transform(counts, peaks).tobytes()


def test_a_profile_does_not_depend_on_companions(counts, peaks, encoder):
    together, alone = encoder.transform(counts, peaks), encoder.transform(counts[7], peaks)
    np.testing.assert_allclose(together[7], alone[0], atol=1e-5)


def test_profiles_need_types_and_peaks(counts, peaks):
    with pytest.raises(ValueError, match="needs cell types and 20 embedded peaks"):
        CellEncoder.fit(counts, peaks, representation="profile")
    with pytest.raises(ValueError, match="needs embedded peaks, and 0 of 240"):
        bare = PeakTable(np.zeros((len(peaks), 0), np.float32), peaks.rows)
        CellEncoder.fit(counts, bare, TYPES, representation="trunk")


def test_neighbours_are_of_the_same_type(counts):
    graph = neighbour_graph(counts, 5).toarray()
    np.testing.assert_allclose(graph.sum(1), 1, atol=1e-5)
    assert (np.diag(graph) > 0).all()
    assert graph[TYPES[:, None] == TYPES[None, :]].sum() / len(TYPES) > 0.9


def test_sharing_equals_a_loop_and_mends_single_cells(counts):
    rng = np.random.default_rng(0)
    chance = 0.2 * np.eye(4)[TYPES] + 0.8 * rng.dirichlet(np.ones(4), len(TYPES))
    logs = np.log(chance).astype(np.float32)
    graph = neighbour_graph(counts, 5).toarray()
    naive = [np.log(sum(w * chance[j] for j, w in enumerate(row))) for row in graph]
    shared = share_among_neighbours(logs, counts, 5)
    np.testing.assert_allclose(shared, naive, rtol=1e-4)
    assert np.mean(shared.argmax(1) == TYPES) > np.mean(logs.argmax(1) == TYPES) + 0.05
    assert share_among_neighbours(logs, counts, 0) is logs


def test_one_cell_has_no_neighbours(counts):
    assert neighbour_graph(sp.csr_matrix(counts[:1]), 5).toarray().tolist() == [[1.0]]


def test_bundles_carry_the_profiles(bundle, tmp_path, world, atlas):
    bundle.save(tmp_path / "b")
    again = Bundle.load(tmp_path / "b")
    assert bundle.encoder.profiles.maps.shape == (3, DIM, 4)
    assert again.encoder.profiles.maps.tobytes() == bundle.encoder.profiles.maps.tobytes()
    assert again.routes["sequence"].encoder.representation == "profile"
    query = world.cells(types_of(10), seed=5)
    first, second = (annotate(query, model, atlas) for model in (bundle, again))
    assert first.obsm["X_peakatlas"].tobytes() == second.obsm["X_peakatlas"].tobytes()


def test_a_lone_cell_with_other_peaks_is_told_by_the_references_statistics(world, bundle):
    far = PeakTable(world.values, np.full(len(world.start), -1))
    counts = sp.csr_matrix(world.cells(types_of(30), seed=9, depth=200).X)
    lone = [predict(bundle, counts[[cell]], far).best[0] for cell in (0, 35, 65, 95)]
    assert lone == ["type0", "type1", "type2", "type3"]
    together = predict(bundle, counts, far)
    assert together.route == "sequence"
    assert np.mean(together.best == [f"type{t}" for t in types_of(30)]) > 0.95
