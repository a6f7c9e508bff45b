"""Power failures for ``faults.py``: each writer is cut off, started again, and must lose nothing.

A disk that forgets what was not flushed (``tests/power_loss.py``) is put under every writer of
files that outlive a run: build and append of an atlas, an atlas derived from others, a mirror, a
bundle, a cache file, a decompressed genome. After each failure, what the writer had called finished
must be whole; then it goes on, perhaps to the next failure, and must end with the same bytes as one
that nobody disturbed.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np
from fault_writer import GENOME, Job, begin, write_all, write_shard

from peakatlas.atlas import Atlas, subset_atlas
from peakatlas.atlas.build.append import append_rows
from peakatlas.atlas.build.writer import AtlasWriter
from peakatlas.atlas.mirror import mirror_atlas
from peakatlas.atlas.storage.cache import is_kept, keep
from peakatlas.classifier.bundle.folder import (
    FORMAT_VERSION,
    read_bundle_files,
    write_bundle_files,
)
from peakatlas.engine.dna.fasta import IndexedFasta
from peakatlas.engine.errors import AtlasError, BundleError, IncompleteAtlasError, PeakAtlasError

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from power_loss import run_with_power_cut

if TYPE_CHECKING:
    from power_loss import Work

Say = Callable[[str], None]
JOB = Job(n_rows=150, n_appended=30, shard_rows=64, dim=8)
OLD, NEW = b"old arrays" * 50, b"new arrays" * 60
SEQUENCE = "ACGTTGCAAC" * 300
MOST_CUTS = 3
"""Failures of one atlas in a row, before the writer is left alone."""


@dataclass
class PowerTally:
    """What the failures came to."""

    cuts: int = 0
    lost_rows: int = 0
    wrong_rows: int = 0
    by_writer: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The figures."""
        return {
            "power_cuts": self.cuts,
            "power_cuts_by_writer": dict(sorted(self.by_writer.items())),
            "power_lost_rows": self.lost_rows,
            "power_wrong_rows": self.wrong_rows,
            "power_faults": self.faults[:5],
        }


@dataclass(frozen=True, kw_only=True)
class Writer:
    """Something that writes, and how to see that what it wrote is right."""

    work: Work
    """Does all that is missing in a folder, saying what is finished."""
    lost_and_wrong: Callable[[Path, tuple[str, ...]], tuple[int, int]]
    """Of what was called finished, or can be read: what is not there, and what differs."""


def writers(folder: Path) -> dict[str, Writer]:
    """Every writer; what they read is made in a folder that no failure touches."""
    write_all(folder / "source.zarr", JOB)
    (folder / "genome.fa.gz").write_bytes(gzip.compress(f">chr1\n{SEQUENCE}\n".encode()))
    subset_atlas(folder / "source.zarr", folder / "subset.zarr", JOB.intervals(slice(20, 170)))
    with Atlas.open(folder / "subset.zarr") as atlas:
        part = atlas.gather(np.arange(len(atlas)))

    def derive(root: Path, say: Say) -> None:
        subset_atlas(folder / "source.zarr", root / "a.zarr", JOB.intervals(slice(20, 170)))
        say(f"rows {len(part)}")

    def mirror(root: Path, say: Say) -> None:
        mirror_atlas(folder / "source.zarr", root / "a.zarr")
        say(f"rows {len(JOB.values)}")

    def genome(root: Path, say: Say) -> None:
        os.environ["XDG_CACHE_HOME"] = str(root)
        IndexedFasta(folder / "genome.fa.gz")
        say("genome")

    def genome_faults(root: Path, said: tuple[str, ...]) -> tuple[int, int]:
        os.environ["XDG_CACHE_HOME"] = str(root)
        fasta = IndexedFasta(folder / "genome.fa.gz")
        ends = (np.array([value]) for value in (0, 0, len(SEQUENCE)))
        return 0, int(fasta.fetch(*ends)[0] != SEQUENCE)

    return {
        "build and append": Writer(work=_build, lost_and_wrong=_atlas_faults(JOB.values)),
        "derive": Writer(work=derive, lost_and_wrong=_atlas_faults(part)),
        "mirror": Writer(work=mirror, lost_and_wrong=_atlas_faults(JOB.values)),
        "bundle": Writer(work=_bundle, lost_and_wrong=_bundle_faults),
        "cache": Writer(work=_cache, lost_and_wrong=_cache_faults),
        "genome": Writer(work=genome, lost_and_wrong=genome_faults),
    }


def cut_power(cuts: int, seed: int = 0, only: Sequence[str] = ()) -> PowerTally:
    """Cut writers off until the power has failed so many times; the tally of what was lost.

    Parameters
    ----------
    cuts : int
    seed : int
    only : sequence of str, optional
        Names of the writers; all if none are given.
    """
    rng, tally = random.Random(seed), PowerTally()
    with (
        tempfile.TemporaryDirectory(dir=_memory()) as scratch,
        mock.patch.dict(os.environ),
        mock.patch.object(os, "fsync", lambda _: None),  # of the real disk
    ):
        folder = Path(scratch)
        (folder / "read").mkdir()
        every = writers(folder / "read")
        names = list(only) or [*every, "build and append", "derive", "mirror"]
        steps = {name: _whole(every[name], folder / name) for name in dict.fromkeys(names)}
        while tally.cuts < cuts:
            name = rng.choice(names)
            _disturb(name, every[name], steps[name], folder / "disk", rng, tally)
    return tally


