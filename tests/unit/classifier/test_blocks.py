"""Cells read in blocks are told as cells read at once; what is drawn stands for all."""

from __future__ import annotations

import anndata as ad
import h5py
import numpy as np
import pytest
import scipy.sparse as sp
from cell_tools import types_of

from peakatlas.classifier import survey
from peakatlas.classifier.annotate import annotate
from peakatlas.classifier.counts import rows as count_rows
from peakatlas.classifier.counts.peak_table import PeakTable
from peakatlas.classifier.counts.rows import CountRows
from peakatlas.classifier.counts.sparse import inverse_document_frequency
from peakatlas.classifier.landmarks import landmark_mean
from peakatlas.classifier.novelty import smooth
from peakatlas.classifier.predict import predict
from peakatlas.classifier.query_graph import OwnAxes, share_among_landmarks
from peakatlas.classifier.train import train
from peakatlas.engine.errors import CountsError


@pytest.fixture(scope="module")
def query(world):
    return world.cells(types_of(100), seed=7, depth=45)


@pytest.fixture(scope="module")
def peaks(world):
    return PeakTable(world.values, np.arange(len(world.start)))


@pytest.fixture()
def stored(query, tmp_path):
    query.write_h5ad(tmp_path / "q.h5ad")
    with h5py.File(tmp_path / "q.h5ad") as file:
        yield CountRows(ad.io.sparse_dataset(file["X"]), "q.h5ad")


@pytest.fixture()
def small_blocks(monkeypatch):
    monkeypatch.setattr(count_rows, "MOST_CELLS", 37)


def same(one, other, **tolerance):
    for name in ("novelty", "confidence", "latent", "probabilities"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), **tolerance)
    assert one.labels.tolist() == other.labels.tolist()
    assert one.adaptation == other.adaptation


def test_blocks_cover_all_rows_within_both_limits(query, stored, monkeypatch):
    monkeypatch.setattr(count_rows, "MOST_CELLS", 37)
    monkeypatch.setattr(count_rows, "MOST_COUNTS", 1000)
    for rows in (CountRows(query.X), stored):
        blocks = list(rows.blocks())
        assert max(block.shape[0] for _, block in blocks) <= 37
        assert max(block.nnz for _, block in blocks) <= 1000
        assert [start for start, _ in blocks][1] == blocks[0][1].shape[0]
        assert (sp.vstack([block for _, block in blocks]) != query.X).nnz == 0
    monkeypatch.setattr(count_rows, "MOST_COUNTS", 1)
    assert [block.shape[0] for _, block in CountRows(query.X).blocks()] == [1] * 400


def test_a_survey_counts_what_the_whole_matrix_has(query, stored, small_blocks, monkeypatch):
    monkeypatch.setattr(survey, "MOST_DRAWN", 50)
    calls = []
    found = survey.survey(stored, seed=3, count=lambda done, total: calls.append((done, total)))
    assert found.totals.tolist() == np.asarray(query.X.sum(axis=0)).ravel().tolist()
    assert found.depth.tolist() == np.asarray(query.X.sum(axis=1)).ravel().tolist()
    assert found.idf.tobytes() == inverse_document_frequency(query.X).tobytes()
    assert len(found.drawn) == 50 and not found.complete
    assert (found.cells != query.X[found.drawn]).nnz == 0
    assert calls[0] == (37, 400) and calls[-1] == (400, 400)


def test_cells_of_a_file_are_told_as_those_in_memory(query, stored, small_blocks, bundle, peaks):
    same(predict(bundle, stored, peaks), predict(bundle, query.X, peaks), rtol=0)


