"""A FASTA whose records are peaks, in the place of a genome."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ncls import NCLS64

from peakatlas.engine.errors import ContigError, GenomeError
from peakatlas.engine.intervals.contig_names import check_contigs
from peakatlas.engine.intervals.readers import parse_names

from .fasta import IndexedFasta

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from peakatlas.engine.intervals.table import Intervals

    from .sequences import Sequences

_SHOWN = 5
_RECORD_NAME = re.compile(r".+:\d{1,18}-\d{1,18}", re.ASCII)


class PeakFasta:
    """A FASTA whose records are peaks (``>chr1:100-600``, 0-based half-open).

    An interval is served by the record that equals or contains it, otherwise it is clipped to
    the record that it overlaps most (ties: the narrower record, then the earlier one).

    Parameters
    ----------
    path : str or Path
    fasta : IndexedFasta, optional
        The same file, already open.

    Raises
    ------
    GenomeError
        If the file is absent, empty, truncated or not FASTA, or a record is not as long as its
        name says.
    IntervalError
        If a record is not named like a peak.
    """

    def __init__(self, path: str | Path, fasta: IndexedFasta | None = None) -> None:
        self._fasta = fasta or IndexedFasta(path)
        self._file = Path(path).name
        self.path = str(path)
        self.records: Intervals = parse_names(self._fasta.sizes, self._file)
        self._check_lengths()
        ends = np.zeros(len(self.records.contigs), np.int64)
        np.maximum.at(ends, self.records.contig_ids, self.records.end)
        self.contig_sizes: Mapping[str, int] = dict(
            zip(self.records.contigs, ends.tolist(), strict=True)
        )
        self._ends = ends
        self._shift = np.cumsum(ends + 1) - ends
        self._index = NCLS64(*self._on_axis(self.records), np.arange(len(self.records)))

    def check(self, intervals: Intervals) -> None:
        """Raise unless every interval overlaps a record.

        Raises
        ------
        ContigError
            If a contig is absent; says so when only the naming style differs.
        GenomeError
            If an interval overlaps no record.
        """
        self._serving(intervals)

    def fetch(self, intervals: Intervals) -> Sequences:
        """DNA of each interval, upper case, clipped to the record that serves it.

        Raises
        ------
        ContigError, GenomeError
            As `check`.
        """
        record = self._serving(intervals)
        first, past = self.records.start[record], self.records.end[record]
        start = np.maximum(intervals.start, first) - first
        return self._fasta.fetch(record, start, np.minimum(intervals.end, past) - first)

    def digests(self, contigs: Iterable[str] | None = None) -> dict[str, str]:
        """Refget digest (``SQ.…``) of each record by its name, all when none are named.

        Raises
        ------
        ContigError
            If there is no such record.
        """
        rows = {name: row for row, name in enumerate(self._fasta.sizes)}
        names = rows if contigs is None else list(contigs)
        absent = [name for name in names if name not in rows]
        if absent:
            raise ContigError(f"{self._file} has no records {absent[:_SHOWN]}. Check the names.")
        return self._fasta.refget_digests(names)

    def _check_lengths(self) -> None:
        found = np.fromiter(self._fasta.sizes.values(), np.int64)
        bad = np.flatnonzero(found != self.records.widths)
        if len(bad):
            names = self.records.take(bad[:_SHOWN]).names()
            shown = ", ".join(
                f"{n} has {found[row]} bp" for n, row in zip(names, bad, strict=False)
            )
            raise GenomeError(
                f"{self._file}: {len(bad)} record(s) are not as long as their names say: {shown}. "
                "The file is truncated, or its names are not 0-based half-open."
            )

    def _on_axis(self, intervals: Intervals) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Bounds on one axis on which the contigs follow one another, in bp."""
        shift, limit = self._shift[intervals.contig_ids], self._ends[intervals.contig_ids]
        return shift + np.minimum(intervals.start, limit), shift + np.minimum(intervals.end, limit)

    def _serving(self, intervals: Intervals) -> NDArray[np.int64]:
        """Record that serves each interval, shape (n,)."""
        check_contigs(intervals, self.contig_sizes, self._file)
        same = intervals.recoded(self.records.contigs)
        rows = np.arange(len(same), dtype=np.int64)
        query, record = self._index.all_overlaps_both(*self._on_axis(same), rows)
        overlap = np.minimum(same.end[query], self.records.end[record]) - np.maximum(
            same.start[query], self.records.start[record]
        )
        order = np.lexsort((record, self.records.widths[record], -overlap, query))
        served, first = np.unique(query[order], return_index=True)
        if len(served) < len(same):
            raise GenomeError(self._unserved(intervals, np.setdiff1d(rows, served)))
        return np.asarray(record[order][first], np.int64)

    def _unserved(self, intervals: Intervals, missing: NDArray[np.int64]) -> str:
        names = intervals.take(missing[:_SHOWN]).names()
        shown = ", ".join(f"row {row} {n}" for row, n in zip(missing, names, strict=False))
        return (
            f"{len(missing)} of {len(intervals)} interval(s) overlap no record of {self._file}: "
            f"{shown}. Give a FASTA that holds these peaks, or a genome."
        )


def is_record_name(name: str) -> bool:
    """Whether a FASTA record is named like a peak, ``chrom:start-end``."""
    return _RECORD_NAME.fullmatch(name) is not None
