"""Ranks that fall silent or die are named by those that wait for them."""

import json
import os
import socket
import subprocess
import sys

import pytest

from peakatlas.atlas.build import heartbeats
from peakatlas.atlas.build import local as build_module
from peakatlas.atlas.build.heartbeats import Heartbeat, clear_signs
from peakatlas.engine.errors import IncompleteAtlasError
from peakatlas.engine.run.distributed import RankState
from tests.atlas_tools import ToyEmbedder, random_intervals, write_toy_genome


def state(rank, world=3):
    return RankState(rank=rank, world_size=world, device="cpu")


def dead_pid():
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


def change(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_a_sign_says_who_and_where(tmp_path):
    heart = Heartbeat(tmp_path, state(1))
    heart.beat(7)
    sign = json.loads((tmp_path / ".rank-00001.json").read_text())
    assert sign.pop("time").endswith("Z")
    assert sign == {
        "rank": 1, "world_size": 3, "host": socket.gethostname(), "pid": os.getpid(), "shard": 7,
    }  # fmt: skip
    heart.end()
    assert not list(tmp_path.iterdir())


def test_a_single_process_leaves_no_signs(tmp_path):
    Heartbeat(tmp_path, state(0, 1)).beat(3)
    assert not list(tmp_path.iterdir())


def test_signs_are_given_with_progress_but_not_with_every_peak(tmp_path, monkeypatch):
    heart, counted = Heartbeat(tmp_path, state(0)), []
    report = heart.counted(counted.append)
    report(1)
    (tmp_path / ".rank-00000.json").unlink()
    report(2)
    assert counted == [1, 2]
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(heartbeats, "EVERY_S", 0.0)
    report(3)
    assert (tmp_path / ".rank-00000.json").exists()


def test_silent_and_dead_ranks_are_named(tmp_path):
    for rank in (0, 1, 2):
        Heartbeat(tmp_path, state(rank)).beat(rank)
    watch = Heartbeat(tmp_path, state(0))
    assert watch.silent() == ""
    one, two = (tmp_path / f".rank-0000{rank}.json" for rank in (1, 2))
    change(one, host="node-7", pid=12)
    past = one.stat().st_mtime - 500
    os.utime(one, (past, past))
    change(two, pid=dead_pid())
    named = watch.silent()
    assert "rank 1 (process 12 on node-7, at shard 1) gave no sign for 50" in named
    assert f"on {socket.gethostname()}, at shard 2) has ended" in named
    one.write_text("{")
    clear_signs(tmp_path)
    assert watch.silent() == ""


def test_a_rank_that_never_lays_out_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(build_module, "PATIENCE_S", 0.1)
    monkeypatch.setattr(build_module, "rank_state", lambda: state(1))
    genome = write_toy_genome(tmp_path / "g.fa", {"chr1": 50_000, "chr2": 50_000})
    out = tmp_path / "a.zarr"
    Heartbeat(out, state(0)).beat()
    change(out / ".rank-00000.json", pid=dead_pid())
    with pytest.raises(IncompleteAtlasError, match=r"rank 0 did not lay out .*has ended"):
        build_module.build_atlas(genome, random_intervals(8), out, ToyEmbedder())


def test_waiting_ranks_look_less_and_less_often():
    waits = [build_module._pause(waited) for waited in (0, 1, 5, 60, 1000)]
    assert waits == [0.2, 0.2, 0.5, 6.0, 10.0]
