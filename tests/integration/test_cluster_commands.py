"""Atlases that are built, finished and extended by separate commands."""

import json
import shutil

import numpy as np
import pytest

from peakatlas.atlas import Atlas, build_atlas
from peakatlas.atlas.storage.locks import locked
from tests.atlas_tools import tree_bytes


@pytest.fixture
def begin(run, world, toy_esm, tmp_path):
    """Lay the world's 60 peaks out in 4 shards; returns the atlas."""
    out = tmp_path / "parts.zarr"

    def begin(*options):
        return run("atlas", "init", world / "genome.fa", world / "peaks.bed", out,
                   "--model", toy_esm, "--shard-rows", 16, *options)  # fmt: skip

    done = begin("--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["n_shards"] == 4
    assert f"next: peakatlas atlas write-shard {out}" in done.err
    return begin


@pytest.fixture
def write(run, world, tmp_path):
    def write(shards, *options, genome=None):
        return run("atlas", "write-shard", tmp_path / "parts.zarr", genome or world / "genome.fa",
                   "--shard", shards, *options)  # fmt: skip

    return write


def test_separate_commands_make_the_atlas_of_one_build(run, begin, write, world, toy_esm, tmp_path):
    from peakatlas import Embedder, build_atlas  # noqa: PLC0415 (torch is slow)

    whole, parts = tmp_path / "whole.zarr", tmp_path / "parts.zarr"
    build_atlas(world / "genome.fa", world / "peaks.bed", whole, Embedder.load(str(toy_esm)),
                shard_rows=16)  # fmt: skip
    first = write("3,0")
    assert first.code == 0, first.err
    assert "wrote 2 of 4 shards; missing: shard 1, 2\n" in first.err
    unfinished = run("atlas", "finalise", parts)
    assert unfinished.code == 1
    assert "2 of 4 shards are missing (shard 1, 2)" in unfinished.err
    assert run("atlas", "info", parts).code == 1
    rest = write("0-2")
    assert "note: shard 0 was done already" in rest.err
    assert "none is missing; next: peakatlas atlas finalise" in rest.err
    assert json.loads(run("atlas", "finalise", parts, "--json").out)["n_intervals"] == 60
    assert tree_bytes(parts) == tree_bytes(whole)
    manifest = (parts / "manifest.json").read_bytes()
    assert run("atlas", "finalise", parts).code == 0
    assert (parts / "manifest.json").read_bytes() == manifest


def test_init_again_is_the_same_atlas_or_refused(begin, write):
    write("1")
    assert json.loads(begin("--json").out)["n_done"] == 1
    refused = begin("--window", "centre:90")
    assert refused.code == 1
    assert "window: centre:510 != centre:90" in refused.err


def test_shards_that_cannot_be_written_are_named(begin, write, world, tmp_path):
    outside = write("2,4-6")
    assert outside.code == 1
    assert "has the shards 0-3; 4-6 was asked for" in outside.err
    assert "'3-1' is not a list of shards" in write("3-1").err
    assert "Example: --shard 0-15,20" in write("a").err
    log = tmp_path / "parts.zarr" / "segment-0000" / "log"
    with locked(log, "claim-00001"):
        held = write("0-2")
    assert held.code == 1
    assert "shard 1 of" in held.err
    assert "is held by another process" in held.err
    assert sorted(path.name for path in log.glob("*.json")) == [
        "shard-00000.json", "shard-00002.json",
    ]  # fmt: skip


def test_another_genome_or_model_is_refused(begin, write, world, toy_esm, tmp_path):
    other = tmp_path / "other.fa"
    other.write_text((world / "genome.fa").read_text().replace("ACGT", "ACGA"))
    assert "was built from genome.fa, and other.fa is another build" in write("0", genome=other).err
    model = shutil.copytree(toy_esm, tmp_path / "model")
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"layer_norm_eps": 0.5}))
    refused = write("0", "--model", model)
    assert refused.code == 1
    assert "config_sha256" in refused.err


def test_append_adds_what_is_not_there(run, built, world, tmp_path):
    atlas = shutil.copytree(built, tmp_path / "atlas.zarr")
    before = Atlas.open(atlas).gather(np.arange(60))
    bed = tmp_path / "more.bed"
    bed.write_text("chr1\t1000\t1500\nchr1\t1100\t1600\nchr1\t2200\t2700\nchr1\t1100\t1600\n")
    command = ("atlas", "append", atlas, world / "genome.fa", bed)
    done = run(*command, "--json")
    assert done.code == 0, done.err
    assert "added 2 of 4 peaks" in done.err
    assert "embedding: 4 of 4 (100 %)" in done.err
    assert json.loads(done.out)["n_intervals"] == 62
    with Atlas.open(atlas) as opened:
        np.testing.assert_array_equal(opened.gather(np.arange(60)), before)
        assert opened.intervals.names()[60:] == ["chr1:1100-1600", "chr1:2200-2700"]
        assert np.isfinite(opened.gather([60, 61])).all()
    manifest = (atlas / "manifest.json").read_bytes()
    assert "added 0 of 4 peaks" in run(*command).err
    assert (atlas / "manifest.json").read_bytes() == manifest


def test_append_to_what_is_no_atlas(run, world, tmp_path):
    refused = run("atlas", "append", tmp_path / "none.zarr", world / "genome.fa",
                  world / "peaks.bed")  # fmt: skip
    assert refused.code == 1
    assert "does not exist" in refused.err
    (tmp_path / "empty").mkdir()
    assert "is not an atlas that was begun" in run("atlas", "finalise", tmp_path / "empty").err


def test_a_dask_cluster_takes_all_the_shards_of_a_build(
    run, world, toy_peaklm, tmp_path, monkeypatch
):
    build = ("atlas", "build", world / "genome.fa", world / "peaks.bed", tmp_path / "dask.zarr")
    options = ("--model", toy_peaklm, "--dask", "tcp://there:8786")
    wrong = run(*build, *options, "--partition", "1/2")
    assert wrong.code == 2
    assert "leave --partition out" in wrong.err
    given = []

    def build_on_dask(genome, peaks, out, embedder, address, *, said, progress, **rules):
        given.append((address, rules))
        said("http://there/status")
        return build_atlas(genome, peaks, out, embedder, progress=progress)

    monkeypatch.setattr("peakatlas.atlas.build.dask_cluster.build_on_dask", build_on_dask)
    done = run(*build, *options, "--match-contigs", "--json")
    assert done.code == 0, done.err
    assert given == [("tcp://there:8786", {"match_contigs": True, "trust_remote_code": False})]
    assert "dashboard: http://there/status" in done.err
    assert json.loads(done.out)["n_intervals"] == 60
