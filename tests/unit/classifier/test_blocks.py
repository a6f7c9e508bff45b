"""Cells read from a file in blocks are labelled as cells read at once."""

from __future__ import annotations

import anndata as ad
import h5py
import numpy as np
import pytest
import scipy.sparse as sp
from cell_tools import types_of

from peakatlas.classifier.annotate import annotate, annotation_of
from peakatlas.classifier.counts import hdf5_files
from peakatlas.classifier.counts import rows as count_rows
from peakatlas.classifier.counts.rows import CountRows
from peakatlas.classifier.train import train
from peakatlas.engine.errors import CountsError


@pytest.fixture(scope="module")
def query(world):
    return world.cells(types_of(50), seed=7, depth=45)


@pytest.fixture
def stored(query, tmp_path):
    query.write_h5ad(tmp_path / "q.h5ad")
    with h5py.File(tmp_path / "q.h5ad") as file:
        yield CountRows(ad.io.sparse_dataset(file["X"]), "q.h5ad")


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(count_rows, "MOST_CELLS", 37)


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
    assert [block.shape[0] for _, block in CountRows(query.X).blocks()] == [1] * 200


def test_blocks_do_not_change_what_is_said_of_a_cell(query, bundle, atlas, monkeypatch):
    whole = annotate(query, bundle, atlas)
    monkeypatch.setattr(count_rows, "MOST_CELLS", 37)
    part = annotate(query, bundle, atlas)
    assert part.obs["peakatlas_label"].tolist() == whole.obs["peakatlas_label"].tolist()
    for name in ("confidence", "novelty"):
        column = f"peakatlas_{name}"
        np.testing.assert_allclose(part.obs[column], whole.obs[column], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        part.obsm["X_peakatlas"], whole.obsm["X_peakatlas"], rtol=1e-3, atol=1e-3
    )


def test_a_reference_is_read_in_blocks(reference, small_blocks, tmp_path):
    whole = train(reference, "cell_type")
    reference.write_h5ad(tmp_path / "r.h5ad")
    backed = train(ad.read_h5ad(tmp_path / "r.h5ad", backed="r"), "cell_type")
    assert (whole.reference.counts != backed.reference.counts).nnz == 0
    assert (whole.reference.counts != reference.X).nnz == 0


def test_a_fault_in_a_file_names_its_cell(query, small_blocks, bundle, tmp_path):
    wrong = query.copy()
    wrong.X[105, 3] = -2
    wrong.write_h5ad(tmp_path / "w.h5ad")
    backed = ad.read_h5ad(tmp_path / "w.h5ad", backed="r")
    with pytest.raises(CountsError, match=r"1 negative .* cell 105 peak 3 \(-2\)"):
        annotate(backed, bundle)


def test_a_large_file_is_annotated_without_its_counts_in_memory(
    query, bundle, atlas, small_blocks, monkeypatch, tmp_path
):
    query.layers["other"] = query.X.copy()
    query.uns["note"] = "mine"
    query.write_h5ad(tmp_path / "q.h5ad")
    whole = annotation_of(tmp_path / "q.h5ad", bundle, atlas)
    assert not whole.counts.rows.stored
    monkeypatch.setattr(hdf5_files, "MOST_IN_MEMORY", 1000)
    part = annotation_of(tmp_path / "q.h5ad", bundle, atlas)
    assert part.counts.rows.stored
    whole.write(tmp_path / "whole.h5ad")
    part.write(tmp_path / "part.h5ad")
    one, two = (ad.read_h5ad(tmp_path / f"{name}.h5ad") for name in ("whole", "part"))
    assert (one.X != two.X).nnz == 0 and (two.layers["other"] != query.X).nnz == 0
    assert two.uns["note"] == "mine" and list(one.obs) == list(two.obs)
    assert one.obs["peakatlas_label"].tolist() == two.obs["peakatlas_label"].tolist()
    assert two.var["peakatlas_tier"].tolist() == one.var["peakatlas_tier"].tolist()
    np.testing.assert_allclose(two.obsm["X_peakatlas"], one.obsm["X_peakatlas"], atol=1e-3)
    with h5py.File(tmp_path / "part.h5ad", "r+") as file:  # the map of an annotation that was
        ad.io.write_elem(file["obsm"], "X_peakatlas_tsne", np.zeros((query.n_obs, 2)))
    again = annotation_of(tmp_path / "part.h5ad", bundle, atlas)
    again.write(tmp_path / "again.h5ad")
    third = ad.read_h5ad(tmp_path / "again.h5ad")
    assert list(third.obs) == list(two.obs) and set(third.obsm) == set(two.obsm)
    held = part.to_anndata()
    assert (held.X != query.X).nnz == 0
