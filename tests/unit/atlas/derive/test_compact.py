"""Compacting keeps every value, folds segments into one, and loses nothing when it dies."""

import shutil

import numpy as np
import pytest

from peakatlas.atlas import Atlas, build_atlas, compact_atlas, quantise_atlas
from peakatlas.atlas.check.verify import verify_atlas
from peakatlas.atlas.format.schema import check_manifest, seal_manifest
from peakatlas.atlas.format.segment import read_manifest
from peakatlas.engine.errors import AtlasError
from tests.atlas_tools import (
    ToyEmbedder,
    append_toy_rows,
    random_intervals,
    rows_by_interval,
    tree_bytes,
)

N_SEGMENTS = 4


@pytest.fixture(scope="module")
def grown(tmp_path_factory, genome):
    """An atlas of several segments, in no common order."""
    path = tmp_path_factory.mktemp("grown") / "a.zarr"
    build_atlas(genome, random_intervals(20), path, ToyEmbedder(), shard_rows=8)
    for seed in range(1, N_SEGMENTS):
        append_toy_rows(path, random_intervals(5, seed=seed), genome)
    return path


@pytest.fixture
def path(grown, tmp_path):
    return shutil.copytree(grown, tmp_path / "a.zarr")


def test_every_row_keeps_what_it_had(path):
    before = rows_by_interval(path)
    kept = {s["name"]: s["software"] for s in read_manifest(path)["segments"]}
    manifest = read_manifest(path)
    atlas = compact_atlas(path)
    assert rows_by_interval(path) == before
    assert len(atlas) == 35
    assert np.array_equal(atlas.intervals.genome_order(), np.arange(35))
    (segment,) = read_manifest(path)["segments"]
    assert segment["software"].keys() == kept["segment-0000"].keys()
    assert segment["name"] == f"segment-{N_SEGMENTS:04d}"
    assert [folder.name for folder in path.glob("segment-*")] == [segment["name"]]
    derived = atlas.provenance["derived"]
    assert derived["by"] == "compact"
    assert derived["parents"][0]["manifest_sha256"] == manifest["sha256"]
    report = verify_atlas(path, deep=True)
    assert (report.faults, report.notes) == ((), ())


def test_one_segment_stays_as_it_is(path):
    compact_atlas(path)
    before, manifest = tree_bytes(path), (path / "manifest.json").read_bytes()
    compact_atlas(path)
    assert tree_bytes(path) == before
    assert (path / "manifest.json").read_bytes() == manifest


def test_a_compacted_atlas_is_built_on_and_compacted_again(path, genome):
    compact_atlas(path)
    append_toy_rows(path, random_intervals(6, seed=50), genome)
    names = [segment["name"] for segment in read_manifest(path)["segments"]]
    assert names == [f"segment-{N_SEGMENTS:04d}", f"segment-{N_SEGMENTS + 1:04d}"]
    before = rows_by_interval(path)
    assert len(compact_atlas(path)) == 41
    assert rows_by_interval(path) == before
    build_atlas(genome, Atlas.open(path).intervals, path, ToyEmbedder())
    with pytest.raises(AtlasError, match="begun with other intervals"):
        build_atlas(genome, random_intervals(3, seed=77), path, ToyEmbedder())
    assert rows_by_interval(path) == before


def test_what_a_dead_append_left_is_no_hindrance(path):
    before = rows_by_interval(path)
    left = path / f"segment-{N_SEGMENTS:04d}"
    shutil.copytree(path / "segment-0001", left)
    compact_atlas(path)
    assert rows_by_interval(path) == before
    assert verify_atlas(path, deep=True).ok


@pytest.mark.parametrize(
    ("version", "numbers"), [("1.1", (0, 2)), ("1.0", (1,)), ("1.0", (0, 2)), ("1.1", (4, 3))]
)
def test_segments_follow_each_other(version, numbers):
    segment = {"n_rows": 1, "finished": "", "software": {}, "files": {}}
    manifest = {
        "format": "peakatlas-atlas", "format_version": version, "spec": {}, "spec_digest": "",
        "n_rows": len(numbers),
        "segments": [segment | {"name": f"segment-{number:04d}"} for number in numbers],
    }  # fmt: skip
    with pytest.raises(AtlasError, match="not numbered from 0"):
        check_manifest(seal_manifest(manifest), "here")


def test_int8_rows_keep_their_codes_and_are_not_mixed(path, tmp_path, genome):
    quantise_atlas(path, tmp_path / "int8.zarr")
    append_toy_rows(tmp_path / "int8.zarr", random_intervals(4, seed=60), genome)
    with pytest.raises(AtlasError, match="float16 and int8"):
        compact_atlas(tmp_path / "int8.zarr")
    assert len(Atlas.open(tmp_path / "int8.zarr")) == 39
