"""A training that was cut short goes on and ends in the same bytes."""

from __future__ import annotations

import numpy as np
import pytest
from atlas_tools import tree_bytes
from cell_tools import types_of

from peakatlas.classifier.train import train
from peakatlas.classifier.training import checkpoints as module
from peakatlas.classifier.training.checkpoints import Checkpoints, checkpoint_folder, digest_of

STAGES = [
    "lookup-0", "lookup-1", "encoder", "shared-held-out", "shared-route", "sequence-held-out",
    "sequence-route",
]  # fmt: skip


class Cut(BaseException):
    """Stands for a signal."""


@pytest.fixture(scope="module")
def pair(world):
    first = world.cells(types_of(25), seed=1, peaks=np.arange(160))
    return first, world.cells(types_of(25), seed=2, peaks=np.arange(80, 240))


def names(folder):
    return sorted(path.stem for path in folder.iterdir())


def test_cut_after_each_stage_and_gone_on_it_ends_in_the_same_bytes(
    pair, atlas, fast, tmp_path, monkeypatch
):
    train(pair, "cell_type", atlas, options=fast).save(tmp_path / "whole")
    kept, write = tmp_path / "kept", module.write_bytes

    def cut(path, data):
        write(path, data)
        raise Cut

    made = []
    with monkeypatch.context() as patch:
        patch.setattr(module, "write_bytes", cut)
        for _ in STAGES:
            with pytest.raises(Cut):
                train(pair, "cell_type", atlas, options=fast, checkpoints=kept)
            made.append(set(names(kept)) - set().union(*made))
    assert [each.pop() for each in made] == STAGES
    said = []
    again = train(pair, "cell_type", atlas, options=fast, checkpoints=kept, progress=said.append)
    again.save(tmp_path / "again")
    assert tree_bytes(tmp_path / "again") == tree_bytes(tmp_path / "whole")
    assert "going on after an earlier run: sequence-route is done" in said


def test_other_inputs_are_not_mixed_up(tmp_path):
    def stage(key, value):
        pack = lambda number: ({"n": np.array([number])}, {"plain": number / 3})  # noqa: E731
        unpack = lambda arrays, plain: (int(arrays["n"][0]), plain["plain"])  # noqa: E731
        return Checkpoints(tmp_path, key).stage("s", lambda: value, pack, unpack)

    assert stage("a", 1) == 1
    assert stage("a", 2) == (1, 1 / 3)
    assert stage("b", 3) == 3
    assert stage("b", 4) == (3, 1.0)
    (tmp_path / "s.safetensors").write_bytes(b"damaged")
    assert stage("b", 5) == 5
    assert Checkpoints(None, "").keyed(1).stage("s", lambda: 7, None, None) == 7


def test_a_digest_knows_values_types_and_order(tmp_path):
    base = np.arange(3)
    different = [
        digest_of(base), digest_of(base.astype(np.int32)), digest_of(base[::-1]),
        digest_of(base, base), digest_of(base.reshape(3, 1)), digest_of([0, 1, 2]),
        digest_of(np.array(["0", "1", "2"])),
    ]  # fmt: skip
    assert len(set(different)) == len(different)
    assert digest_of(np.arange(6)[::2]) == digest_of(np.array([0, 2, 4]))
    path = tmp_path / "genome.fa"
    absent = digest_of(path)
    path.write_text("A")
    first = digest_of(path)
    path.write_text("AC")
    assert len({absent, first, digest_of(path)}) == 3


def test_the_folder_lies_hidden_beside_the_bundle(tmp_path):
    assert checkpoint_folder(tmp_path / "bundle") == tmp_path / ".bundle.training"
