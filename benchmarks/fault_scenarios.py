"""Faults other than a killed writer, for ``faults.py``: full and read-only disks, rivals, clocks.

Each scenario gets an empty folder, a job and a stack for what undoes its changes to the folder. It
disturbs the writing of ``a.zarr`` there, lets it be finished, and returns what happened: ``how``
the fault was made and the ``error`` that the writer gave; or ``skipped`` and why.
"""

from __future__ import annotations

import datetime
import multiprocessing
import os
import random
import resource
import subprocess
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any
from unittest import mock

from fault_writer import Job, begin, write_all, write_shard

from peakatlas.engine.errors import AtlasError, ShardOwnershipError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.synchronize import Barrier
    from pathlib import Path

SMALL_BYTES = 160 * 1024
LARGE_BYTES = 256 * 1024 * 1024
ROUNDS = 20
"""Races for one shard."""


def disk_full(folder: Path, job: Job, undo: ExitStack) -> dict[str, Any]:
    """Write to a disk that is too small, then make room."""
    if _mount(folder, f"size={SMALL_BYTES}", undo):
        how = f"a tmpfs of {SMALL_BYTES} bytes"
        error = _error_of(lambda: write_all(folder / "a.zarr", job))
        _mount(folder, f"remount,size={LARGE_BYTES}")
    else:
        how = "a limit on the size of a file (RLIMIT_FSIZE); no permission to mount a tmpfs"
        begin(folder / "a.zarr", job)
        with _file_size_limit(4096):  # less than a shard
            error = _error_of(lambda: write_all(folder / "a.zarr", job))
    write_all(folder / "a.zarr", job)
    return {"how": how, "error": error}


def read_only(folder: Path, job: Job, undo: ExitStack) -> dict[str, Any]:
    """Write half of the shards, make the folder read-only, try to go on; then make it writable."""
    mounted = _mount(folder, f"size={LARGE_BYTES}", undo)
    if not mounted and os.geteuid() == 0:
        return {"skipped": "root ignores permissions, and there is no permission to mount a tmpfs"}
    writer = begin(folder / "a.zarr", job)
    for shard in range(0, writer.n_shards, 2):
        write_shard(writer, job, shard)
    done = writer.done_shards()
    with _locked_up(folder, mounted):
        error = _error_of(lambda: write_all(folder / "a.zarr", job))
        kept = writer.done_shards() == done
    write_all(folder / "a.zarr", job)
    how = "a tmpfs mounted read-only" if mounted else "folders without write permission"
    return {"how": how, "error": error, "done_shards_kept": kept}


def two_writers(folder: Path, job: Job, undo: ExitStack) -> dict[str, Any]:
    """Let two processes write the same shard at the same moment, many times."""
    context = multiprocessing.get_context("forkserver")
    writer, errors, winners = begin(folder / "a.zarr", job), set(), []
    for shard in range(min(ROUNDS, writer.n_shards)):
        together, answers = context.Barrier(2), context.SimpleQueue()
        rivals = [
            context.Process(target=_race, args=(folder / "a.zarr", job, shard, together, answers))
            for _ in range(2)
        ]
        for rival in rivals:
            rival.start()
        said = [answers.get() for _ in rivals]
        for rival in rivals:
            rival.join()
        winners.append(said.count(""))
        errors |= {text.replace(str(folder), "…") for text in said if text}
    write_all(folder / "a.zarr", job)
    return {
        "how": f"{len(winners)} races of two processes",
        "one_winner_each": winners == [1] * len(winners),
        "error": min(errors),
    }


def clock_jumps(folder: Path, job: Job, undo: ExitStack) -> dict[str, Any]:
    """Write while every look at the clock, and every file's time, is years off the last."""
    rng = random.Random(0)

    def some_time() -> float:
        return rng.uniform(0, 4e9)

    class Clock(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:
            return datetime.datetime.fromtimestamp(some_time(), tz)

    with (
        mock.patch.object(time, "time", some_time),
        mock.patch.object(time, "monotonic", some_time),
        mock.patch("peakatlas.atlas.format.segment.datetime", Clock),
    ):
        writer = begin(folder / "a.zarr", job)
        for shard in range(writer.n_shards):
            write_shard(writer, job, shard)
            for file in folder.rglob("*"):
                os.utime(file, (some_time(), some_time()))
        write_all(folder / "a.zarr", job)
    return {"how": "time and datetime replaced, and the times of all files set", "error": None}


SCENARIOS: dict[str, Callable[[Path, Job, ExitStack], dict[str, Any]]] = {
    "disk_full": disk_full,
    "read_only": read_only,
    "two_writers": two_writers,
    "clock_jumps": clock_jumps,
}


def _race(path: Path, job: Job, shard: int, together: Barrier, answers: Any) -> None:  # noqa: ANN401
    writer = begin(path, job)
    together.wait()
    try:
        write_shard(writer, job, shard)
    except ShardOwnershipError as error:
        answers.put(str(error))
    else:
        answers.put("")


def _error_of(work: Callable[[], None]) -> str:
    try:
        work()
    except AtlasError as error:
        return str(error)
    raise SystemExit("the fault did not show: the writer went on")


def _mount(folder: Path, options: str, undo: ExitStack | None = None) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False
    if mounted and undo is not None:
        undo.callback(subprocess.run, ["umount", str(folder)], check=False)
    return mounted


@contextmanager
def _locked_up(folder: Path, mounted: bool) -> Iterator[None]:
    """A folder that cannot be written, by its mount or by its permissions."""
    folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    if mounted:
        _mount(folder, "remount,ro")
    else:
        for path in folders:
            path.chmod(0o555)
    try:
        yield
    finally:
        if mounted:
            _mount(folder, f"remount,rw,size={LARGE_BYTES}")
        else:
            for path in folders:
                path.chmod(0o755)


@contextmanager
def _file_size_limit(n_bytes: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
