"""Writers whose power fails lose nothing; ``PEAKATLAS_POWER_CUTS=200`` runs more failures."""

import os
from pathlib import Path

import power_loss
import pytest
from benchmark_scripts import benchmark_script

from peakatlas.atlas.storage import atomic

fault_power = benchmark_script("fault_power")
CUTS = int(os.environ.get("PEAKATLAS_POWER_CUTS", "24"))


def test_no_writer_loses_what_it_called_finished():
    tally = fault_power.cut_power(CUTS, seed=3)
    assert tally.cuts >= CUTS
    assert (tally.lost_rows, tally.wrong_rows) == (0, 0), tally.faults


def no_flush_of_files(monkeypatch):
    flush = power_loss._Disk._fsync

    def folders_only(disk, descriptor):
        number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
        if Path(f"/proc/self/fd/{number}").is_dir():
            flush(disk, number)

    monkeypatch.setattr(power_loss._Disk, "_fsync", folders_only)


def no_flush_of_names(monkeypatch):
    monkeypatch.setattr(atomic, "sync_folder", lambda folder: None)


@pytest.mark.parametrize("forget", [no_flush_of_files, no_flush_of_names])
def test_a_writer_that_does_not_flush_is_found(monkeypatch, forget):
    forget(monkeypatch)
    tally = fault_power.cut_power(15, seed=1, only=("bundle", "cache"))
    assert tally.lost_rows + tally.wrong_rows > 0


def write(root, say):
    (root / "flushed").write_bytes(b"a" * 100)
    with (root / "flushed").open("rb") as file:
        os.fsync(file.fileno())
    atomic.sync_folder(root)
    say("flushed")
    (root / "later").write_bytes(b"b" * 100)
    (root / "flushed").rename(root / "moved")


def test_the_disk_keeps_what_was_flushed_and_any_part_of_the_rest(tmp_path):
    seen = set()
    for seed in range(40):
        root = tmp_path / f"{seed}"
        root.mkdir()
        outcome = power_loss.run_with_power_cut(write, root, tmp_path / f"{seed}-left", seed=seed)
        assert outcome.said == ("flushed",)
        left = {path.name: path.read_bytes() for path in (tmp_path / f"{seed}-left").iterdir()}
        kept = [left[name] for name in ("flushed", "moved") if name in left]
        assert kept == [b"a" * 100]  # under the old name or the new one, whole
        later = left.get("later")
        assert later is None or later.strip(b"\0") == b"b" * len(later.strip(b"\0"))
        seen.add(("moved" in left, later if later in (None, b"", b"b" * 100) else b"part"))
    assert {moved for moved, _ in seen} == {False, True}
    assert {later for _, later in seen} == {None, b"", b"b" * 100, b"part"}
