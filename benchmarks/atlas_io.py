"""How fast an atlas is written and read, beside a plain file of the same bytes.

``python benchmarks/atlas_io.py --json`` writes float16 rows of 512 dimensions as an atlas and as
plain files, one after the other, several times, and takes the median of each figure:

``write_mb_s`` / ``raw_write_mb_s``: bytes on the disk over seconds; the plain files hold the bytes
of the atlas's shards, one file for each, and are written as the atlas is: aside, fsync, rename,
fsync of the folder. Laying out and finalising an atlas count as writing it.
``read_mb_s`` / ``raw_read_mb_s``: all rows as float32, by ``Atlas.gather`` in row order, and the
plain files, in pieces that are dropped at once; both counted in bytes on the disk, from the page
cache. The plain read is then little but a copy within the processor's cache: expect a low ratio.
``write_ratio_vs_raw`` / ``read_ratio_vs_raw``: medians over the rounds of the ratio in a round.

With ``--raw-kind digested`` the plain write also takes the SHA-256 that the atlas keeps.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from provenance import provenance

from peakatlas.atlas import Atlas, AtlasWriter
from peakatlas.atlas.build.writer import SHARD_ROWS
from peakatlas.atlas.format.schema import EMBEDDED
from peakatlas.atlas.format.shard_rows import ShardRows
from peakatlas.atlas.storage import atomic as files
from peakatlas.engine.intervals.table import Intervals
from peakatlas.engine.spec import EmbeddingSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

DIM = 512
KEYS = ("write_mb_s", "raw_write_mb_s", "read_mb_s", "raw_read_mb_s", "write_ratio_vs_raw",
        "read_ratio_vs_raw")  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """Rows to be written: finite float16 values, as random as those of a model."""

    values: NDArray[np.float16]
    digests: NDArray[np.uint8]

    @classmethod
    def random(cls, n_rows: int) -> Table:
        """Draw rows."""
        rng = np.random.default_rng(0)
        values = np.empty((n_rows, DIM), np.float16)
        for at in range(0, n_rows, 1 << 16):
            block = values[at : at + (1 << 16)]
            block[:] = rng.standard_normal(block.shape, np.float32)
        return cls(values=values, digests=rng.integers(0, 256, (n_rows, 16), np.uint8))

    def shard(self, rows: slice) -> ShardRows:
        """Rows of one shard."""
        n = rows.stop - rows.start
        return ShardRows(
            values=self.values[rows],
            digests=self.digests[rows],
            n_fraction=np.zeros(n, np.float32),
            state=np.full(n, EMBEDDED, np.uint8),
        )

    def intervals(self) -> Intervals:
        """An interval for each row."""
        start = np.arange(len(self.values)) * 600
        return Intervals(("chr1",), np.zeros(len(start)), start, start + 500)


def write_atlas(path: Path, table: Table) -> None:
    """Write a whole atlas of the rows."""
    spec = EmbeddingSpec(model="none", weights_sha256="0" * 64, tokenizer_sha256="1" * 64,
                         dim=DIM, window="centre:510")  # fmt: skip
    writer = AtlasWriter.create(
        path, table.intervals(), spec, genome={"name": "none.fa"}, model={"licence": "none"}
    )
    writer.write_shards(
        range(writer.n_shards), lambda shard: table.shard(writer.shard_rows_of(shard))
    )
    writer.finalise()


def write_raw(folder: Path, contents: list[bytes], *, digested: bool) -> None:
    """Write plain files with the steps of an atlas's shard: aside, fsync, rename, fsync."""
    folder.mkdir()
    for number, data in enumerate(contents):
        if digested:
            hashlib.sha256(data).hexdigest()
        files.write_bytes(folder / f"{number}.bin", data)


def read_raw(folder: Path) -> int:
    """Read the plain files into memory; bytes read."""
    return sum(len(path.read_bytes()) for path in sorted(folder.iterdir()))


def read_atlas(atlas: Atlas, rows: NDArray[np.int64]) -> None:
    """Gather all rows in order, by blocks as large in memory as a plain file."""
    for at in range(0, len(rows), SHARD_ROWS // 2):  # float32 takes twice the bytes of float16
        atlas.gather(rows[at : at + SHARD_ROWS // 2])


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def shard_contents(atlas: Path) -> list[bytes]:
    """Bytes of each embedding shard of an atlas."""
    return [path.read_bytes() for path in sorted(atlas.glob("segment-0000/embedding/c/*/0"))]


def one_round(table: Table, contents: list[bytes], digested: bool, scratch: Path) -> list[float]:
    """Write and read both ways, reading twice to have it in the cache; the figures of `KEYS`."""
    atlas, raw = scratch / "a.zarr", scratch / "raw"
    write = seconds(lambda: write_atlas(atlas, table))
    raw_write = seconds(lambda: write_raw(raw, contents, digested=digested))
    size = sum(path.stat().st_size for path in atlas.rglob("*") if path.is_file())
    with Atlas.open(atlas) as opened:
        rows = np.arange(len(opened))
        read_atlas(opened, rows)
        read = seconds(lambda: read_atlas(opened, rows))
    raw_bytes = read_raw(raw)
    raw_read = seconds(lambda: read_raw(raw))
    for path in (atlas, raw):
        shutil.rmtree(path)
    speeds = [size / write, raw_bytes / raw_write, raw_bytes / read, raw_bytes / raw_read]
    return [*(s / 1e6 for s in speeds), speeds[0] / speeds[1], speeds[2] / speeds[3]]


def measure(table: Table, rounds: int, digested: bool, scratch: Path) -> dict[str, float]:
    """Write and read both ways in turn; medians over the rounds."""
    write_atlas(scratch / "first.zarr", table)
    contents, found = shard_contents(scratch / "first.zarr"), []
    shutil.rmtree(scratch / "first.zarr")
    for _ in range(rounds):
        found.append(one_round(table, contents, digested, scratch))
    columns = zip(*found, strict=True)
    return dict(zip(KEYS, map(statistics.median, columns), strict=True))


def main() -> None:
    """Parse the options, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mb", type=int, default=512, help="size of the embeddings, in MB")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="disk to measure; default: that of /tmp")
    parser.add_argument("--raw-kind", choices=("plain", "digested"), default="plain")
    parser.add_argument("--quick", action="store_true", help="few small rounds")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    mb, rounds = (4, 2) if args.quick else (args.mb, args.rounds)
    table = Table.random(mb * 1_000_000 // (2 * DIM))
    with tempfile.TemporaryDirectory(dir=args.folder) as scratch:
        result = measure(table, rounds, args.raw_kind == "digested", Path(scratch))
    facts = {"mb": mb, "dim": DIM, "rounds": rounds, "raw_kind": args.raw_kind}
    output = result | facts | {"provenance": provenance()}
    if args.json:
        print(json.dumps(output))
    else:
        for name, value in output.items():
            print(f"{name}: {value}")


if __name__ == "__main__":
    main()
