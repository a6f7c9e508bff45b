"""What an atlas is built from: sequence, and the rows that a list of peaks becomes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from peakatlas.atlas.format.ordering import sorted_unique
from peakatlas.engine.dna.genome import open_genome
from peakatlas.engine.intervals.contig_names import match_contigs as rename_contigs
from peakatlas.engine.intervals.readers import read_bed
from peakatlas.engine.intervals.table import Intervals
from peakatlas.engine.intervals.text_files import STANDARD_INPUT

from .provenance import peaks_provenance

if TYPE_CHECKING:
    from typing import Any

    from peakatlas.engine.dna.genome import SequenceSource


@dataclass(frozen=True, kw_only=True, eq=False)
class PeakList:
    """Peaks that were read already, with the file that they came from."""

    intervals: Intervals
    """In any order."""
    path: Path | None = None
    """Named in the provenance of the atlas, with its SHA-256."""

    @classmethod
    def read(cls, path: str | Path) -> PeakList:
        """Read a BED or narrowPeak file; ``-`` is standard input.

        Raises
        ------
        IntervalError
            If a line cannot be used; names it.
        """
        file = Path(path) if str(path) != STANDARD_INPUT and Path(path).is_file() else None
        return cls(intervals=read_bed(path), path=file)

    def __len__(self) -> int:
        return len(self.intervals)


Peaks: TypeAlias = str | Path | Intervals | PeakList


@dataclass(frozen=True, kw_only=True, eq=False)
class Inputs:
    """Rows in the order of the genome, without repeats, and where their sequence comes from."""

    source: SequenceSource
    rows: Intervals
    n_repeats: int
    """Peaks that were left out because they repeat others."""
    path: Path | None
    """File of the peaks."""

    def peaks_provenance(self) -> dict[str, Any]:
        """Provenance of the peaks; reads their file once more for its SHA-256."""
        return peaks_provenance(self.path, self.n_repeats)


def read_inputs(
    genome: str | Path | SequenceSource, peaks: Peaks, *, match_contigs: bool = False
) -> Inputs:
    """Open the genome, read the peaks, and check that they fit each other.

    Parameters
    ----------
    genome : str, Path or SequenceSource
        FASTA of a genome or of peaks.
    peaks : str, Path, Intervals or PeakList
        BED file or table, in any order.
    match_contigs : bool
        Whether to rename the contigs of the peaks by style (``chr1``, ``1``) to fit the genome.

    Returns
    -------
    Inputs

    Raises
    ------
    IntervalError, GenomeError, ContigError
        If the peaks or the genome cannot be used.
    """
    source = open_genome(genome) if isinstance(genome, str | Path) else genome
    given = _peak_list(peaks)
    intervals = given.intervals
    if match_contigs:
        intervals = rename_contigs(intervals, source.contig_sizes)
    source.check(intervals)
    rows, _ = sorted_unique(intervals, source.contig_sizes)
    n_repeats = len(intervals) - len(rows)
    return Inputs(source=source, rows=rows, n_repeats=n_repeats, path=given.path)


def _peak_list(peaks: Peaks) -> PeakList:
    if isinstance(peaks, PeakList):
        return peaks
    return PeakList(intervals=peaks) if isinstance(peaks, Intervals) else PeakList.read(peaks)
