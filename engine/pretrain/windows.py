"""Random windows of a genome, and what is set aside of it."""

from __future__ import annotations

import hashlib
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from peakatlas.engine.dna.genome import open_genome
from peakatlas.engine.dna.sequences import COMPLEMENT, Sequences
from peakatlas.engine.errors import GenomeError
from peakatlas.engine.intervals.table import Intervals

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_MOST_EMPTY_DRAWS = 300
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
        """Draw ``n`` windows as upper-case ASCII, uint8, shape (n, width).

        Raises
        ------
        GenomeError
            If hundreds of draws meet no window without N.
        """
        parts: list[NDArray[np.uint8]] = []
        n_empty = 0
        while sum(map(len, parts)) < n:
            where = rng.integers(self._total, size=2 * n)
            stretch = np.searchsorted(self._room_before, where, side="right") - 1
            start = self._first[stretch] + where - self._room_before[stretch]
            windows = self.data[start[:, None] + np.arange(self.width)]
            parts.append(windows[_IS_ACGT[windows].all(axis=1)])
            n_empty = 0 if len(parts[-1]) else n_empty + 1
            if n_empty == _MOST_EMPTY_DRAWS:
                raise GenomeError(
                    f"{n_empty * 2 * n:,} random windows of {self.width} bp all hold N or other "
                    "letters. Give DNA that is known; hold out a stretch without gaps."
                )
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
        Stretches never trained on, named as in the FASTA files; what overlaps or touches is one.
    min_width : int
        Shorter stretches are left out, in bp.

    Returns
    -------
    train, holdout : Sequences

    Raises
    ------
    GenomeError
        If a held-out contig is in none of the files, a stretch ends past it, or nothing is held
        out.
    """
    train: list[str] = []
    held_out: list[str] = []
    n_found = 0
    for path in genomes:
        source = open_genome(path)
        for chrom, size in source.contig_sizes.items():
            whole = source.fetch(Intervals.from_columns([chrom], [0], [size]))[0]
            here = holdout.take(holdout.chrom == chrom)
            n_found += len(here)
            if (here.end > size).any():
                raise GenomeError(
                    f"held-out {here.take(here.end > size).names()[0]} ends past {chrom} "
                    f"({size} bp in {path})."
                )
            edges = [0, *(edge for pair in _merged(here) for edge in pair), size]
            pieces = [whole[a:b] for a, b in pairwise(edges)]
            train += [piece for piece in pieces[::2] if len(piece) >= min_width]
            held_out += pieces[1::2]
    if n_found != len(holdout) or not held_out:
        raise GenomeError(
            f"{n_found} of {len(holdout)} held-out stretches found in the genome. Name the "
            "contig as the FASTA does, as in --holdout chr20:45000000-46000000."
        )
    return Sequences.from_strings(train), Sequences.from_strings(held_out)


def _merged(stretches: Intervals) -> list[tuple[int, int]]:
    """Bounds of stretches of one contig, in order; those that overlap or touch as one."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(zip(stretches.start.tolist(), stretches.end.tolist(), strict=True)):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def inputs_digests(
    train: Sequences, holdout: Sequences, motifs: Mapping[str, NDArray[np.float64]] | None
) -> dict[str, str]:
    """SHA-256 of what a run learns from: DNA trained on, DNA held out, and motifs."""
    shas = {name: hashlib.sha256() for name in ("genome", "holdout", "motifs")}
    for name, dna in (("genome", train), ("holdout", holdout)):
        shas[name].update(dna.offsets.tobytes())
        shas[name].update(np.ascontiguousarray(dna.data).data)
    for name, counts in (motifs or {}).items():
        shas["motifs"].update(f"{name} {counts.shape}\n".encode() + counts.tobytes())
    return {name: sha.hexdigest() for name, sha in shas.items()}
