"""DNA by interval: from a genome, or from a FASTA whose records are peaks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from peakatlas.engine.errors import ContigError, GenomeError
from peakatlas.engine.intervals.contig_names import check_contigs, match_contigs

from .fasta import IndexedFasta
from .peak_fasta import PeakFasta, is_record_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from peakatlas.engine.intervals.table import Intervals

    from .sequences import Sequences

__all__ = ["Genome", "PeakFasta", "SequenceSource", "match_contigs", "open_genome"]

_SHOWN = 5


class SequenceSource(Protocol):
    """Anything that gives the DNA of intervals."""

    path: str
    """File that the sequences come from."""
    contig_sizes: Mapping[str, int]
    """Length of each contig in bp (for a FASTA of peaks: end of its last peak)."""

    def check(self, intervals: Intervals) -> None:
        """Raise ContigError or GenomeError unless every interval can be fetched."""

    def fetch(self, intervals: Intervals, peaks: Intervals | None = None) -> Sequences:
        """DNA of each interval, upper case, clipped at the end of the contig or record.

        `peaks` are those that the intervals are windows of, row by row; where records are peaks, a
        window is cut from the record of its peak.
        """

    def digests(self, contigs: Iterable[str] | None = None) -> dict[str, str]:
        """Refget digest (``SQ.…``) of each contig or record, all when none are named."""


class Genome:
    """A FASTA of contigs: plain, BGZF or gzip, told by content.

    Compressed files are decompressed once into ``$XDG_CACHE_HOME/peakatlas`` (default
    ``~/.cache/peakatlas``), where the index is kept as well; the folder of the FASTA is never
    written to.

    Parameters
    ----------
    path : str or Path
    fasta : IndexedFasta, optional
        The same file, already open.

    Raises
    ------
    GenomeError
        If the file is absent, empty, truncated or not FASTA.
    """

    def __init__(self, path: str | Path, fasta: IndexedFasta | None = None) -> None:
        self._fasta = fasta or IndexedFasta(path)
        self._file = Path(path).name
        self._records = {name: row for row, name in enumerate(self._fasta.sizes)}
        self.path = str(path)
        self.contig_sizes: Mapping[str, int] = self._fasta.sizes

    def check(self, intervals: Intervals) -> None:
        """Raise unless every interval lies on a contig and ends within it.

        Raises
        ------
        ContigError
            If a contig is absent; says so when only the naming style differs.
        GenomeError
            If an interval ends past its contig.
        """
        check_contigs(intervals, self.contig_sizes, self._file)
        bad = np.flatnonzero(intervals.end > self._limits(intervals))
        if len(bad):
            raise GenomeError(self._past_the_end(intervals, bad))

    def fetch(self, intervals: Intervals, peaks: Intervals | None = None) -> Sequences:
        """DNA of each interval, upper case, clipped at the contig's end; `peaks` do not matter.

        Raises
        ------
        ContigError
            If a contig is absent.
        """
        check_contigs(intervals, self.contig_sizes, self._file)
        limits = self._limits(intervals)
        table = np.array([self._records.get(name, -1) for name in intervals.contigs], np.int64)
        record = table[intervals.contig_ids] if len(intervals) else np.empty(0, np.int64)
        return self._fasta.fetch(
            record, np.minimum(intervals.start, limits), np.minimum(intervals.end, limits)
        )

    def digests(self, contigs: Iterable[str] | None = None) -> dict[str, str]:
        """GA4GH refget digest (``SQ.…``) of each contig, all when none are named.

        Raises
        ------
        ContigError
            If a contig is absent.
        """
        names = list(self.contig_sizes if contigs is None else contigs)
        absent = [name for name in names if name not in self._records]
        if absent:
            raise ContigError(f"{self._file} has no contigs {absent[:_SHOWN]}. Check the names.")
        return self._fasta.refget_digests(names)

    def _limits(self, intervals: Intervals) -> NDArray[np.int64]:
        sizes = np.array([self.contig_sizes.get(name, 0) for name in intervals.contigs], np.int64)
        return sizes[intervals.contig_ids] if len(intervals) else np.empty(0, np.int64)

    def _past_the_end(self, intervals: Intervals, bad: NDArray[np.int64]) -> str:
        first = intervals.take(bad[:_SHOWN])
        shown = "; ".join(
            f"row {row}: {name} ends past {chrom} ({self.contig_sizes[chrom]} bp in {self._file})"
            for row, name, chrom in zip(bad, first.names(), first.chrom, strict=False)
        )
        return (
            f"{len(bad)} of {len(intervals)} interval(s) end past their contig: {shown}. "
            "Give the genome build that they were called on, or remove these rows."
        )


def open_genome(path: str | Path) -> Genome | PeakFasta:
    """Open a FASTA: of peaks when every record is named like ``chr1:100-600``, else a genome.

    Parameters
    ----------
    path : str or Path

    Raises
    ------
    GenomeError
        If the file is absent, empty, truncated or not FASTA.

    Examples
    --------
    >>> import peakatlas
    >>> genome = peakatlas.open_genome("hg38.fa.gz")
    >>> genome.fetch(peakatlas.parse_names(["chr20:42501510-42501526"])).lengths.tolist()
    [16]
    """
    fasta = IndexedFasta(path)
    if all(is_record_name(name) for name in fasta.sizes):
        return PeakFasta(path, fasta)
    return Genome(path, fasta)