def _memory() -> str | None:
    """A folder in memory, where there is one: nothing here needs to last."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _whole(writer: Writer, folder: Path) -> int:
    """Steps of a writer that nobody disturbs."""
    (folder / "0").mkdir(parents=True)
    return run_with_power_cut(writer.work, folder / "0", folder / "1").n_steps


def _disturb(
    name: str, writer: Writer, n_steps: int, disk: Path, rng: random.Random, tally: PowerTally
) -> None:
    """Let one writer fail a few times in a row, then finish; compare after each failure."""
    shutil.rmtree(disk, ignore_errors=True)
    (disk / "0").mkdir(parents=True)
    said: tuple[str, ...] = ()
    for number in range(rng.randint(1, MOST_CUTS)):
        step, seed = rng.randint(1, n_steps + n_steps // 10), rng.randrange(1 << 30)
        outcome = run_with_power_cut(
            writer.work, disk / str(number), disk / str(number + 1), step=step, seed=seed
        )
        if outcome.error:
            break
        said += outcome.said
        tally.cuts += 1
        tally.by_writer[name] += 1
        _count(f"{name}, step {step}, seed {seed}", writer, disk / str(number + 1), said, tally)
    last = max(disk.iterdir(), key=lambda path: int(path.name))
    finished: list[str] = []
    try:
        writer.work(last, finished.append)
    except (PeakAtlasError, OSError) as error:
        tally.lost_rows += 1
        tally.faults.append(f"{name} cannot go on: {error}")
        return
    _count(f"{name}, finished", writer, last, (*said, *finished), tally)


def _count(what: str, writer: Writer, root: Path, said: tuple[str, ...], tally: PowerTally) -> None:
    copy = root.with_name("copy")  # looking may write
    shutil.copytree(root, copy)
    try:
        lost, wrong = writer.lost_and_wrong(copy, said)
    except (PeakAtlasError, OSError) as error:
        lost, wrong = 1, 0
        what = f"{what}: {error}"
    shutil.rmtree(copy)
    tally.lost_rows += lost
    tally.wrong_rows += wrong
    if lost or wrong:
        tally.faults.append(f"{what}: {lost} lost, {wrong} wrong")


def _build(root: Path, say: Say) -> None:
    path = root / "a.zarr"
    writer = begin(path, JOB)
    for shard in writer.segment.missing_shards():
        write_shard(writer, JOB, shard)
        say(f"shard {shard}")
    writer.finalise()
    say(f"rows {JOB.n_rows}")
    rows = slice(JOB.n_rows, JOB.n_rows + JOB.n_appended)
    made: Any = JOB.embeddings(rows)
    append_rows(path, JOB.intervals(rows), made, genome=GENOME)
    say(f"rows {JOB.n_rows + JOB.n_appended}")


def _atlas_faults(
    values: np.ndarray[Any, Any],
) -> Callable[[Path, tuple[str, ...]], tuple[int, int]]:
    def count(root: Path, said: tuple[str, ...]) -> tuple[int, int]:
        listed = max((int(text[5:]) for text in said if text.startswith("rows ")), default=0)
        lost = _lost_shards(root / "a.zarr", said)
        try:
            with Atlas.open(root / "a.zarr") as atlas:
                found = atlas.gather(np.arange(len(atlas)))
        except IncompleteAtlasError:
            return lost + listed, 0
        except AtlasError as error:
            return lost + listed, 0 if "no manifest.json" in str(error) else len(values)
        same = (found == values[: len(found)]) | (np.isnan(found) & np.isnan(values[: len(found)]))
        return lost + max(0, listed - len(found)), int((~same.all(axis=1)).sum())

    return count


def _lost_shards(path: Path, said: tuple[str, ...]) -> int:
    """Rows of shards that were called written and are not."""
    wanted = {int(text[6:]) for text in said if text.startswith("shard ")}
    if not wanted:
        return 0
    try:
        done = set(AtlasWriter(begin(path, JOB).segment).done_shards())
    except AtlasError:
        done = set()
    return JOB.shard_rows * len(wanted - done)


def _bundle(root: Path, say: Say) -> None:
    try:
        number = int(read_bundle_files(root / "b")[0].provenance["number"])
    except BundleError:
        number = 0
    for after, arrays in enumerate((OLD, NEW), start=1):
        if number < after:
            write_bundle_files(root / "b", _settings(after), arrays)
        say(f"bundle {after}")


def _settings(number: int) -> dict[str, object]:
    """Settings of a bundle of two types, which says its number."""
    return {
        "format": "peakatlas-bundle",
        "format_version": FORMAT_VERSION,
        "levels": {"columns": ["type"], "types": [["B", "T"]], "members": [[0, 1]]},
        "contigs": ["chr1"],
        "spec": None,
        "provenance": {"number": number},
    }


def _bundle_faults(root: Path, said: tuple[str, ...]) -> tuple[int, int]:
    wanted = max((int(text.split()[1]) for text in said), default=0)
    try:
        settings, arrays = read_bundle_files(root / "b")
    except BundleError:
        return int(wanted > 0), 0
    number = int(settings.provenance["number"])
    return int(number < wanted), int(arrays != (OLD, NEW)[number - 1])


def _cache(root: Path, say: Say) -> None:
    for name in ("one", "two"):
        path = root / "cache" / name
        if not is_kept(path):
            keep(path, lambda aside: aside.write_bytes(json.dumps([*range(400)]).encode()))
        say(name)


def _cache_faults(root: Path, said: tuple[str, ...]) -> tuple[int, int]:
    whole = json.dumps([*range(400)]).encode()
    paths = {name: root / "cache" / name for name in ("one", "two")}
    kept = {name for name, path in paths.items() if is_kept(path)}
    wrong = sum(not paths[name].read_bytes().startswith(whole) for name in kept)
    return len(set(said) - kept), wrong
