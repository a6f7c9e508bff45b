"""Ranks that find each other by gloo, one of which is killed: the atlas is that of one process."""

import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from peakatlas.atlas import Atlas, build_atlas
from peakatlas.engine.embedder import Embedder
from tests.atlas_tools import tree_bytes, write_toy_genome

TESTS = Path(__file__).parents[1]
N_PEAKS, SHARD_ROWS = 96, 8
RANK = textwrap.dedent(
    """
    import os, signal, sys
    from peakatlas.atlas import build_atlas
    from peakatlas.engine.embedder import Embedder
    genome, bed, model, out, shard_rows, victim = sys.argv[1:]
    done = 0
    def die(n):
        global done
        done += n
        if os.environ["RANK"] == victim and done > 8:  # within its second shard
            os.kill(os.getpid(), signal.SIGKILL)
    embedder = Embedder.load(model, window="peak:120:30")
    build_atlas(genome, bed, out, embedder, shard_rows=int(shard_rows), progress=die)
    """
)


@pytest.fixture
def job(tmp_path, toy_esm, monkeypatch):
    """Arguments of a build, with an atlas that one process made of the same peaks."""
    genome = write_toy_genome(tmp_path / "toy.fa", {"chr1": 50_000, "chr2": 50_000})
    rng = np.random.default_rng(0)
    start = np.sort(rng.choice(45_000, N_PEAKS, replace=False)) + 1000
    end = start + rng.integers(60, 400, N_PEAKS)
    bed = tmp_path / "peaks.bed"
    bed.write_text("".join(f"chr1\t{s}\t{e}\n" for s, e in zip(start, end, strict=True)))
    embedder = Embedder.load(str(toy_esm), window="peak:120:30")
    build_atlas(genome, bed, tmp_path / "one.zarr", embedder, shard_rows=SHARD_ROWS)
    return [str(path) for path in (genome, bed, toy_esm)]


def start_ranks(n, job, out, victim=-1):
    """Run one process a rank, as a launcher would; their exit codes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = os.environ | {
        "PYTHONPATH": f"{TESTS}{os.pathsep}{TESTS.parent}",
        "OMP_NUM_THREADS": "1", "WORLD_SIZE": str(n),
        "LOCAL_WORLD_SIZE": str(n), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
    }  # fmt: skip
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", RANK, *job, str(out), str(SHARD_ROWS), str(victim)],
            env=shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE, text=True,
        )
        for rank in range(n)
    ]  # fmt: skip
    errors = [rank.communicate(timeout=120)[1] for rank in ranks]
    codes = [rank.returncode for rank in ranks]
    assert all(code in (0, -9) for code in codes), errors
    return codes


def test_living_ranks_take_up_the_shards_of_a_killed_one(tmp_path, job):
    out = tmp_path / "three.zarr"
    assert start_ranks(3, job, out, victim=2) == [0, 0, -9]
    assert tree_bytes(out) == tree_bytes(tmp_path / "one.zarr")
    assert len(Atlas.open(out)) == N_PEAKS


def test_the_next_start_takes_up_the_shards_of_a_killed_one(tmp_path, job):
    out = tmp_path / "two.zarr"
    assert start_ranks(1, job, out, victim=0) == [-9]
    assert not (out / "manifest.json").exists()
    assert len(list(out.glob("segment-0000/log/shard-*.json"))) == 1
    assert start_ranks(2, job, out) == [0, 0]
    assert tree_bytes(out) == tree_bytes(tmp_path / "one.zarr")
