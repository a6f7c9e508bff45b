"""Shards as tasks of a Dask cluster: a worker is killed, and the bytes are those of one process."""

import os
import signal

import numpy as np
import pytest
from atlas_tools import tree_bytes, write_toy_genome

from peakatlas.atlas import Atlas, build_atlas, init_atlas
from peakatlas.atlas.build import dask_cluster
from peakatlas.atlas.build.dask_cluster import build_on_dask, write_one
from peakatlas.engine.embedder import Embedder
from peakatlas.engine.errors import GenomeError, ShardOwnershipError, WorldSizeError

N_PEAKS, SHARD_ROWS = 48, 8


@pytest.fixture
def job(tmp_path, toy_peaklm):
    """Genome, peaks and embedder, and an atlas that one process made of them."""
    genome = write_toy_genome(tmp_path / "toy.fa", {"chr1": 50_000})
    start = np.arange(N_PEAKS) * 1000 + 10
    bed = tmp_path / "peaks.bed"
    bed.write_text("".join(f"chr1\t{s}\t{s + 200}\n" for s in start))
    embedder = Embedder.load(str(toy_peaklm), window="peak:120:30")
    build_atlas(genome, bed, tmp_path / "one.zarr", embedder, shard_rows=SHARD_ROWS).close()
    return genome, bed, embedder


class OneAfterTheOther:
    """Stands for a client: a task is run when it is handed in."""

    dashboard_link = "http://dashboard"

    def submit(self, work, *values, pure, retries):
        assert not pure
        assert retries == dask_cluster.RETRIES
        return OneAfterTheOther.Task(work, values)

    def cancel(self, tasks):
        """Nothing to end."""

    class Task:
        def __init__(self, work, values):
            self.result = lambda: work(*values)


@pytest.fixture
def plain(monkeypatch):
    """No cluster: tasks are run here."""
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(distributed, "as_completed", list)
    monkeypatch.setattr(dask_cluster, "_client", lambda *_: OneAfterTheOther())


def test_a_build_is_that_of_one_process_and_goes_on_where_it_stopped(tmp_path, job, plain):
    genome, bed, embedder = job
    out, done, said = tmp_path / "a.zarr", [], []
    init_atlas(genome, bed, out, embedder, shard_rows=SHARD_ROWS)
    write_one((str(out), str(genome), False), 3)
    build_on_dask(genome, bed, out, embedder, progress=done.append, said=said.append).close()
    assert done == [SHARD_ROWS] * 6
    assert said == ["http://dashboard"]
    assert tree_bytes(out) == tree_bytes(tmp_path / "one.zarr")
    again = []
    build_on_dask(genome, bed, out, embedder, progress=again.append).close()
    assert again == [N_PEAKS]


def test_an_error_of_a_worker_is_that_of_the_build(tmp_path, job, plain):
    genome, bed, embedder = job
    other = write_toy_genome(tmp_path / "other.fa", {"chr1": 60_000})
    init_atlas(genome, bed, tmp_path / "a.zarr", embedder, shard_rows=SHARD_ROWS)
    with pytest.raises(GenomeError):
        write_one((str(tmp_path / "a.zarr"), str(other), False), 0)


def test_a_shard_of_a_lost_worker_is_waited_for(tmp_path, job, monkeypatch):
    genome, *_ = job
    held = iter([ShardOwnershipError("held"), ShardOwnershipError("held"), None])

    def write_shards(*_):
        fault = next(held)
        if fault is not None:
            raise fault

    monkeypatch.setattr(dask_cluster, "write_shards", write_shards)
    monkeypatch.setattr(dask_cluster, "_POLL_S", 0.0)
    assert write_one((str(tmp_path / "one.zarr"), str(genome), False), 2) == 2
    monkeypatch.setattr(dask_cluster, "_HELD_S", -1.0)
    held = iter([ShardOwnershipError("held")])
    with pytest.raises(ShardOwnershipError):
        write_one((str(tmp_path / "one.zarr"), str(genome), False), 2)


def test_no_scheduler_is_named(tmp_path, job):
    pytest.importorskip("distributed")
    genome, bed, embedder = job
    with pytest.raises(WorldSizeError, match="no Dask scheduler answers at 'nonsense://x'"):
        build_on_dask(genome, bed, tmp_path / "a.zarr", embedder, "nonsense://x")


@pytest.mark.skipif(
    "PEAKATLAS_TEST_RANKS" not in os.environ,
    reason="set PEAKATLAS_TEST_RANKS=2 to start a cluster whose workers load torch; takes a minute",
)
def test_a_worker_that_is_killed_costs_nothing(tmp_path, job):
    distributed = pytest.importorskip("distributed")
    genome, bed, embedder = job
    out, killed = tmp_path / "a.zarr", []
    init_atlas(genome, bed, out, embedder, shard_rows=SHARD_ROWS)
    with distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=":0") as cluster:

        def kill(n: int) -> None:
            if n and not killed:
                killed.append(next(iter(cluster.workers.values())).pid)
                os.kill(killed[0], signal.SIGKILL)

        build_on_dask(genome, bed, out, embedder, cluster.scheduler_address, progress=kill).close()
    assert killed
    assert tree_bytes(out) == tree_bytes(tmp_path / "one.zarr")
    assert len(Atlas.open(out)) == N_PEAKS
