"""The atlas, the keys and the queries of ``lookup.py``.

Keys are 1,355,445 candidate regulatory elements, queries 156,607 peaks of a PBMC sample (both
hg38). The scale run needs more of both. Either table is tiled in the same way: a copy of it is
moved by `TILE_SHIFT` bp towards the end of its contigs, copies of intervals that are there already
are left out, and as many of the rest as are needed, drawn at random with `SEED`, join the table.
Copies may lie past the end of a contig; no sequence is read. So keys stay as dense as real
elements are where they lie, and queries meet them as real peaks do.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from peakatlas.atlas import Atlas, AtlasWriter
from peakatlas.atlas.format.ordering import sorted_unique
from peakatlas.atlas.format.schema import EMBEDDED
from peakatlas.engine.intervals.readers import read_bed
from peakatlas.engine.intervals.table import Intervals
from peakatlas.engine.spec import EmbeddingSpec

KEYS = Path("intervals/hg38_cCRE_1.36M.bed.gz")
QUERIES = Path("intervals/hg38_pbmc3k_peaks.bed.gz")
TILE_SHIFT = 500_000
SEED = 0


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How much there is of everything."""

    keys: int
    queries: int
    dim: int
    rounds: int
    """Rounds of measurement."""
    real: bool
    """Whether keys and queries are the real sets, tiled, or drawn at random."""


FULL = Scale(keys=2_350_000, queries=200_000, dim=512, rounds=3, real=True)
QUICK = Scale(keys=4_000, queries=500, dim=16, rounds=1, real=False)


def read_tables(scale: Scale, data: Path) -> tuple[Intervals, Intervals]:
    """Keys in genome order without repeats, and queries in random order."""
    rng = np.random.default_rng(SEED)
    if scale.real:
        keys, queries = read_bed(data / KEYS), read_bed(data / QUERIES)
    else:
        keys, queries = _drawn(scale.keys, rng), _drawn(scale.queries, rng)
    keys = tiled(keys, scale.keys, rng)
    queries = tiled(queries, scale.queries, rng)
    return keys, queries.take(rng.permutation(len(queries)))


def tiled(table: Intervals, n: int, rng: np.random.Generator) -> Intervals:
    """`table` without repeats, filled up to `n` rows with moved copies, in genome order."""
    contigs = table.contigs
    table, _ = sorted_unique(table, contigs)
    missing = n - len(table)
    if missing <= 0:
        return table.take(np.sort(rng.choice(len(table), n, replace=False)))
    moved = Intervals(
        table.contigs, table.contig_ids, table.start + TILE_SHIFT, table.end + TILE_SHIFT
    )
    both = Intervals.concatenate([table, moved])
    moved = moved.take(~both.duplicated()[len(table) :])
    added = moved.take(rng.choice(len(moved), missing, replace=False))
    return sorted_unique(Intervals.concatenate([table, added]), contigs)[0]


def open_or_write(folder: Path, keys: Intervals, dim: int) -> Path:
    """An atlas of random embeddings for `keys`, written unless `folder` has it already.

    Values are uniform in ±0.5 and depend on the shard alone; no model is involved.
    """
    path = folder / f"atlas-{len(keys)}x{dim}.zarr"
    writer = AtlasWriter.create(
        path,
        keys,
        EmbeddingSpec(
            model="random",
            weights_sha256="0" * 64,
            tokenizer_sha256="1" * 64,
            dim=dim,
            window="centre:510",
        ),
        genome={"name": "none"},
        model={"name": "random", "licence": "none"},
    )
    for shard in sorted(set(range(writer.n_shards)) - set(writer.done_shards())):
        rows = writer.shard_rows_of(shard)
        writer.write_shard(shard, *_random_rows(shard, rows.stop - rows.start, dim))
    writer.finalise()
    Atlas.open(path).close()
    return path


def _random_rows(shard: int, n: int, dim: int) -> tuple[NDArray[np.generic], ...]:
    rng = np.random.default_rng((SEED, shard))
    values = rng.random((n, dim), np.float32)
    values -= np.float32(0.5)
    digests = rng.integers(0, 256, (n, 16), np.uint8)
    return values, digests, np.zeros(n, np.float32), np.full(n, EMBEDDED, np.uint8)


def _drawn(n: int, rng: np.random.Generator) -> Intervals:
    start = rng.integers(0, 500 * n, n)
    width = rng.integers(150, 1000, n)
    contigs = tuple(f"chr{i}" for i in range(1, 6))
    return Intervals(contigs, rng.integers(0, 5, n).astype(np.int32), start, start + width)