def test_blocks_and_drawn_cells_give_nearly_the_same(
    query, stored, small_blocks, bundle, peaks, monkeypatch
):
    whole = predict(bundle, query.X, peaks, alignment="self-training")
    monkeypatch.setattr(survey, "MOST_DRAWN", 320)
    part = predict(bundle, stored, peaks, alignment="self-training")
    same(part, predict(bundle, query.X, peaks, alignment="self-training"), rtol=0)
    assert np.mean(part.best == whole.best) > 0.98
    assert np.abs(part.novelty - whole.novelty).mean() < 0.15
    assert np.abs(part.confidence - whole.confidence).mean() < 0.02


def test_a_block_does_not_change_what_is_said_of_a_cell(query, bundle, peaks, monkeypatch):
    monkeypatch.setattr(survey, "MOST_DRAWN", 320)
    found = []
    for size in (37, 400):
        monkeypatch.setattr(count_rows, "MOST_CELLS", size)
        found.append(predict(bundle, query.X, peaks))
    same(*found, rtol=2e-4, atol=2e-5)


def test_without_shared_peaks_landmarks_serve_as_well(world, atlas, fast, monkeypatch):
    order = np.random.default_rng(0).permutation(240)
    reference = world.cells(types_of(60), seed=1, peaks=np.sort(order[:120]))
    query = world.cells(types_of(100), seed=2, peaks=np.sort(order[120:]))
    model = train(reference, "cell_type", atlas, options=fast)
    whole = annotate(query, model, atlas)
    monkeypatch.setattr(survey, "MOST_DRAWN", 320)
    monkeypatch.setattr(count_rows, "MOST_CELLS", 37)
    part = annotate(query, model, atlas)
    right = [(a.obs["peakatlas_best"] == query.obs["cell_type"]).mean() for a in (whole, part)]
    assert right[0] > 0.75 and right[1] > right[0] - 0.05


def test_a_fault_in_a_file_names_its_cell(query, small_blocks, bundle, peaks, tmp_path):
    wrong = query.copy()
    wrong.X[205, 3] = -2
    wrong.write_h5ad(tmp_path / "w.h5ad")
    with h5py.File(tmp_path / "w.h5ad") as file:
        rows = CountRows(ad.io.sparse_dataset(file["X"]), "w.h5ad")
        with pytest.raises(CountsError, match=r"w\.h5ad: 1 negative .* cell 205 peak 3 \(-2\)"):
            predict(bundle, rows, peaks)


def test_landmark_means_equal_a_loop():
    rng = np.random.default_rng(0)
    cells = rng.normal(size=(60, 4)).astype(np.float32)
    values = rng.normal(size=(60, 2)).astype(np.float32)
    landmarks = np.sort(rng.choice(60, 20, replace=False))
    naive = []
    for i in range(60):
        others = landmarks[landmarks != i]
        near = others[np.argsort(np.linalg.norm(cells[others] - cells[i], axis=1))[:3]]
        naive.append(values[[i, *near]].mean(axis=0))
    np.testing.assert_allclose(landmark_mean(values, cells, landmarks, 3), naive, rtol=1e-4)
    every = landmark_mean(values[:, 0], cells, np.arange(60), 3)
    unit = cells / np.linalg.norm(cells, axis=1, keepdims=True)
    np.testing.assert_allclose(
        smooth(values[:, 0], cells, 3),
        landmark_mean(values[:, 0], unit, np.arange(60), 3),
        rtol=1e-4,
    )
    assert every.shape == (60,)


def test_probabilities_are_shared_among_landmarks_of_a_kind(query):
    axes = OwnAxes.fit(query.X, inverse_document_frequency(query.X))
    places = axes.places(query.X)
    np.testing.assert_allclose(places, axes.fitted, atol=1e-4)
    chance = np.full((400, 2), 0.5, np.float32)
    chance[:100] = (0.9, 0.1)
    shared = share_among_landmarks(np.log(chance), places, np.arange(0, 400, 2), 5)
    np.testing.assert_allclose(np.exp(shared).sum(axis=1), 1, rtol=1e-5)
    assert np.exp(shared[:100, 0]).mean() > 0.8 and np.exp(shared[100:, 0]).mean() < 0.55
