"""Two real processes under torchrun: disjoint ownership, equal bytes, and the refusal."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from peakatlas.engine.dna.sequences import Sequences
from peakatlas.engine.embedder import Embedder
from peakatlas.engine.errors import PeakAtlasError, WorldSizeError
from peakatlas.engine.run import distributed, launchers
from peakatlas.engine.run.distributed import (
    Partition,
    RankState,
    balanced_units,
    default_device,
    owned_units,
    parse_partition,
)

SCRIPT = """
import sys
import numpy as np
from peakatlas.engine.run.distributed import owned_units, rank_state
from peakatlas.engine.embedder import Embedder
from peakatlas.engine.errors import WorldSizeError
from peakatlas.engine.dna.sequences import Sequences

model, texts, out = sys.argv[1:]
state = rank_state(2)
try:
    rank_state(3)
except WorldSizeError as fault:
    print(f"refused: {fault}")
texts = open(texts).read().split()
units = owned_units(len(texts), state)
values = Embedder.load(model).embed_sequences(Sequences.from_strings([texts[i] for i in units]))
np.savez(f"{out}/{state.rank}.npz", units=units, values=values, world=state.world_size)
"""


@pytest.mark.parametrize(("n_units", "world"), [(7, 2), (1, 3), (0, 2), (12, 4)])
def test_every_unit_has_one_owner(n_units, world):
    states = [RankState(rank=r, world_size=world, device="cpu") for r in range(world)]
    owned = np.concatenate([owned_units(n_units, state) for state in states])
    assert sorted(owned.tolist()) == list(range(n_units))


@pytest.mark.parametrize(("n_units", "n_parts", "world"), [(23, 3, 2), (2, 4, 1), (40, 5, 3)])
def test_partitions_and_ranks_share_every_unit_once(n_units, n_parts, world):
    costs = np.random.default_rng(n_units).integers(1, 100, n_units)
    owned = [
        owned_units(
            n_units,
            RankState(rank=rank, world_size=world, device="cpu"),
            costs=costs,
            partition=Partition(number=number, count=n_parts),
        )
        for number in range(1, n_parts + 1)
        for rank in range(world)
    ]
    assert sorted(np.concatenate(owned).tolist()) == list(range(n_units))
    assert all((np.diff(units) > 0).all() for units in owned)


def test_work_is_nearly_equal_even_if_units_are_not():
    costs = np.random.default_rng(0).lognormal(0, 1.5, 60)
    loads = [costs[units].sum() for units in balanced_units(costs, 4)]
    assert max(loads) < 1.05 * costs.sum() / 4
    by_count = [costs[rank::4].sum() for rank in range(4)]
    assert max(by_count) > 1.2 * costs.sum() / 4


def test_each_local_rank_has_its_own_gpu(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert default_device() == "cpu"
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert default_device() == "cuda:0"
    for rank, device in (("1", "cuda:1"), ("3", "cuda:1"), ("2", "cuda:0")):
        monkeypatch.setenv("LOCAL_RANK", rank)
        assert default_device() == device


def test_another_device_may_be_named(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setenv("PEAKATLAS_DEVICE", "cpu")
    assert default_device() == "cpu"
    monkeypatch.setenv("PEAKATLAS_DEVICE", "cuda")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert default_device() == "cuda:1"
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    for name in ("cuda", "toaster", "cuda:77"):
        monkeypatch.setenv("PEAKATLAS_DEVICE", name)
        with pytest.raises(PeakAtlasError, match=f"there is no device '{name}' here"):
            default_device()


def test_a_rank_takes_its_share_of_the_cores_though_torchrun_says_one(monkeypatch):
    joined = []

    class Joined:
        num_processes, process_index, device = 2, 1, "cpu"

        def __init__(self, cpu):
            joined.append(os.environ["OMP_NUM_THREADS"])

    monkeypatch.setattr("accelerate.PartialState", Joined)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(launchers, "usable_cores", lambda: 6)
    for name, value in {
        "RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1", "TORCHELASTIC_RUN_ID": "x",
        "OMP_NUM_THREADS": "1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    before = torch.get_num_threads()
    try:
        assert distributed.rank_state() == RankState(rank=1, world_size=2, device="cpu")
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert joined == ["3"]


def test_partition_is_read_and_checked():
    assert parse_partition("3/16") == Partition(number=3, count=16)
    for text in ("3", "a/b", "3/", "0/4", "5/4", "1/0", "-1/3"):
        with pytest.raises(WorldSizeError, match=r"Example: --partition 3/16"):
            parse_partition(text)


def run(arguments, tmp_path):
    return subprocess.run(
        [sys.executable, "-m", *arguments], capture_output=True, text=True, timeout=120,
        cwd=tmp_path, check=False,
    )  # fmt: skip


def test_two_ranks_share_the_units_and_give_the_bytes_of_one(tmp_path, toy_esm):
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("ACGT"), 90 + 7 * i)) for i in range(9)]
    (tmp_path / "texts").write_text("\n".join(texts))
    (tmp_path / "rank.py").write_text(SCRIPT)
    done = run(
        ["torch.distributed.run", "--standalone", "--nproc_per_node", "2",
         "rank.py", str(toy_esm), "texts", "."],
        tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    ranks = [np.load(tmp_path / f"{rank}.npz") for rank in (0, 1)]
    assert [rank["units"].tolist() for rank in ranks] == [[0, 2, 4, 6, 8], [1, 3, 5, 7]]
    assert all(rank["world"] == 2 for rank in ranks)
    alone = Embedder.load(str(toy_esm)).embed_sequences(Sequences.from_strings(texts))
    for rank in ranks:
        assert rank["values"].tobytes() == alone[rank["units"]].tobytes()
    refusal = "refused: 2 process(es) found each other, 3 were asked for"
    assert done.stdout.count(refusal) == 2


def test_one_process_that_should_be_two_is_refused(tmp_path):
    code = "from peakatlas.engine.run.distributed import rank_state; rank_state(2)"
    (tmp_path / "alone.py").write_text(code)
    done = run(["alone"], tmp_path)
    assert done.returncode == 1
    assert "WorldSizeError: 1 process(es) found each other, 2 were asked for" in done.stderr
