"""Peaks on their way to the model, a block at a time: windows, DNA, tokens, packs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from peakatlas.engine.dna.sequences import Sequences
from peakatlas.engine.dna.windows import combine_digests

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from peakatlas.engine.dna.genome import SequenceSource
    from peakatlas.engine.dna.windows import WindowRule
    from peakatlas.engine.intervals.table import Intervals
    from peakatlas.engine.tokens.reader import Reader

    from .packs import PackRunner, Planned

BLOCK_PEAKS = 1024
"""Peaks of a block on a CPU, and the least on a GPU."""
# Packs of a block that keep a GPU busy while the host turns to the next block.
_BLOCK_PACKS = 3
# Peaks whose windows say how long those of all are.
_SAMPLE_PEAKS = 4096
_SAMPLE_DNA = "ACGTTGCATTGACCAT" * 6


@dataclass(frozen=True, kw_only=True)
class PeakBlock:
    """Peaks that go through the pipeline together."""

    rows: slice
    owner: NDArray[np.int64]
    """Peak of each window, from the first of the block."""
    digests: NDArray[np.uint8]
    n_fraction: NDArray[np.float32]
    strands: tuple[Planned, ...]


class PeakBlocks:
    """Cuts peaks into blocks and prepares them for the model, all on the host.

    Parameters
    ----------
    window : WindowRule
    reader : Reader
    runner : PackRunner
    """

    def __init__(self, window: WindowRule, reader: Reader, runner: PackRunner) -> None:
        self._window, self._reader, self._runner = window, reader, runner
        sample = self._reader.read(Sequences.from_strings([_SAMPLE_DNA]))
        self.tokens_per_letter = sum(len(strand.ids) for strand in sample) / len(_SAMPLE_DNA)

    def rows(self, peaks: Intervals, source: SequenceSource) -> list[slice]:
        """Rows of each block: on a GPU so many that their tokens fill a few packs."""
        n, size = len(peaks), BLOCK_PEAKS
        if self._runner.on_device:
            size = max(size, self._filling_peaks(peaks, source))
        return [slice(first, min(first + size, n)) for first in range(0, n, size)]

    def prepare(self, peaks: Intervals, source: SequenceSource, rows: slice) -> PeakBlock:
        """Cut windows, read their DNA and plan the packs of one block."""
        block = peaks.take(np.arange(rows.start, rows.stop))
        cut = self._window.cut(block, source.contig_sizes)
        dna = source.fetch(cut.intervals, block.take(cut.owner))
        unknown = dna.n_fraction()
        n_letters = np.bincount(cut.owner, dna.lengths, len(block))
        n_unknown = np.bincount(cut.owner, unknown * dna.lengths, len(block))
        return PeakBlock(
            rows=rows,
            owner=cut.owner,
            digests=combine_digests(dna.digests(), cut.owner, len(block)),
            n_fraction=(n_unknown / np.maximum(n_letters, 1)).astype(np.float32),
            strands=self.plan(dna, unknown),
        )

    def plan(
        self, dna: Sequences, unknown: NDArray[np.float32] | None = None
    ) -> tuple[Planned, ...]:
        """Tokens of each strand and their packs; `unknown` are shares of N, if known."""
        return tuple(self._runner.plan(tokens) for tokens in self._reader.read(dna, unknown))

    def _filling_peaks(self, peaks: Intervals, source: SequenceSource) -> int:
        """Peaks whose tokens fill a few packs, going by the first ones."""
        some = peaks.take(np.arange(min(len(peaks), _SAMPLE_PEAKS)))
        letters = int(self._window.cut(some, source.contig_sizes).intervals.widths.sum())
        tokens = max(1.0, letters / max(len(some), 1) * self.tokens_per_letter)
        return int(_BLOCK_PACKS * self._runner.token_budget / tokens)
