"""Builds that are killed, builds by several processes, and reading without torch."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from peakatlas.atlas import Atlas, build_atlas
from peakatlas.engine.dna.genome import open_genome
from tests.atlas_tools import (
    ToyEmbedder,
    begin_toy_atlas,
    random_intervals,
    toy_rows,
    tree_bytes,
    write_toy_atlas,
    write_toy_genome,
)

TESTS = Path(__file__).parents[1]
BUILD = textwrap.dedent(
    """
    import sys
    from peakatlas.atlas import build_atlas
    from atlas_tools import ToyEmbedder, random_intervals
    genome, out, seconds = sys.argv[1:]
    print("ready", flush=True)
    build_atlas(genome, random_intervals(64), out, ToyEmbedder(seconds_a_call=float(seconds)),
                shard_rows=4)
    """
)


@pytest.fixture
def genome(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return write_toy_genome(tmp_path / "toy.fa", {"chr1": 50_000, "chr2": 50_000})


def launch(command, **options):
    path = f"{TESTS}{os.pathsep}{TESTS.parent}"
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, **options)


def kill_during_build(genome, out, n_logged):
    """Start a build and kill -9 it once `n_logged` shards are logged."""
    process = launch(
        [sys.executable, "-c", BUILD, str(genome), str(out), "0.05"], stdout=subprocess.PIPE
    )
    limit = time.monotonic() + 60
    while len(list(out.glob("segment-0000/log/shard-*.json"))) < n_logged:
        assert process.poll() is None
        assert time.monotonic() < limit
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()


def test_kill_and_resume_gives_the_same_bytes(tmp_path, genome):
    source, peaks = open_genome(genome), random_intervals(64)
    build_atlas(source, peaks, tmp_path / "whole.zarr", ToyEmbedder(), shard_rows=4)
    out = tmp_path / "killed.zarr"
    for n_logged in (3, 9):
        kill_during_build(genome, out, n_logged)
        assert not (out / "manifest.json").exists()
    survived = {name: data for name, data in tree_bytes(out).items() if "/log/" in name}
    embedder = ToyEmbedder()
    build_atlas(source, peaks, out, embedder, shard_rows=4)
    assert embedder.n_embedded == 64 - 4 * len(survived)
    assert tree_bytes(out) == tree_bytes(tmp_path / "whole.zarr")


def write_steps(path, monkeypatch, stop_at):
    """Write an atlas, dying at the `stop_at`-th flush to the disk; whether it came that far."""
    steps = iter(range(10**6))
    flush = os.fsync

    def dying(descriptor):
        if next(steps) == stop_at:
            raise KeyboardInterrupt
        flush(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", dying)
        try:
            write_toy_atlas(path, random_intervals(6), shard_rows=4)
        except KeyboardInterrupt:
            return True
    return False


def resume(path):
    writer, rows = begin_toy_atlas(path, random_intervals(6)), toy_rows(6)
    for shard in set(range(writer.n_shards)) - set(writer.done_shards()):
        writer.write_shard(shard, *(column[writer.shard_rows_of(shard)] for column in rows))
    writer.finalise()


def test_death_at_every_single_step_loses_nothing(tmp_path, monkeypatch):
    write_toy_atlas(tmp_path / "whole.zarr", random_intervals(6))
    whole = tree_bytes(tmp_path / "whole.zarr")
    step = 0
    while write_steps(tmp_path / f"{step}.zarr", monkeypatch, step):
        resume(tmp_path / f"{step}.zarr")
        assert tree_bytes(tmp_path / f"{step}.zarr") == whole, step
        assert len(Atlas.open(tmp_path / f"{step}.zarr")) == 6
        step += 1
    assert step > 40


def test_two_ranks_build_the_same_atlas(tmp_path, genome):
    script = tmp_path / "build.py"
    script.write_text(BUILD)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
    process = launch(
        [*torchrun, "--master_port", "0", "--standalone", str(script), str(genome),
         str(tmp_path / "two.zarr"), "0"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    out, error = process.communicate(timeout=120)
    assert process.returncode == 0, out + error
    build_atlas(
        open_genome(genome), random_intervals(64), tmp_path / "one.zarr", ToyEmbedder(),
        shard_rows=4,
    )  # fmt: skip
    assert tree_bytes(tmp_path / "two.zarr") == tree_bytes(tmp_path / "one.zarr")
    assert len(Atlas.open(tmp_path / "two.zarr")) == 64


def test_reading_and_looking_up_import_no_torch(tmp_path):
    intervals = random_intervals(10)
    write_toy_atlas(tmp_path / "a.zarr", intervals)
    code = textwrap.dedent(
        """
        import sys
        from peakatlas.atlas import Atlas, resolve_peaks
        from peakatlas.engine.intervals.table import Intervals
        with Atlas.open(sys.argv[1]) as atlas:
            atlas.gather(atlas.lookup(atlas.intervals, max_offset=10).row)
            resolve_peaks(atlas, atlas.intervals)
            atlas.info()
        heavy = {"torch", "transformers", "accelerate", "sklearn", "anndata"} & set(sys.modules)
        assert not heavy, heavy
        """
    )
    process = launch([sys.executable, "-c", code, str(tmp_path / "a.zarr")])
    assert process.wait(timeout=60) == 0


def test_the_real_embedder_fills_an_atlas(tmp_path, genome):
    from peakatlas.engine.embedder import Embedder  # noqa: PLC0415
    from tests.toy_models import write_toy_esm  # noqa: PLC0415

    embedder = Embedder.load(
        str(write_toy_esm(tmp_path / "toy", dim=16)), window="centre:60", device="cpu"
    )
    source, peaks = open_genome(genome), random_intervals(12)
    atlas = build_atlas(source, peaks, tmp_path / "a.zarr", embedder, shard_rows=8)
    expected = embedder.embed(peaks, source).values.astype(np.float16)
    np.testing.assert_array_equal(atlas.gather(np.arange(12)), expected.astype(np.float32))
    assert atlas.spec == embedder.spec
