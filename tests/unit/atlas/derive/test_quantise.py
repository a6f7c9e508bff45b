import json

import numpy as np
import pytest

from peakatlas.atlas import Atlas, build_atlas
from peakatlas.atlas.build.append import append_rows
from peakatlas.atlas.check.repair import repair_atlas
from peakatlas.atlas.check.verify import verify_atlas
from peakatlas.atlas.derive.quantise import quantise_atlas
from peakatlas.atlas.format.int8 import Int8Code
from peakatlas.engine.errors import AtlasError
from peakatlas.engine.intervals.table import Intervals
from tests.atlas_tools import ToyEmbedder, random_intervals, tree_bytes, write_toy_atlas


@pytest.fixture
def built(tmp_path, genome):
    rows = Intervals.concatenate(
        [Intervals.from_columns(["chr1"], [20], [80]), random_intervals(60)]
    )
    build_atlas(genome, rows, tmp_path / "a.zarr", ToyEmbedder(), shard_rows=16)
    return tmp_path / "a.zarr"


def test_codes_are_the_nearest():
    rng = np.random.default_rng(0)
    values = rng.normal(3, 2, (200, 5)).astype(np.float32)
    values[:, 4] = 7.25
    code = Int8Code.covering(values.min(axis=0), values.max(axis=0))
    codes = code.encode(values)
    assert codes.min() == -127
    assert codes.max() == 127
    every = code.decode(np.repeat(np.arange(-127, 128)[:, None], 5, axis=1).astype(np.int8))
    nearest = np.abs(values[:, None] - every[None]).min(axis=1)
    found = np.abs(values - code.decode(codes))
    np.testing.assert_allclose(found, nearest, atol=1e-6)
    np.testing.assert_array_equal(code.decode(codes)[:, 4], values[:, 4])
    assert found.max() <= np.asarray(code.scale).max() / 2 * 1.0001


def test_nan_has_a_code_of_its_own():
    code = Int8Code.covering([0.0, 0.0], [1.0, 1.0])
    codes = code.encode([[np.nan, 0.5], [0.0, 1.0]])
    assert codes.tolist() == [[-128, 0], [-127, 127]]
    np.testing.assert_array_equal(code.decode(codes), [[np.nan, 0.5], [0, 1]])


def test_a_code_that_cannot_be_is_refused():
    with pytest.raises(AtlasError, match=r"shape \(1,\), embedding_offset \(2,\)"):
        Int8Code(scale=(1.0,), offset=(0.0, 0.0))
    for scale in (0.0, -1.0, float("nan")):
        with pytest.raises(AtlasError, match="above 0"):
            Int8Code(scale=(scale,), offset=(0.0,))


def test_a_quantised_atlas_is_nearly_the_same(built, tmp_path):
    found = quantise_atlas(built, tmp_path / "q.zarr")
    before, rows = Atlas.open(built), np.arange(61)
    was, now = before.gather(rows), found.atlas.gather(rows)
    assert now.dtype == np.float32
    np.testing.assert_array_equal(np.isnan(now), np.isnan(was))
    assert np.isnan(now[0]).all()
    step = np.ptp(was[1:], axis=0) / 254
    assert (np.abs(now - was)[1:] <= step / 2 * 1.001).all()
    middle = was[1:].mean(axis=0)
    a, b = was[1:] - middle, now[1:] - middle
    cosine = (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert found.least_cosine == pytest.approx(cosine.min(), abs=1e-6)
    assert found.mean_cosine == pytest.approx(cosine.mean(), abs=1e-6)
    assert found.n_embedded == 60
    assert found.least_cosine > 0.999
    np.testing.assert_array_equal(found.atlas.digests, before.digests)
    np.testing.assert_array_equal(found.atlas.state, before.state)
    assert found.atlas.intervals == before.intervals


def test_it_takes_half_the_bytes_for_embeddings_and_says_its_version(built, tmp_path):
    quantise_atlas(built, tmp_path / "q.zarr")
    manifest = json.loads((tmp_path / "q.zarr" / "manifest.json").read_text())
    plan = json.loads((tmp_path / "q.zarr" / "segment-0000" / "plan.json").read_text())
    assert manifest["format_version"] == plan["format_version"] == "2.1"
    assert len(plan["embedding_scale"]) == len(plan["embedding_offset"]) == 8
    assert plan["derived"]["by"] == "quantise"
    files = manifest["segments"][0]["files"]
    assert files["embedding_int8/c/0/0"]["bytes"] == 1024 * 8 + 4 + 16 + 4
    assert not any(name.startswith("embedding/") for name in files)
    assert Atlas.open(tmp_path / "q.zarr").spec == Atlas.open(built).spec
    assert Atlas.open(tmp_path / "q.zarr").info()["stored_as"] == "int8"


def test_verify_and_repair_know_int8(built, genome, tmp_path):
    out = tmp_path / "q.zarr"
    quantise_atlas(built, out)
    before = tree_bytes(out)
    report = verify_atlas(out, deep=True, source=genome, embedder=ToyEmbedder(), reembed=61)
    assert report.ok
    assert report.facts["n_reembedded_equal"] == 61
    for name in ("embedding_int8/c/0/0", "embedding_int8/zarr.json"):
        data = bytearray((out / "segment-0000" / name).read_bytes())
        data[9] ^= 2
        (out / "segment-0000" / name).write_bytes(data)
    assert len(verify_atlas(out, deep=True).faults) == 2
    repair_atlas(out, source=genome, embedder=ToyEmbedder)
    assert tree_bytes(out) == before


def test_rows_can_be_appended_to_it(built, genome, tmp_path):
    out = tmp_path / "q.zarr"
    first = quantise_atlas(built, out).atlas.gather(np.arange(61))
    more = random_intervals(10, seed=3, extent=20_000)
    embedded = ToyEmbedder().embed(more, genome)
    atlas = append_rows(out, more, embedded, genome={"name": "toy.fa"})
    assert atlas.info()["format_version"] == "2.1"
    np.testing.assert_array_equal(atlas.gather(np.arange(61)), first)
    np.testing.assert_array_equal(
        atlas.gather(np.arange(61, 71)), embedded.values.astype(np.float16).astype(np.float32)
    )
    assert verify_atlas(out, deep=True).ok


def test_once_is_enough(built, tmp_path):
    quantise_atlas(built, tmp_path / "q.zarr")
    with pytest.raises(AtlasError, match="int8 embeddings already"):
        quantise_atlas(tmp_path / "q.zarr", tmp_path / "r.zarr")


def test_masked_rows_alone_cannot_be_quantised(genome, tmp_path):
    n_rows = Intervals.from_columns(["chr1"], [20], [80])
    build_atlas(genome, n_rows, tmp_path / "n.zarr", ToyEmbedder())
    with pytest.raises(AtlasError, match="masked rows only"):
        quantise_atlas(tmp_path / "n.zarr", tmp_path / "q.zarr")


def test_a_random_atlas_loses_as_much_as_255_levels_must(tmp_path):
    write_toy_atlas(tmp_path / "a.zarr", random_intervals(300), shard_rows=128)
    found = quantise_atlas(tmp_path / "a.zarr", tmp_path / "q.zarr")
    assert 0.9990 < found.least_cosine < found.mean_cosine < 0.99999
