"""`peakatlas atlas build --plan`: what it says is what a build does, and nothing is written."""

import json
import shutil
from collections import namedtuple

import numpy as np
import pytest

from peakatlas.atlas import build_atlas
from peakatlas.atlas.build import estimate
from peakatlas.atlas.build.inputs import read_inputs
from peakatlas.engine.dna.genome import open_genome
from peakatlas.engine.embedder import Embedder
from tests.atlas_tools import begin_toy_atlas, random_intervals, toy_rows, tree_bytes


@pytest.fixture
def plan(run, world, toy_esm, tmp_path):
    def plan(*options, peaks=world / "peaks.bed", out=tmp_path / "a.zarr"):
        return run("atlas", "build", world / "genome.fa", peaks, out, "--model", toy_esm,
                   "--plan", *options)  # fmt: skip

    return plan


def test_plan_counts_what_a_build_does(plan, world, toy_esm, tmp_path):
    peaks = tmp_path / "long.bed"
    peaks.write_text((world / "peaks.bed").read_text() + "chr1\t1000\t1500\nchr1\t2000\t4000\n")
    window = ("--window", "peak:500:100")
    said = json.loads(plan(*window, "--json", peaks=peaks).out)
    assert not (tmp_path / "a.zarr").exists()
    embedder = Embedder.load(str(toy_esm), window="peak:500:100")
    build_atlas(world / "genome.fa", peaks, tmp_path / "a.zarr", embedder)
    assert (said["n_rows"], said["n_repeats"], said["n_windows"]) == (61, 1, 60 + 5)
    assert said["n_tokens"] == embedder.tokens_done
    assert (said["n_shards"], said["n_shards_done"], said["finished"]) == (1, 0, False)
    assert said["has_room"] is True
    assert said["seconds_left"] == pytest.approx(61 / said["burst"]["peaks_per_s"])
    before = tree_bytes(tmp_path / "a.zarr")
    done = json.loads(plan(*window, "--json", "--no-measure", peaks=peaks).out)
    assert tree_bytes(tmp_path / "a.zarr") == before
    assert (done["n_shards_done"], done["n_rows_done"], done["n_bytes_left"]) == (1, 61, 0)
    assert done["finished"] is True
    assert done["burst"] is None
    assert done["seconds_left"] is None


def test_plan_in_words(plan, built):
    lines = dict(line.split("  ", 1) for line in plan("--no-measure").out.splitlines())
    shown = {name: text.strip() for name, text in lines.items()}
    assert shown["atlas"].endswith("a.zarr: not begun")
    assert shown["rows"] == shown["windows"] == "60"
    assert shown["shards"] == "1 of 1,024 rows"
    assert shown["time left"] == "not measured"
    assert "built" not in shown
    assert "finished, nothing to do" in plan("--no-measure", out=built).out


def test_plan_warns_of_a_small_disk(plan, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10, 0, 10))
    done = plan("--no-measure", "--json")
    assert done.code == 0
    assert json.loads(done.out)["has_room"] is False
    assert "its disk has 10 B free. Make room, or give a path on a larger disk." in done.err


def test_plan_refuses_what_a_build_would(plan, built, tmp_path):
    other = plan("--no-measure", "--window", "centre:60", out=built)
    assert other.code == 1
    assert "window: centre:510 != centre:60" in other.err
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("x")
    assert "is not an atlas (it holds notes.txt)" in plan(out=tmp_path / "full").err


@pytest.mark.parametrize(("n_rows", "shard_rows"), [(1, 4), (4, 4), (6, 4), (9, 4), (40, 16)])
def test_bytes_of_a_shard_are_those_on_the_disk(tmp_path, n_rows, shard_rows):
    intervals = random_intervals(n_rows)
    writer, rows = begin_toy_atlas(tmp_path / "a.zarr", intervals, shard_rows=shard_rows), None
    rows = toy_rows(n_rows)
    for shard in range(writer.n_shards):
        at = writer.shard_rows_of(shard)
        writer.write_shard(shard, *(column[at] for column in rows))
        written = [writer.segment.folder / name for name in writer.plan.shard_files(shard).values()]
        n, dim = at.stop - at.start, writer.plan.spec.dim
        size = estimate.shard_bytes(n, writer.plan.shard_rows, dim)
        assert size == sum(path.stat().st_size for path in written)


def test_bytes_of_a_whole_atlas_are_near(world, toy_esm, tmp_path):
    peaks = tmp_path / "peaks.bed"
    starts = 20 * np.arange(2500)
    peaks.write_text("".join(f"chr1\t{start}\t{start + 300}\n" for start in starts))
    embedder = Embedder.load(str(toy_esm), window="centre:60")
    inputs = read_inputs(open_genome(world / "genome.fa"), peaks)
    before = estimate.estimate_build(inputs, tmp_path / "a.zarr", embedder, seconds=0)
    build_atlas(world / "genome.fa", peaks, tmp_path / "a.zarr", embedder)
    files = [path for path in (tmp_path / "a.zarr").rglob("*") if path.is_file()]
    assert before.n_bytes == pytest.approx(sum(path.stat().st_size for path in files), rel=0.03)
    assert (before.n_shards, before.shard_rows) == (3, 1024)
