"""`peakatlas train`: several files, batches, levels, and a training that was killed goes on."""

import json
import os
import signal
import subprocess
import sys
import time

import anndata as ad
import numpy as np
import pytest

from tests.atlas_tools import tree_bytes


@pytest.fixture(scope="module")
def two_files(world, tmp_path_factory):
    """The reference cut in two files of other peaks and kinds, with a donor and two levels."""
    folder = tmp_path_factory.mktemp("two")
    cells = ad.read_h5ad(world / "reference.h5ad")
    kinds = {"alpha": "round", "beta": "round", "gamma": "square"}
    cells.obs["kind"] = cells.obs["cell_type"].astype(str).map(kinds)
    cells.obs["donor"] = np.where(np.arange(120) % 4 < 3, "d1", "d2")
    even = np.arange(120) % 2 == 0
    cells[even, :45].copy().write_h5ad(folder / "a.h5ad")
    cells[~even, 15:].copy().write_zarr(folder / "b.zarr")
    return folder / "a.h5ad", folder / "b.zarr"


@pytest.fixture(scope="module")
def words(two_files, built):
    return ("train", *two_files, "--labels", "cell_type,kind", "--batch-key", "donor",
            "--atlas", built)  # fmt: skip


def test_two_files_with_batches_and_levels(run, world, words, built, tmp_path):
    done = run(*words, "-o", tmp_path / "bundle")
    assert done.code == 0, done.err
    assert not (tmp_path / ".bundle.training").exists()
    lines = done.out.splitlines()
    assert any(line.startswith("held-out accuracy, kind") for line in lines)
    assert any(line.startswith("held-out accuracy, a.h5ad: d1") for line in lines)
    head = next(line.split() for line in lines if line.startswith("type "))
    assert head[:2] == ["type", "cells"] and head[-2:] == ["mistaken", "for"]
    shown = {line.split()[0] for line in lines if line.startswith(("alpha", "beta", "gamma"))}
    assert shown == {"alpha", "beta", "gamma"}
    assert "a.h5ad: peaks: 45 exact" in done.err and "b.zarr: peaks: 45 exact" in done.err
    out = tmp_path / "o.h5ad"
    done = run("annotate", world / "query.h5ad", "--bundle", tmp_path / "bundle", "--atlas",
               built, "-o", out)  # fmt: skip
    assert done.code == 0, done.err
    obs = ad.read_h5ad(out).obs
    assert set(obs["peakatlas_label_kind"].cat.categories) == {"round", "square", "Unassigned"}


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (("--labels", "cell_type,cell_type"), "name each column once"),
        (("--batch-key", "lab"), "a.h5ad: obs has no column 'lab'; columns there are: "),
        (("--labels", "cell_type,donor"), "cell_type 'alpha' lies under 'd1' (30 cells) and 'd2'"),
    ],
)
def test_what_cannot_be_is_one_line(run, words, tmp_path, extra, said):
    done = run(*words, *extra, "-o", tmp_path / "b")
    assert done.code in (1, 2)
    assert said in done.err.splitlines()[-1]
    assert not (tmp_path / "b").exists()


def test_a_killed_training_goes_on_to_the_same_bundle(run, words, tmp_path):
    whole, out = tmp_path / "whole", tmp_path / "bundle"
    done = run(*words, "-o", whole, "--json")
    assert done.code == 0, done.err
    _check_facts(json.loads(done.out))
    command = [sys.executable, "-m", "peakatlas", *map(str, words), "-o", str(out)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    )
    sign, limit = tmp_path / ".bundle.training" / "encoder.safetensors", time.monotonic() + 120
    while not sign.exists():
        assert process.poll() is None and time.monotonic() < limit
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=60)
    assert sign.exists() and not out.exists()
    done = run(*words, "-o", out)
    assert done.code == 0, done.err
    assert "going on after an earlier run: encoder is done" in done.err
    assert not sign.parent.exists()
    assert tree_bytes(out) == tree_bytes(whole)


def test_a_stopped_training_says_how_to_go_on(run, words, tmp_path, monkeypatch):
    from peakatlas.classifier import fitting  # noqa: PLC0415 (torch is slow)

    monkeypatch.setattr(fitting, "hold_out", lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM))
    done = run(*words, "-o", tmp_path / "bundle")
    assert done.code == 143
    assert done.err.splitlines()[-1].startswith(
        "stopped: finished stages are kept; to go on, run the same again: peakatlas train "
    )
    assert sorted(path.stem for path in (tmp_path / ".bundle.training").iterdir()) == [
        "encoder", "lookup-0", "lookup-1",
    ]  # fmt: skip


def _check_facts(facts):
    assert facts["levels"] == {"kind": ["round", "square"], "cell_type": ["alpha", "beta", "gamma"]}
    assert sum(sum(each.values()) for each in facts["cells_by_batch"].values()) == 120
    assert set(facts["validation"]["shared"]["by_batch"]) == set(facts["cells_by_batch"])
