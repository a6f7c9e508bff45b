"""Rows of an atlas in pandas and AnnData are those of the atlas."""

import anndata as ad
import numpy as np
import pytest

from peakatlas.atlas import Atlas
from peakatlas.atlas.format.schema import MASKED
from peakatlas.engine.errors import AtlasError
from tests.atlas_tools import begin_toy_atlas, random_intervals, toy_rows

MASKED_ROW = 3


@pytest.fixture(scope="module")
def atlas(tmp_path_factory):
    path = tmp_path_factory.mktemp("exchange") / "a.zarr"
    values, digests, n_fraction, state = toy_rows(10)
    values[MASKED_ROW], state[MASKED_ROW], n_fraction[MASKED_ROW] = np.nan, MASKED, 1
    writer = begin_toy_atlas(path, random_intervals(10))
    for shard in range(writer.n_shards):
        part = writer.shard_rows_of(shard)
        writer.write_shard(shard, values[part], digests[part], n_fraction[part], state[part])
    writer.finalise()
    return Atlas.open(path)


def test_a_table_holds_the_rows_asked_for_in_their_order(atlas):
    frame = atlas.to_frame([7, 3, 3])
    assert frame.index.tolist() == [7, 3, 3]
    assert frame.columns.tolist() == ["chrom", "start", "end", "state", "n_fraction"]
    assert frame["start"].tolist() == atlas.intervals.start[[7, 3, 3]].tolist()
    assert frame["state"].tolist() == ["embedded", "masked", "masked"]
    assert frame["n_fraction"].tolist() == [0, 1, 1]
    assert len(atlas.to_frame()) == 10
    assert len(atlas.to_frame([])) == 0


def test_anndata_holds_embeddings_and_goes_through_a_file(atlas, tmp_path):
    rows = [7, 3, 0]
    atlas.to_anndata(rows).write_h5ad(tmp_path / "rows.h5ad")
    read = ad.read_h5ad(tmp_path / "rows.h5ad")
    np.testing.assert_array_equal(read.X, atlas.gather(rows))
    assert read.X.dtype == np.float32
    assert read.obs_names.tolist() == [atlas.intervals.take([row]).names()[0] for row in rows]
    assert read.obs["row"].tolist() == rows
    assert read.uns["peakatlas"]["spec"]["window"] == atlas.spec.window
    assert read.uns["peakatlas"]["model"]["licence"] == "MIT"
    assert atlas.to_anndata().shape == (10, atlas.dim)


@pytest.mark.parametrize("row", [-1, 10])
def test_rows_outside_are_refused(atlas, row):
    with pytest.raises(AtlasError, match=f"row {row} is outside 0 … 9 of"):
        atlas.to_anndata([0, row])


def test_xarray_reads_the_rows_that_are_selected(atlas, monkeypatch):
    xarray = pytest.importorskip("xarray", reason="xarray is not installed")
    taken, gather = [], atlas.gather
    monkeypatch.setattr(atlas, "gather", lambda rows: taken.append(list(rows)) or gather(rows))
    found = atlas.to_xarray()
    assert isinstance(found, xarray.Dataset)
    assert dict(found.sizes) == {"row": 10, "dim": atlas.dim}
    assert not taken
    some = found.isel(row=[7, 3, 3], dim=slice(2, 5))
    np.testing.assert_array_equal(some.embedding.values, gather([7, 3, 3])[:, 2:5])
    assert {row for rows in taken for row in rows} == {3, 7}
    np.testing.assert_array_equal(found.embedding[4].values, gather([4])[0])
    np.testing.assert_array_equal(found.embedding.values, gather(np.arange(10)))


def test_xarray_knows_intervals_states_and_provenance(atlas):
    pytest.importorskip("xarray", reason="xarray is not installed")
    found, frame = atlas.to_xarray(), atlas.to_frame()
    for name in ("chrom", "start", "end", "n_fraction"):
        assert found[name].values.tolist() == frame[name].tolist()
    assert found.state.values.tolist() == atlas.state.tolist()
    assert found.state.attrs["flag_meanings"] == "absent embedded masked"
    chosen = found.isel(row=np.flatnonzero(found.chrom == "chr2"))
    assert chosen.start.values.tolist() == frame["start"][frame["chrom"] == "chr2"].tolist()
    assert found.attrs["model"]["licence"] == "MIT"
    assert found.attrs["spec"] == atlas.spec.to_json()
