"""Random windows of a genome, and what is set aside of it."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from peakatlas.engine.dna.genome import open_genome
from peakatlas.engine.dna.sequences import COMPLEMENT, Sequences
from peakatlas.engine.errors import GenomeError
from peakatlas.engine.intervals.table import Intervals

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_IS_ACGT = np.isin(np.arange(256), np.frombuffer(b"ACGT", np.uint8))


class WindowSampler:
    """Uniform random N-free windows of given contig stretches, on a random strand.

    Parameters
    ----------
    stretches : Sequences
        DNA to sample from.
    width : int
        Window width in bp.

    Raises
    ------
    GenomeError
        If no stretch is that long.
    """

    def __init__(self, stretches: Sequences, width: int) -> None:
        self.data, self.width = stretches.data, width
        room = np.maximum(np.diff(stretches.offsets) - width + 1, 0)
        self._first, self._room_before = stretches.offsets[:-1], np.cumsum(room) - room
        self._total = int(room.sum())
        if self._total == 0:
            raise GenomeError(f"no stretch of DNA is {width} bp long")

    def draw(self, n: int, rng: np.random.Generator) -> NDArray[np.uint8]:
        """Draw ``n`` windows as upper-case ASCII, uint8, shape (n, width)."""
        parts: list[NDArray[np.uint8]] = []
        while sum(map(len, parts)) < n:
            where = rng.integers(self._total, size=2 * n)
            stretch = np.searchsorted(self._room_before, where, side="right") - 1
            start = self._first[stretch] + where - self._room_before[stretch]
            windows = self.data[start[:, None] + np.arange(self.width)]
            parts.append(windows[_IS_ACGT[windows].all(axis=1)])
        windows = np.concatenate(parts)[:n]
        flip = rng.random(n) < 0.5
        windows[flip] = COMPLEMENT[windows[flip, ::-1]]
        return windows


def split_genomes(
    genomes: Sequence[Path], holdout: Intervals, min_width: int = 1000
) -> tuple[Sequences, Sequences]:
    """Whole contigs as training and held-out stretches.

    Parameters
    ----------
    genomes : sequence of Path
        FASTA files.
    holdout : Intervals
        Stretches never trained on, named as in the FASTA files.
    min_width : int
        Shorter stretches are left out, in bp.

    Returns
    -------
    train, holdout : Sequences

    Raises
    ------
    GenomeError
        If a held-out contig is in none of the files, or nothing is held out.
    """
    train: list[str] = []
    held_out: list[str] = []
    for path in genomes:
        source = open_genome(path)
        for chrom, size in source.contig_sizes.items():
            whole = source.fetch(Intervals.from_columns([chrom], [0], [size]))[0]
            here = holdout.take(holdout.chrom == chrom)
            edges = [0, *np.sort(np.concatenate([here.start, here.end])).tolist(), size]
            pieces = [whole[a:b] for a, b in pairwise(edges)]
            train += [piece for piece in pieces[::2] if len(piece) >= min_width]
            held_out += pieces[1::2]
    if len(held_out) != len(holdout) or not held_out:
        raise GenomeError(
            f"{len(held_out)} of {len(holdout)} held-out stretches found in the genome. Name the "
            "contig as the FASTA does, as in --holdout chr20:45000000-46000000."
        )
    return Sequences.from_strings(train), Sequences.from_strings(held_out)
