"""What AnnData would refuse to write is repaired at reading or found before the work."""

from __future__ import annotations

import warnings
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from peakatlas.classifier.counts.matrix import read_counts
from peakatlas.classifier.counts.written import (
    OBS_COLUMNS,
    fresh_copy,
    make_writable,
    rehearse,
    result_columns,
)
from peakatlas.engine.errors import CountsError

NAMES = ["chr1:0-10", "chr1:20-30"]


def cells(**obs) -> ad.AnnData:
    frame = pd.DataFrame(obs, index=["a", "b", "c"])
    return ad.AnnData(sp.csr_matrix(np.ones((3, 2))), obs=frame, var=pd.DataFrame(index=NAMES))


def written_again(adata: ad.AnnData, path: Path) -> ad.AnnData:
    rehearse(adata, "f")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        adata.write_h5ad(path)
    return ad.read_h5ad(path)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pd.array(["x", "y", "x"], dtype="string"), ["x", "y", "x"]),
        (pd.array(["x", None, "y"], dtype="string"), ["x", np.nan, "y"]),
        (["x", None, "y"], ["x", np.nan, "y"]),
        ([1, "x", None], ["1", "x", np.nan]),
        ([True, None, False], [True, pd.NA, False]),
        (pd.Categorical([1, "x", 1]), ["1", "x", "1"]),
        (pd.to_datetime(["2020-01-02"] * 3), ["2020-01-02"] * 3),
    ],
)
def test_columns_that_are_refused_become_plain(values, expected, tmp_path):
    given = cells(note=values)
    make_writable(given, "f")
    found = written_again(given, tmp_path / "w.h5ad").obs["note"].tolist()
    assert [str(value) for value in found] == [str(value) for value in expected]


def test_names_of_nullable_strings_become_plain(tmp_path):
    given = cells()
    given.obs.index = pd.Index(["a", "b", "c"], dtype="string")
    make_writable(given, "f")
    assert written_again(given, tmp_path / "w.h5ad").obs_names.tolist() == ["a", "b", "c"]


def test_a_column_of_the_reserved_name_that_repeats_the_names_goes(tmp_path):
    given = cells()
    given.raw = ad.AnnData(given.X, var=given.var.assign(_index=NAMES, gc=[0.4, 0.5]))
    make_writable(given, "f")
    found = written_again(given, tmp_path / "w.h5ad")
    assert list(found.raw.var) == ["gc"]
    assert found.raw.X.toarray().tolist() == np.ones((3, 2)).tolist()


def test_another_column_of_the_reserved_name_is_renamed_and_said(tmp_path):
    given = cells(_index=["1", "2", "3"], index_=["x", "y", "z"])
    with pytest.warns(UserWarning, match="f: column '_index' is called 'index__' in the output"):
        make_writable(given, "f")
    assert written_again(given, tmp_path / "w.h5ad").obs["index__"].tolist() == ["1", "2", "3"]


def test_slashes_in_names_are_replaced_and_said(tmp_path):
    given = cells(**{"a/b": [1, 2, 3]})
    given.uns["k/l"] = "x"
    with pytest.warns(UserWarning, match="in the output"):
        make_writable(given, "f")
    found = written_again(given, tmp_path / "w.h5ad")
    assert found.obs["a_b"].tolist() == [1, 2, 3]
    assert found.uns["k_l"] == "x"


def test_what_cannot_be_repaired_is_found_by_a_rehearsal():
    given = cells()
    given.uns["pair"] = {"inside": (1, 2)}
    with pytest.raises(CountsError, match=r"f: uns\['pair'\] cannot be written to an h5ad"):
        rehearse(given, "f")


def test_a_rehearsal_leaves_all_as_it_was(tmp_path):
    given = cells(note=["x", "y", "x"])
    given.layers["more"] = given.X.copy()
    given.obsm["X_pca"] = np.ones((3, 2))
    rehearse(given, "f")
    assert given.obs["note"].dtype == object
    assert not list(tmp_path.iterdir())


def test_files_are_writable_once_read(tmp_path):
    given = cells(note=["x", "y", "z"])
    given.raw = given
    given.write_h5ad(tmp_path / "r.h5ad")
    with h5py.File(tmp_path / "r.h5ad", "r+") as file:
        raw = file["raw/var"]
        raw["names"], raw.attrs["_index"] = raw["_index"][:], "names"
        raw.attrs["column-order"] = np.array(["_index"], object)
        obs = file["obs"]
        obs.move("note", "plain")
        ad.settings.allow_write_nullable_strings = True
        try:
            ad.io.write_elem(obs, "note", pd.array(["x", None, "z"], dtype="string"))
        finally:
            ad.settings.allow_write_nullable_strings = False
    read = read_counts(tmp_path / "r.h5ad").adata
    found = written_again(read, tmp_path / "w.h5ad")
    assert found.obs["note"].tolist() == ["x", np.nan, "z"]
    assert list(found.raw.var) == []


RECORD = {"record": '{"levels": {"columns": ["fine"]}}'}


def test_only_columns_of_an_annotation_are_its_own():
    own = dict.fromkeys(OBS_COLUMNS, 1)
    given = cells(**own, peakatlas_truth=1, peakatlas_label_fine=1, peakatlas_label_mine=1)
    assert result_columns(given) == list(OBS_COLUMNS)
    given.uns["peakatlas"] = RECORD
    assert result_columns(given) == [*OBS_COLUMNS, "peakatlas_label_fine"]
    given.obsm["X_peakatlas"] = np.ones((3, 2))
    given.var["peakatlas_tier"] = given.var["peakatlas_own"] = "x"
    fresh = fresh_copy(given)
    assert list(fresh.obs) == ["peakatlas_truth", "peakatlas_label_mine"]
    assert list(fresh.var) == ["peakatlas_own"]
    assert not fresh.obsm and not fresh.uns
    assert "peakatlas_label" in given.obs and given.obsm


@pytest.mark.parametrize("kept", ["text", {"record": "no JSON"}, {"record": "[]"}, {}])
def test_a_key_of_ones_own_is_no_annotation(kept):
    given = cells()
    given.uns["peakatlas"] = kept
    assert fresh_copy(given).uns["peakatlas"] == kept


def test_a_backed_object_is_copied_into_memory(tmp_path):
    cells(n=[1, 2, 3]).write_h5ad(tmp_path / "b.h5ad")
    copy = fresh_copy(ad.read_h5ad(tmp_path / "b.h5ad", backed="r"))
    assert not copy.isbacked
    assert copy.X.toarray().tolist() == np.ones((3, 2)).tolist()
