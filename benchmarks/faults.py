"""Writers of an atlas that are killed, and disks that refuse: nothing may be lost.

``python benchmarks/faults.py --json`` kills writers with SIGKILL at random moments, 1 to 3 of them
at work on one atlas, and starts them again until the atlas is finished and extended:

``kills`` / ``kills_by_phase``: how many, and what the writers were at.
``lost_rows``: rows that a finished atlas, or one that was finished before a kill, does not give.
``wrong_rows``: rows that it gives with other values than were written.
``identical_to_uninterrupted``: whether every file of every atlas is, byte for byte, that of an
atlas nobody disturbed, but for the time in the manifest.
``scenarios``: full disk, read-only folder, two writers on one shard, jumping clock; each with the
error that the writer gave and how the fault was made.

A killed process leaves what it wrote in the system's cache: this tests the order of the steps.
``--power-loss N`` lets the power fail N times under every writer of lasting files, on a disk that
forgets what was not flushed (``fault_power.py``):

``power_cuts`` / ``power_cuts_by_writer``: how many, and under which writer.
``power_lost_rows`` / ``power_wrong_rows``: rows (or whole files) that were called finished, or can
be read, and are gone or different; ``power_faults`` names the first of them.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from fault_power import cut_power
from fault_scenarios import SCENARIOS
from fault_writer import Job, write_all
from provenance import provenance

from peakatlas.atlas import Atlas
from peakatlas.atlas.storage.locks import BROKEN_MARK, LOCK_SUFFIX, MARKER_SUFFIX
from peakatlas.engine.errors import AtlasError

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerProcess

LONGEST_S = 120.0
"""A writer that is not done by then hangs."""
_POLL_S = 0.0002


@dataclass
class Tally:
    """What the killing came to."""

    kills: int = 0
    starts: int = 0
    atlases: int = 0
    lost_rows: int = 0
    wrong_rows: int = 0
    differing: list[str] = field(default_factory=list)
    phases: Counter[str] = field(default_factory=Counter)
    writers: Counter[int] = field(default_factory=Counter)

    def to_json(self) -> dict[str, Any]:
        """The figures."""
        return {
            "kills": self.kills,
            "kills_by_phase": dict(sorted(self.phases.items())),
            "starts_by_writers": dict(sorted(self.writers.items())),
            "atlases": self.atlases,
            "lost_rows": self.lost_rows,
            "wrong_rows": self.wrong_rows,
            "identical_to_uninterrupted": not self.differing,
            "differing_files": self.differing[:5],
        }


def phase_of(path: Path, job: Job) -> str:
    """What writers of an atlas are at, as the disk shows it."""
    first, second = path / "segment-0000", path / "segment-0001"
    if not (first / "plan.json").exists():
        return "1 layout"
    n_shards = -(-job.n_rows // job.shard_rows)
    if len(list(first.glob("log/shard-*.json"))) < n_shards:
        return "2 shards"
    if not (path / "manifest.json").exists():
        return "3 finalise"
    return "5 append" if (second / "plan.json").exists() else "4 append layout"


def start(path: Path, job: Job, n_writers: int) -> list[ForkServerProcess]:
    """Start writers on one atlas, each at a shard of its own."""
    context = multiprocessing.get_context("forkserver")
    n_shards = -(-job.n_rows // job.shard_rows)
    writers = [
        context.Process(target=write_all, args=(path, job, n_shards * number // n_writers))
        for number in range(n_writers)
    ]
    for writer in writers:
        writer.start()
    return writers


def kill_at_random(
    path: Path, job: Job, writers: list[ForkServerProcess], rng: random.Random, tally: Tally
) -> None:
    """Wait for a random phase and a little longer, then kill the writers one after the other.

    Writers that are past that phase are left alone, or nearly all kills would fall on the last one.
    """
    phases = ["1 layout", *4 * ["2 shards"], "3 finalise", "4 append layout", "5 append"]
    wanted, limit = rng.choice(phases), time.monotonic() + LONGEST_S
    if phase_of(path, job) > wanted:
        return
    while phase_of(path, job) < wanted and any(writer.is_alive() for writer in writers):
        if time.monotonic() > limit:
            raise SystemExit(f"the writers of {path} hang at {phase_of(path, job)}")
        time.sleep(_POLL_S)
    for writer in rng.sample(writers, len(writers)):
        time.sleep(rng.uniform(0, 0.15 if wanted == "2 shards" else 0.03))
        phase = phase_of(path, job)
        writer.kill()
        writer.join()
        if writer.exitcode == -9:
            tally.kills += 1
            tally.phases[phase] += 1


def is_finished(path: Path, job: Job) -> bool:
    """Whether the manifest lists all rows."""
    manifest = path / "manifest.json"
    n_rows = job.n_rows + job.n_appended
    return manifest.exists() and json.loads(manifest.read_text())["n_rows"] == n_rows


def count_rows(path: Path, job: Job, listed_before: int, tally: Tally) -> int:
    """Compare the rows that an atlas gives with those written; how many it lists."""
    try:
        with Atlas.open(path) as atlas:
            found = atlas.gather(np.arange(len(atlas)))
    except AtlasError:
        found = np.empty((0, job.dim), np.float32)
    expected = job.values[: len(found)]
    lost = np.isnan(found).all(axis=1) & ~np.isnan(expected).all(axis=1)
    same = np.all((found == expected) | (np.isnan(found) & np.isnan(expected)), axis=1)
    tally.lost_rows += int(lost.sum()) + max(0, listed_before - len(found))
    tally.wrong_rows += int((~same & ~lost).sum())
    return len(found)


def content(path: Path) -> dict[str, bytes]:
    """Every file of an atlas but locks and their markers; the manifest without its time."""
    found = {
        file.relative_to(path).as_posix(): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file()
        and file.suffix not in {LOCK_SUFFIX, MARKER_SUFFIX}
        and BROKEN_MARK not in file.name
    }
    if "manifest.json" in found:
        manifest = json.loads(found["manifest.json"])
        del manifest["sha256"]
        for segment in manifest["segments"]:
            del segment["finished"]
        found["manifest.json"] = json.dumps(manifest).encode()
    return found


def disturb(path: Path, job: Job, rng: random.Random, tally: Tally, kills: int) -> None:
    """Write one atlas with writers that are killed and started again, until it is finished."""
    listed = 0
    while not is_finished(path, job):
        n_writers = rng.choice((1, 2, 3))
        writers = start(path, job, n_writers)
        tally.starts += 1
        tally.writers[n_writers] += 1
        if tally.kills < kills:
            kill_at_random(path, job, writers, rng, tally)
        for writer in writers:
            writer.join(LONGEST_S)
            if writer.exitcode not in (0, -9):
                raise SystemExit(f"a writer of {path} ended with exit code {writer.exitcode}")
        listed = count_rows(path, job, listed, tally)
    tally.lost_rows += job.n_rows + job.n_appended - listed
    tally.atlases += 1


def kill_writers(kills: int, seed: int, job: Job, folder: Path) -> Tally:
    """Disturb one atlas after the other until so many writers were killed."""
    write_all(folder / "whole.zarr", job)
    whole = content(folder / "whole.zarr")
    rng, tally = random.Random(seed), Tally()
    while tally.kills < kills:
        path = folder / f"{tally.atlases}.zarr"
        disturb(path, job, rng, tally, kills)
        found = content(path)
        tally.differing += [
            f"{path.name}/{name}"
            for name in sorted(found.keys() | whole.keys())
            if found.get(name) != whole.get(name)
        ]
    return tally


def run_scenarios(job: Job, folder: Path) -> dict[str, Any]:
    """Outcome of each scenario; each ends with a finished atlas, or says why it was left out."""
    write_all(folder / "undisturbed.zarr", job)
    whole = content(folder / "undisturbed.zarr")
    outcomes = {}
    for name, scenario in SCENARIOS.items():
        place = folder / name
        place.mkdir()
        with ExitStack() as undo:
            outcome, tally = scenario(place, job, undo), Tally()
            if "skipped" not in outcome:
                listed = count_rows(place / "a.zarr", job, len(job.values), tally)
                same = content(place / "a.zarr") == whole
                outcome |= {"lost_rows": tally.lost_rows, "wrong_rows": tally.wrong_rows,
                            "rows": listed, "identical_to_uninterrupted": same}  # fmt: skip
        outcomes[name] = outcome
    return outcomes


def main() -> None:
    """Parse the options, kill, run the scenarios, print the outcome."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--power-loss", type=int, default=0, metavar="N", help="power failures")
    parser.add_argument("--quick", action="store_true", help="few kills")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    here = str(Path(__file__).parent)
    os.environ["PYTHONPATH"] = os.pathsep.join([here, os.environ.get("PYTHONPATH", "")])
    multiprocessing.set_forkserver_preload(["fault_writer"])
    began, job = time.monotonic(), Job(n_rows=700) if args.quick else Job()
    with tempfile.TemporaryDirectory() as scratch:
        tally = kill_writers(6 if args.quick else args.kills, args.seed, job, Path(scratch))
        scenarios = run_scenarios(job, Path(scratch))
    result = tally.to_json() | {"scenarios": scenarios, "seconds": time.monotonic() - began}
    result |= cut_power(args.power_loss, args.seed).to_json() if args.power_loss else {}
    result |= {"seed": args.seed, "provenance": provenance()}
    if args.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name}: {value}")
    sys.exit(0 if is_clean(result) else 1)


def is_clean(result: dict[str, Any]) -> bool:
    """Whether nothing was lost, wrong or different anywhere."""
    if result.get("power_lost_rows") or result.get("power_wrong_rows"):
        return False
    outcomes = [result, *(o for o in result["scenarios"].values() if "skipped" not in o)]
    return all(
        not o["lost_rows"] and not o["wrong_rows"] and o["identical_to_uninterrupted"]
        for o in outcomes
    )


if __name__ == "__main__":
    main()
