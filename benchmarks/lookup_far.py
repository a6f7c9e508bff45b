"""What look-ups from afar fetch, what wide ones take, and how soon a large atlas is open.

    python benchmarks/lookup_far.py --json --workdir /somewhere/with/3GB

prints these figures alone; ``lookup.py`` prints them beside its own, of the same atlas.

``remote_one_peak_bytes``: bytes that the look-up of one peak asks a server
for once the atlas is open, the most of 100 peaks drawn from its rows, each with a new atlas;
``remote_10k_peaks_bytes`` the same for 10,000 peaks of one chromosome, the one with most rows, and
``remote_open_bytes`` for opening it. ``interval_bytes_per_row``: bytes of intervals on the disk.
``overlap_mean_rss_mb``: by how much resident memory grows at most, from when atlas and join are
ready, for `Atlas.overlap_mean` of 10,000 peaks of 2 Mb, their means included.
``open_10m_seconds``, ``digest_index_10m_seconds``: `Atlas.open` and the intervals of all rows, and
then `Atlas.digest_index`, of 10 M random rows of 8 dimensions, on warm files; the best of three.
All seconds are processor seconds of all threads, which other programs hardly lengthen.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from lookup_workload import FULL, QUICK, Scale, open_or_write, read_tables
from numpy.typing import NDArray
from provenance import provenance

from peakatlas.atlas import Atlas, AtlasWriter
from peakatlas.atlas.format.opening import manifest_of
from peakatlas.atlas.format.schema import EMBEDDED
from peakatlas.atlas.format.shard_rows import ShardRows
from peakatlas.atlas.storage.base import ByteRange
from peakatlas.atlas.storage.local import LocalStorage
from peakatlas.engine.intervals.table import Intervals
from peakatlas.engine.run.hardware import peak_memory
from peakatlas.engine.spec import EmbeddingSpec

Figures = dict[str, float]
N_WIDE, WIDE_BP = 10_000, 2_000_000
N_LARGE, DIM_LARGE = 10_000_000, 8
N_CONTIGS = 24
TURNS = 3


class Counted(LocalStorage):
    """A folder that is read as a server is, and counts the bytes that are asked for."""

    n_bytes = 0

    def local_path(self, name: str = "") -> None:  # type: ignore[override]
        """None: reading takes the way of an atlas behind a URL."""

    def read_bytes(self, name: str) -> bytes:
        """All bytes of a file."""
        data = super().read_bytes(name)
        self.n_bytes += len(data)
        return data

    def read_ranges(self, ranges: Sequence[ByteRange]) -> list[bytes]:
        """Bytes of each range."""
        self.n_bytes += sum(stop - start for _, start, stop in ranges)
        return super().read_ranges(ranges)


def far_figures(path: Path) -> Figures:
    """Bytes that opening and looking up fetch, and those of intervals on the disk."""
    with Atlas.open(path) as near:
        rows = near.intervals
    chosen = np.random.default_rng(0).choice(len(rows), 100, replace=False)
    of_contig = np.bincount(rows.contig_ids)
    one = np.flatnonzero(rows.contig_ids == of_contig.argmax())
    many = np.random.default_rng(1).choice(one, min(10_000, len(one)), replace=False)
    opened, single = zip(*(_fetched(path, rows.take([row])) for row in chosen), strict=True)
    files = (path / "segment-0000" / "intervals").rglob("*")
    return {
        "remote_open_bytes": max(opened),
        "remote_one_peak_bytes": max(single),
        "remote_10k_peaks_bytes": _fetched(path, rows.take(many))[1],
        "interval_bytes_per_row": sum(f.stat().st_size for f in files if f.is_file()) / len(rows),
    }


def _fetched(path: Path, peaks: Intervals) -> tuple[int, int]:
    """Bytes of opening the atlas, and of looking peaks up, all of which it has."""
    storage = Counted(path)
    atlas = Atlas(storage, manifest_of(storage))
    opened = storage.n_bytes
    if (atlas.lookup(peaks).row < 0).any():
        raise SystemExit("a row of the atlas was not found from afar.")
    return opened, storage.n_bytes - opened


def wide_figures(path: Path) -> Figures:
    """Memory of averaging over wide peaks."""
    atlas = Atlas.open(path)
    rows = atlas.intervals
    atlas.overlap_mean(rows.take([0]))
    chosen = np.random.default_rng(0).choice(len(rows), N_WIDE)
    start = np.maximum(rows.start[chosen] - WIDE_BP // 2, 0)
    peaks = Intervals(rows.contigs, rows.contig_ids[chosen], start, start + WIDE_BP)
    ctypes.CDLL(None).malloc_trim(0)  # gives back what making the index left, else it is used again
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    before, began = pages * resource.getpagesize(), time.process_time()
    found = atlas.overlap_mean(peaks)
    return {
        "overlap_mean_rss_mb": (peak_memory() - before) / 1e6,
        "overlap_mean_seconds": time.process_time() - began,
        "overlap_mean_pairs": int(found.n_rows.sum()),
    }


def large_figures(folder: Path, n_rows: int) -> Figures:
    """Seconds to open a large atlas, which is written first and removed."""
    path = folder / "large.zarr"
    _write_large(path, n_rows)
    opened, indexed = [], []
    for _ in range(TURNS):
        began = time.process_time()
        atlas = Atlas.open(path)
        atlas.intervals  # noqa: B018
        opened.append(time.process_time() - began)
        began = time.process_time()
        atlas.digest_index  # noqa: B018
        indexed.append(time.process_time() - began)
    shutil.rmtree(path)
    return {"open_10m_seconds": min(opened), "digest_index_10m_seconds": min(indexed)}


def _write_large(path: Path, n_rows: int) -> None:
    rng = np.random.default_rng(0)
    each = n_rows // N_CONTIGS
    start = np.cumsum(rng.integers(100, 500, (N_CONTIGS, each)), axis=1).reshape(-1)
    width = rng.integers(150, 350, len(start))
    names = tuple(f"chr{number}" for number in range(N_CONTIGS))
    rows = Intervals(names, np.repeat(np.arange(N_CONTIGS), each), start, start + width)
    spec = EmbeddingSpec(model="none", weights_sha256="0" * 64, tokenizer_sha256="1" * 64,
                         dim=DIM_LARGE, window="centre:510")  # fmt: skip
    writer = AtlasWriter.create(path, rows, spec, genome={}, model={"licence": "none"})
    shards = range(writer.n_shards)
    writer.write_shards(shards, lambda shard: _random_rows(shard, writer.shard_rows_of(shard)))
    writer.finalise()


def _random_rows(shard: int, at: slice) -> ShardRows:
    n, rng = at.stop - at.start, np.random.default_rng(shard)
    digests: NDArray[np.uint8] = rng.integers(0, 256, (n, 16), np.uint8)
    return ShardRows(
        values=np.ones((n, DIM_LARGE), np.float16),
        digests=digests,
        n_fraction=np.zeros(n, np.float32),
        state=np.full(n, EMBEDDED, np.uint8),
    )


def in_process(task: str, path: Path) -> Figures:
    """Figures of ``far`` or ``wide`` of an atlas, measured in a process of its own."""
    command = [sys.executable, __file__, "--task", task, "--atlas", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{task} failed:\n{done.stderr}")
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


def all_figures(path: Path, folder: Path, scale: Scale) -> Figures:
    """Every figure of this file, rounded."""
    large = large_figures(folder, N_LARGE if scale.real else 100_000)
    found = large | in_process("far", path) | in_process("wide", path)
    return {name: round(value, 3) for name, value in found.items()}


def main() -> None:
    """Parse the options, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="data folder")
    parser.add_argument("--workdir", type=Path, help="folder that keeps the atlas (2.6 GB)")
    parser.add_argument("--quick", action="store_true", help="a small random atlas, once")
    parser.add_argument("--json", action="store_true", help="print one JSON object only")
    parser.add_argument("--task", choices=["far", "wide"], help=argparse.SUPPRESS)
    parser.add_argument("--atlas", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.task:
        print(json.dumps((far_figures if args.task == "far" else wide_figures)(args.atlas)))
        return
    scale = QUICK if args.quick else FULL
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.workdir or Path(temporary)
        keys, _ = read_tables(scale, args.data)
        path = open_or_write(folder, keys, scale.dim)
        found = {"benchmark": "lookup_far", "keys": len(keys), "dim": scale.dim}
        found |= all_figures(path, folder, scale) | {"provenance": provenance()}
    print(json.dumps(found) if args.json else json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
