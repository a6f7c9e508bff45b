"""The table of genomic intervals that every room passes around."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd

from peakatlas.engine.errors import IntervalError, MissingDependencyError
from peakatlas.engine.summary import Summary, listed

from .conventions import WIDTH_NAMES, zero_based_starts

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray
    from pyranges import PyRanges

    IntervalTable: TypeAlias = "Intervals | pd.DataFrame | PyRanges"

PYRANGES_ROW = "row"
"""Column by which a table that went through PyRanges finds its order again."""
_SHOWN = 3
_FRAME_COLUMNS = (("chrom", "start", "end"), ("Chromosome", "Start", "End"))


@dataclass(frozen=True, eq=False, repr=False)
class Intervals(Summary):
    """Genomic intervals, 0-based half-open, in a fixed order.

    Parameters
    ----------
    contigs : tuple of str
        Distinct contig names.
    contig_ids : int32, shape (n,)
        Index into `contigs` of each interval.
    start, end : int64, shape (n,)
        Bounds in bp, ``0 <= start < end``.

    Raises
    ------
    IntervalError
        If the columns differ in length, a row has no contig of the list, or one breaks
        ``0 <= start < end``.

    Examples
    --------
    >>> peaks = Intervals.from_columns(["chr1", "chr2"], [100, 5], [600, 25])
    >>> peaks.names()
    ['chr1:100-600', 'chr2:5-25']
    """

    contigs: tuple[str, ...]
    contig_ids: NDArray[np.int32]
    start: NDArray[np.int64]
    end: NDArray[np.int64]

    def __post_init__(self) -> None:
        object.__setattr__(self, "contigs", tuple(self.contigs))
        object.__setattr__(self, "contig_ids", np.ascontiguousarray(self.contig_ids, np.int32))
        object.__setattr__(self, "start", np.ascontiguousarray(self.start, np.int64))
        object.__setattr__(self, "end", np.ascontiguousarray(self.end, np.int64))
        if not len(self.contig_ids) == len(self.start) == len(self.end):
            raise IntervalError(
                f"columns differ in length: chrom {len(self.contig_ids)}, "
                f"start {len(self.start)}, end {len(self.end)}"
            )
        ids = self.contig_ids
        if len(ids) and not 0 <= ids.min() <= ids.max() < len(self.contigs):
            raise IntervalError(
                f"contig ids run from {ids.min()} to {ids.max()}, for {len(self.contigs)} contigs"
            )
        bad = np.flatnonzero((self.start < 0) | (self.start >= self.end))
        if len(bad):
            shown = ", ".join(f"row {i} ({self._name(i)})" for i in bad[:5])
            raise IntervalError(
                f"{len(bad)} interval(s) break 0 <= start < end: {shown}. "
                "Coordinates are 0-based half-open; fix or remove these rows."
            )

    @classmethod
    def from_columns(cls, chrom: Sequence[str], start: ArrayLike, end: ArrayLike) -> Intervals:
        """Build from three columns; contigs are listed in order of first appearance.

        Parameters
        ----------
        chrom : sequence of str, length n
        start, end : int, shape (n,)
            Bounds in bp.

        Raises
        ------
        IntervalError
            If a contig has no name, a bound is not a whole number, or a row breaks
            ``0 <= start < end``.
        """
        codes, names = pd.factorize(np.asarray(chrom, dtype=object))
        nameless = np.flatnonzero(codes < 0)
        if len(nameless):
            raise IntervalError(
                f"{len(nameless)} row(s) have no name of a contig (row "
                f"{', '.join(map(str, nameless[:5]))}). Fill or remove them."
            )
        # pandas reads the 1 of some lines as a number and that of others as text
        texts = np.array([contig_name(name) for name in names.tolist()], dtype=object)
        merged, contigs = pd.factorize(texts)
        return cls(tuple(contigs), merged[codes].astype(np.int32), _whole(start), _whole(end))

    @classmethod
    def from_frame(cls, frame: pd.DataFrame) -> Intervals:
        """Build from a table with columns ``chrom, start, end``, or ``Chromosome, Start, End``.

        Parameters
        ----------
        frame : pandas.DataFrame
            Rows keep their order. A column ``width`` or ``length`` shows whether starts count
            from 1; other columns are left aside.

        Raises
        ------
        IntervalError
            If a column is absent, holds no whole numbers or lacks a value, or a row breaks
            ``0 <= start < end``.

        Examples
        --------
        >>> frame = pd.DataFrame({"chrom": ["chr2"], "start": [5], "end": [25]})
        >>> Intervals.from_frame(frame).names()
        ['chr2:5-25']
        """
        for names in _FRAME_COLUMNS:
            if set(names) <= set(frame.columns):
                chrom, start, end = (frame[name] for name in names)
                _check_column_types(chrom, start, end)
                first, last = start.to_numpy(np.int64), end.to_numpy(np.int64)
                return cls.from_columns(chrom.tolist(), _from_zero(frame, first, last), last)
        raise IntervalError(
            f"the table has columns {', '.join(map(str, frame.columns))}; intervals need chrom, "
            "start, end (or Chromosome, Start, End)."
        )

    @classmethod
    def from_pyranges(cls, ranges: PyRanges) -> Intervals:
        """Build from PyRanges.

        Parameters
        ----------
        ranges : pyranges.PyRanges
            Rows come by its column ``row`` if it has one, as `to_pyranges` makes it, else as they
            lie: PyRanges groups them by chromosome.

        Raises
        ------
        IntervalError
            If a row breaks ``0 <= start < end``.
        """
        frame = ranges if isinstance(ranges, pd.DataFrame) else ranges.df
        if frame.empty:
            return cls.from_columns([], [], [])
        if PYRANGES_ROW in frame.columns:
            frame = frame.sort_values(PYRANGES_ROW, kind="stable")
        return cls.from_frame(frame)

    @classmethod
    def concatenate(cls, parts: Sequence[Intervals]) -> Intervals:
        """Put several tables one after the other, over one list of contigs."""
        contigs = tuple(dict.fromkeys(name for part in parts for name in part.contigs))
        recoded = [part.recoded(contigs) for part in parts]
        return cls(
            contigs,
            np.concatenate([np.empty(0, np.int32), *(part.contig_ids for part in recoded)]),
            np.concatenate([np.empty(0, np.int64), *(part.start for part in recoded)]),
            np.concatenate([np.empty(0, np.int64), *(part.end for part in recoded)]),
        )

    def __len__(self) -> int:
        return len(self.start)

    def __eq__(self, other: object) -> bool:
        """Whether both hold the same intervals in the same order, however contigs are coded."""
        if not isinstance(other, Intervals):
            return NotImplemented
        return (
            np.array_equal(self.start, other.start)
            and np.array_equal(self.end, other.end)
            and np.array_equal(self.chrom, other.chrom)
        )

    __hash__ = None  # type: ignore[assignment]

    @property
    def chrom(self) -> NDArray[np.object_]:
        """Contig name of each interval, shape (n,)."""
        return np.asarray(self.contigs, dtype=object)[self.contig_ids]

    @property
    def widths(self) -> NDArray[np.int64]:
        """Width of each interval in bp, shape (n,)."""
        return self.end - self.start

    @property
    def centres(self) -> NDArray[np.int64]:
        """Centre of each interval in bp, rounded down, shape (n,)."""
        return (self.start + self.end) // 2

    def _summary(self) -> tuple[str, dict[str, object]]:
        used = [self.contigs[i] for i in np.unique(self.contig_ids)]
        first = ", ".join(self.take(np.arange(min(_SHOWN, len(self)))).names())
        span = f"{self.widths.min():,} to {self.widths.max():,} bp" if len(self) else None
        facts: dict[str, object] = {"contigs": listed(used), "widths": span, "first": first}
        return f"Intervals ({len(self):,}, 0-based half-open)", facts

    def take(self, rows: ArrayLike) -> Intervals:
        """Rows by integer index or boolean mask, in the order given."""
        index = np.asarray(rows)
        if index.dtype != np.bool_:
            index = index.astype(np.int64)
        return Intervals(self.contigs, self.contig_ids[index], self.start[index], self.end[index])

    def recoded(self, contigs: Sequence[str]) -> Intervals:
        """The same intervals over another list of contigs.

        Raises
        ------
        IntervalError
            If a contig in use is not in the new list.
        """
        position = {name: i for i, name in enumerate(contigs)}
        table = np.array([position.get(name, -1) for name in self.contigs], np.int32)
        ids = table[self.contig_ids] if len(self) else self.contig_ids
        if len(ids) and ids.min() < 0:
            absent = sorted({self.contigs[i] for i in self.contig_ids[ids < 0]})
            raise IntervalError(f"contigs {absent[:5]} are not among {list(contigs)[:5]}")
        return Intervals(tuple(contigs), ids, self.start, self.end)

    def genome_order(self) -> NDArray[np.int64]:
        """Stable order by contig (as listed), start, end; shape (n,)."""
        return np.lexsort((self.end, self.start, self.contig_ids))

    def duplicated(self) -> NDArray[np.bool_]:
        """Which rows repeat an earlier row exactly, shape (n,)."""
        columns = {"contig": self.contig_ids, "start": self.start, "end": self.end}
        return pd.DataFrame(columns).duplicated().to_numpy()

    def names(self) -> list[str]:
        """``chrom:start-end`` of each interval."""
        columns = zip(self.chrom.tolist(), self.start.tolist(), self.end.tolist(), strict=True)
        return [f"{chrom}:{start}-{end}" for chrom, start, end in columns]

    def to_frame(self) -> pd.DataFrame:
        """Columns ``chrom`` (str), ``start``, ``end`` (int64), one row an interval."""
        return pd.DataFrame({"chrom": self.chrom, "start": self.start, "end": self.end})

    def to_pyranges(self) -> PyRanges:
        """PyRanges with columns ``Chromosome, Start, End, row``.

        PyRanges groups its rows by chromosome; ``row`` is the place of each in this table.

        Raises
        ------
        MissingDependencyError
            If pyranges is not installed.

        Examples
        --------
        >>> peaks = Intervals.from_columns(["chr2", "chr1"], [5, 7], [25, 8])
        >>> peaks.to_pyranges().df["row"].tolist()
        [1, 0]
        >>> Intervals.from_pyranges(peaks.to_pyranges()).names()
        ['chr2:5-25', 'chr1:7-8']
        """
        try:
            from pyranges import PyRanges  # noqa: PLC0415 - half a second that few need
        except ImportError as error:
            raise MissingDependencyError("to_pyranges needs pyranges: pip install it.") from error
        names = (*_FRAME_COLUMNS[1], PYRANGES_ROW)
        columns = (self.chrom, self.start, self.end, np.arange(len(self)))
        return PyRanges(pd.DataFrame(dict(zip(names, columns, strict=True))))

    def _name(self, row: int) -> str:
        return f"{self.contigs[self.contig_ids[row]]}:{self.start[row]}-{self.end[row]}"


def as_intervals(table: IntervalTable) -> Intervals:
    """Intervals from whatever table of them a caller holds.

    Parameters
    ----------
    table : Intervals, pandas.DataFrame or pyranges.PyRanges

    Raises
    ------
    IntervalError
        If it is none of these, or its columns or rows cannot be used.
    """
    if isinstance(table, Intervals):
        return table
    if type(table).__module__.partition(".")[0].startswith("pyranges"):
        return Intervals.from_pyranges(table)
    if isinstance(table, pd.DataFrame):
        return Intervals.from_frame(table)
    raise IntervalError(
        f"a {type(table).__name__} is no table of intervals. Give Intervals, a DataFrame with "
        "chrom, start, end, or PyRanges."
    )


def contig_name(value: object) -> str:
    """A contig as text: whole numbers as such, bytes as what they spell."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _whole(bounds: ArrayLike) -> NDArray[np.int64]:
    """Bounds as int64; what is not whole would be cut off."""
    given = np.asarray(bounds)
    if given.dtype.kind == "f":
        bad = np.flatnonzero(~(given == np.rint(given)))
        if len(bad):
            raise IntervalError(f"row {bad[0]}: {given[bad[0]]} is not a whole number of bp.")
    return given.astype(np.int64)


def _from_zero(
    frame: pd.DataFrame, start: NDArray[np.int64], end: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Starts that count from 0, by a column of widths if there is one of whole numbers."""
    for name in frame.columns:
        column = frame[name]
        if str(name).lower() in WIDTH_NAMES and pd.api.types.is_integer_dtype(column.dtype):
            return zero_based_starts(start, end, column.to_numpy(np.int64), "the table")
    return start


def _check_column_types(chrom: pd.Series[Any], start: pd.Series[Any], end: pd.Series[Any]) -> None:
    for column in (start, end):
        if len(column) and not pd.api.types.is_integer_dtype(column.dtype):
            raise IntervalError(
                f"column {column.name} has type {column.dtype}; it must hold whole numbers (bp)."
            )
    empty = np.flatnonzero(chrom.isna() | start.isna() | end.isna())
    if len(empty):
        raise IntervalError(
            f"{len(empty)} row(s) of the table lack a value in {chrom.name}, {start.name} or "
            f"{end.name} (row {', '.join(map(str, empty[:5]))}). Fill or remove them."
        )
