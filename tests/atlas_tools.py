"""A toy genome, an embedder that needs no model, and atlases made of them."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from peakatlas.atlas import Atlas
from peakatlas.atlas.build.append import append_rows
from peakatlas.atlas.build.provenance import genome_provenance
from peakatlas.atlas.build.writer import AtlasWriter
from peakatlas.atlas.format.schema import EMBEDDED
from peakatlas.engine.dna.genome import SequenceSource
from peakatlas.engine.dna.windows import parse_window, window_digests
from peakatlas.engine.intervals.table import Intervals
from peakatlas.engine.spec import EmbeddingSpec

DIM = 8


@dataclass(frozen=True, kw_only=True)
class ToyCard:
    name: str = "toy"
    licence: str = "MIT"


@dataclass(frozen=True, kw_only=True)
class ToyEmbeddings:
    values: np.ndarray
    digests: np.ndarray
    n_fraction: np.ndarray

    @property
    def masked(self) -> np.ndarray:
        return np.isnan(self.values).all(axis=1)


def toy_spec(**changes) -> EmbeddingSpec:
    values = {
        "model": "toy", "weights_sha256": "0" * 64, "tokenizer_sha256": "1" * 64,
        "dim": DIM, "window": "centre:60",
    }  # fmt: skip
    if "model" in changes:
        values["weights_sha256"] = changes["model"].encode().hex().ljust(64, "0")
    return EmbeddingSpec(**(values | changes))


@dataclass
class ToyEmbedder:
    """Values are read off the digest of the window: equal sequence, equal embedding."""

    spec: EmbeddingSpec = field(default_factory=toy_spec)
    card: ToyCard = field(default_factory=ToyCard)
    seconds_a_call: float = 0.0
    n_embedded: int = 0

    def embed(self, peaks, source, progress=None) -> ToyEmbeddings:
        time.sleep(self.seconds_a_call)
        digests = window_digests(peaks, source, self.spec.window)
        cut = parse_window(self.spec.window).cut(peaks, source.contig_sizes)
        n_fraction = source.fetch(cut.intervals).n_fraction()
        values = digests[:, : self.spec.dim].astype(np.float32) / 7
        values[n_fraction == 1] = np.nan
        self.n_embedded += len(peaks)
        if progress:
            progress(len(peaks))
        return ToyEmbeddings(values=values, digests=digests, n_fraction=n_fraction)

    def embed_many(self, tables, source, done, progress=None) -> None:
        for number, peaks in tables:
            done(number, self.embed(peaks, source, progress))


def write_toy_genome(path: Path, sizes: dict[str, int], seed: int = 0) -> Path:
    """A FASTA of random DNA; the first 100 bp of the first contig are N."""
    rng = np.random.default_rng(seed)
    with path.open("w") as handle:
        for number, (name, size) in enumerate(sizes.items()):
            letters = rng.choice(list("ACGT"), size)
            if number == 0:
                letters[:100] = "N"
            handle.write(f">{name}\n{''.join(letters)}\n")
    return path


def random_intervals(
    n: int, seed: int = 0, *, contigs=("chr1", "chr2"), extent: int = 50_000
) -> Intervals:
    """Sorted intervals without repeats."""
    rng = np.random.default_rng(seed)
    start = rng.integers(100, extent - 300, 2 * n)
    drawn = Intervals(contigs, rng.integers(0, len(contigs), 2 * n), start, start + 200)
    drawn = drawn.take(~drawn.duplicated())
    drawn = drawn.take(np.arange(n))
    return drawn.take(drawn.genome_order())


def toy_rows(n: int, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Values (exact in float16), digests, N fractions and states of n rows."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((n, DIM)).astype(np.float16).astype(np.float32)
    digests = rng.integers(0, 256, (n, 16)).astype(np.uint8)
    return values, digests, np.zeros(n, np.float32), np.full(n, EMBEDDED, np.uint8)


def begin_toy_atlas(path: Path, intervals: Intervals, *, shard_rows: int = 4) -> AtlasWriter:
    return AtlasWriter.create(
        path, intervals, toy_spec(), genome={"name": "toy.fa"}, model={"licence": "MIT"},
        shard_rows=shard_rows,
    )  # fmt: skip


def write_toy_atlas(path: Path, intervals: Intervals, *, shard_rows: int = 4) -> np.ndarray:
    """Write a whole atlas of random rows; returns the values."""
    rows = toy_rows(len(intervals))
    writer = begin_toy_atlas(path, intervals, shard_rows=shard_rows)
    for shard in range(writer.n_shards):
        writer.write_shard(shard, *(column[writer.shard_rows_of(shard)] for column in rows))
    writer.finalise()
    return rows[0]


def append_toy_rows(path: Path, more: Intervals, genome: SequenceSource) -> None:
    """Append what the toy embedder makes of some intervals, under the genome's provenance."""
    described = genome_provenance(genome, more.contigs)
    append_rows(path, more, ToyEmbedder().embed(more, genome), genome=described)


def flip(path: Path) -> None:
    """Change one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def rows_by_interval(path: Path) -> dict[str, tuple[bytes, ...]]:
    """Every column of every row, by interval."""
    with Atlas.open(path) as atlas:
        values = atlas.gather(np.arange(len(atlas)))
        columns = zip(values, atlas.digests, atlas.n_fraction, atlas.state, strict=True)
        return {
            name: tuple(np.asarray(value).tobytes() for value in row)
            for name, row in zip(atlas.intervals.names(), columns, strict=True)
        }


def tree_bytes(root: Path) -> dict[str, bytes]:
    """Every file of an atlas but the manifest (it holds a time) and locks."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != "manifest.json"
        if not any(part.startswith(".") for part in path.relative_to(root).parts)
    }
