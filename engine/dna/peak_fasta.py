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
_RECORD_NAME = re.compile(r".*[^:_-]:\d{1,18}-\d{1,18}", re.ASCII)


class PeakFasta:
    """A FASTA whose records are peaks (``>chr1:100-600``, 0-based half-open).

    A peak is served by the record that equals it, else by the narrowest that contains it (ties: the
    earlier one). A window is cut from the record of its peak and clipped to it, whatever other
    records hold.

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
        """Raise unless every interval lies within a record.

        Raises
        ------
        ContigError
            If a contig is absent; says so when only the naming style differs.
        GenomeError
            If an interval lies within no record.
        """
        self._serving(intervals)

    def holds(self, intervals: Intervals) -> NDArray[np.bool_]:
        """Which intervals lie within a record, shape (n,)."""
        held = np.zeros(len(intervals), np.bool_)
        here = np.flatnonzero(np.isin(np.asarray(intervals.contigs), list(self.contig_sizes)))
        rows = np.flatnonzero(np.isin(intervals.contig_ids, here))
        held[rows[self._pairs(intervals.take(rows))[0]]] = True
        return held

    def fetch(self, intervals: Intervals, peaks: Intervals | None = None) -> Sequences:
        """DNA of each interval, upper case, clipped to the record of its peak.

        Parameters
        ----------
        intervals : Intervals
            Windows, each of which overlaps its peak.
        peaks : Intervals, optional
            Peak of each window; the windows themselves if not given.

        Raises
        ------
        ContigError, GenomeError
            As `check`, of the peaks.
        """
        record = self._serving(intervals if peaks is None else peaks)
        first, past = self.records.start[record], self.records.end[record]
        start = np.clip(intervals.start, first, past) - first
        return self._fasta.fetch(record, start, np.clip(intervals.end, first, past) - first)

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

    def _serving(self, peaks: Intervals) -> NDArray[np.int64]:
        """Record that serves each peak, shape (n,)."""
        check_contigs(peaks, self.contig_sizes, self._file)
        query, record = self._pairs(peaks)
        rows = np.arange(len(peaks), dtype=np.int64)
        order = np.lexsort((record, self.records.widths[record], query))
        served, first = np.unique(query[order], return_index=True)
        if len(served) < len(peaks):
            raise GenomeError(self._unserved(peaks, np.setdiff1d(rows, served)))
        return np.asarray(record[order][first], np.int64)

    def _pairs(self, peaks: Intervals) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Peaks, and the records that each lies within."""
        same = peaks.recoded(self.records.contigs)
        rows = np.arange(len(same), dtype=np.int64)
        query, record = self._index.all_overlaps_both(*self._on_axis(same), rows)
        within = (self.records.start[record] <= same.start[query]) & (
            self.records.end[record] >= same.end[query]
        )
        return query[within], record[within]

    def _unserved(self, peaks: Intervals, missing: NDArray[np.int64]) -> str:
        names = peaks.take(missing[:_SHOWN]).names()
        shown = ", ".join(f"row {row} {n}" for row, n in zip(missing, names, strict=False))
        return (
            f"{len(missing)} of {len(peaks)} interval(s) lie within no record of {self._file}: "
            f"{shown}. Give a FASTA that holds these peaks whole, or a genome."
        )


def is_record_name(name: str) -> bool:
    """Whether a FASTA record is named like a peak, ``chrom:start-end``."""
    return _RECORD_NAME.fullmatch(name) is not None
