"""The writer that ``faults.py`` kills: synthetic rows, no model, no torch.

It does all that a build and an append do on the disk: lay out, claim, write shards, finalise,
append, finalise again. Any number of these processes may run on one atlas.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from peakatlas.atlas.build.append import append_rows
from peakatlas.atlas.build.writer import LOCK_NAME, AtlasWriter
from peakatlas.atlas.format.schema import EMBEDDED, MASKED
from peakatlas.engine.errors import ShardOwnershipError
from peakatlas.engine.intervals.table import Intervals
from peakatlas.engine.spec import EmbeddingSpec

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

GENOME = {"name": "none.fa", "contigs": {}}


@dataclass(frozen=True, kw_only=True, eq=False)
class Embeddings:
    """What an embedder would give."""

    values: NDArray[np.float32]
    digests: NDArray[np.uint8]
    n_fraction: NDArray[np.float32]

    @property
    def masked(self) -> NDArray[np.bool_]:
        """Rows without an embedding, which are NaN here."""
        return np.asarray(np.isnan(self.values).all(axis=1))


@dataclass(frozen=True, kw_only=True)
class Job:
    """Rows of an atlas and of an append; the same in every process."""

    n_rows: int = 2500
    """Rows of the first segment; the last shard is short."""
    n_appended: int = 300
    shard_rows: int = 64
    dim: int = 32

    @cached_property
    def values(self) -> NDArray[np.float32]:
        """Embedding of each row, exact in float16; every 50th is masked."""
        rng = np.random.default_rng(0)
        drawn = rng.standard_normal((self.n_rows + self.n_appended, self.dim))
        drawn[::50] = np.nan
        return drawn.astype(np.float16).astype(np.float32)

    @property
    def spec(self) -> EmbeddingSpec:
        """Spec of no model."""
        return EmbeddingSpec(
            model="none", weights_sha256="0" * 64, tokenizer_sha256="1" * 64, dim=self.dim,
            window="centre:60",
        )  # fmt: skip

    def intervals(self, rows: slice) -> Intervals:
        """Interval of each of these rows."""
        start = np.arange(self.n_rows + self.n_appended)[rows] * 1000
        return Intervals(("chr1",), np.zeros(len(start)), start, start + 500)

    def embeddings(self, rows: slice) -> Embeddings:
        """Embedding of each of these rows."""
        values = self.values[rows]
        number = np.arange(len(self.values), dtype=np.uint64)[rows]
        digests = np.stack([number, ~number], axis=1).view(np.uint8)
        masked = np.isnan(values[:, 0]).astype(np.float32)
        return Embeddings(values=values, digests=digests, n_fraction=masked)


def begin(path: Path, job: Job) -> AtlasWriter:
    """Begin the atlas, or go on with it."""
    return AtlasWriter.create(
        path, job.intervals(slice(0, job.n_rows)), job.spec,
        genome=GENOME, model={"licence": "none"}, shard_rows=job.shard_rows,
    )  # fmt: skip


def write_shard(writer: AtlasWriter, job: Job, shard: int) -> None:
    """Write one shard of the first segment."""
    made = job.embeddings(writer.shard_rows_of(shard))
    state = np.where(np.isnan(made.values[:, 0]), MASKED, EMBEDDED)
    writer.write_shard(shard, made.values, made.digests, made.n_fraction, state)


def write_all(path: Path, job: Job, first: int = 0) -> None:
    """Write, finish and extend the atlas, together with whoever else does; begins at one shard."""
    writer = begin(path, job)
    while missing := writer.segment.missing_shards():
        for shard in sorted(missing, key=lambda shard: (shard - first) % writer.n_shards):
            _take(writer, job, shard)
        time.sleep(0.001)
    with writer.storage.locked(LOCK_NAME, wait=True):
        writer.finalise()
    rows = slice(job.n_rows, job.n_rows + job.n_appended)
    made: Any = job.embeddings(rows)
    append_rows(path, job.intervals(rows), made, genome=GENOME)


def _take(writer: AtlasWriter, job: Job, shard: int) -> None:
    try:
        with writer.claim(shard):
            if not writer.segment.is_done(shard):
                write_shard(writer, job, shard)
    except ShardOwnershipError:
        pass
