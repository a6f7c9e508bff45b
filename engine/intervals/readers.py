"""Intervals from files, peak names and tables; coordinates leave here 0-based half-open."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from peakatlas.engine.errors import IntervalError

from .bed import ALIASES, bed_columns
from .conventions import WIDTH_NAMES, refuse_one_based, zero_based_starts
from .table import Intervals, contig_name
from .text_files import STANDARD_INPUT, read_lines

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

    from numpy.typing import ArrayLike, NDArray

_NAME = re.compile(r"(.*[^:_-])[:_-](\d{1,18})[-_](\d{1,18})", re.ASCII)
_REGION = re.compile(r"(.+):(\d[\d,]{0,17}(?:e\d{1,2})?)-(\d[\d,]{0,17}(?:e\d{1,2})?)", re.ASCII)
_BOUNDS = ("start", "end")
_TOO_LARGE = 2.0**53
_SHOWN = 5


def read_bed(path: str | Path) -> Intervals:
    """Read BED (3 or more columns) or narrowPeak, plain or gzip (told by content).

    Comments (``#``), ``track`` and ``browser`` lines and blank lines are skipped; lines may end
    with CRLF or CR. A header line says where the columns stand; a column ``width`` or ``length``
    in it shows whether starts count from 1, as in the ``_peaks.xls`` of MACS, and they are then
    made to count from 0. Row i of the result is the i-th remaining line.

    Parameters
    ----------
    path : str or Path
        ``-`` is standard input.

    Raises
    ------
    IntervalError
        If the file is absent, damaged or empty, of another kind (BEDPE, SAF), or a line is not an
        interval; the text names the first such line and counts them all.

    Examples
    --------
    >>> read_bed("peaks.bed").take([0, 1]).names()
    ['chr20:42501510-42502011', 'chr20:42502210-42502711']
    """
    name = "standard input" if str(path) == STANDARD_INPUT else Path(path).name
    lines = read_lines(path, "a BED or narrowPeak file")
    return Intervals.from_columns(*bed_columns(lines, name))


def parse_names(names: Iterable[str], source: str = "names") -> Intervals:
    """Read peak names: ``chr1:100-600``, ``chr1-100-600`` or ``chr1_100_600``.

    Contig names may themselves hold ``-``, ``_``, ``.`` and ``:``, but not end with one of the
    marks, so that a start below 0 is no name; the last two numbers count.

    Parameters
    ----------
    names : iterable of str
    source : str
        What to call the names in an error.

    Raises
    ------
    IntervalError
        If a name is not of such a form or breaks start < end.

    Examples
    --------
    >>> parse_names(["chrUn_KI270742v1_5_25", "HLA-A*01:01-5-25"]).contigs
    ('chrUn_KI270742v1', 'HLA-A*01:01')
    """
    texts = [str(name) for name in names]
    matches = [_NAME.fullmatch(text) for text in texts]
    bad = [row for row, match in enumerate(matches) if match is None]
    if bad:
        shown = ", ".join(f"row {row} {texts[row]!r}" for row in bad[:_SHOWN])
        raise IntervalError(
            f"{source}: {len(bad)} of {len(texts)} are not peak names: {shown}. "
            "Write them as chr1:100-600 (0-based half-open), chr1-100-600 or chr1_100_600."
        )
    parts = [match.groups() for match in matches if match is not None]
    chrom, start, end = zip(*parts, strict=True) if parts else ((), (), ())
    return _checked(chrom, [int(value) for value in start], [int(value) for value in end], source)


def is_peak_name(text: str) -> bool:
    """Whether a text has the form of a peak's name that `parse_names` reads."""
    return _NAME.fullmatch(text) is not None


def parse_region(text: str) -> Intervals:
    """Read one region as people type it: ``chr2:1,000-2,000``, ``chr2:0-1e6``; 0-based half-open.

    Raises
    ------
    IntervalError
        If it is not of such a form, a bound is not a whole number, or start is not below end.

    Examples
    --------
    >>> parse_region("chr2:5,000-1e6").names()
    ['chr2:5000-1000000']
    """
    match = _REGION.fullmatch(text.strip())
    bounds = [float(part.replace(",", "")) for part in match.groups()[1:]] if match else []
    if match is None or any(bound != int(bound) for bound in bounds):
        raise IntervalError(
            f"{text!r} is not a region. Write chr1:100-600 (0-based half-open); 1,000 and 1e6 are "
            "fine."
        )
    start, end = (int(bound) for bound in bounds)
    return _checked([match[1]], [start], [end], "region")


def intervals_from_frame(frame: pd.DataFrame, source: str = "table") -> Intervals:
    """Read columns ``chrom``, ``start``, ``end`` or their usual aliases, else the row names.

    Aliases, in any case: chr, seqnames, chromosome, contig; chromStart; stop, chromEnd. A column
    ``width`` or ``length`` shows whether starts count from 1, as R's GRanges have them; so do row
    names that are the same peaks with starts that are all one less.

    Parameters
    ----------
    frame : DataFrame
        One row a peak, as ``AnnData.var``.
    source : str
        What to call the table in an error.

    Raises
    ------
    IntervalError
        If neither columns nor row names give intervals, a value is missing, or starts count from
        1 by the column ``seqnames`` and no column of widths shows it.
    """
    by_lower = {str(column).lower(): column for column in frame.columns}
    found = {
        want: next((by_lower[name] for name in names if name in by_lower), None)
        for want, names in ALIASES.items()
    }
    if any(column is None for column in found.values()):
        return parse_names(frame.index.astype(str), f"{source} names")
    chrom = _names(_column(frame, found["chrom"], source), source)
    start, end = (_whole(_column(frame, found[name], source), name, source) for name in _BOUNDS)
    width = next((by_lower[name] for name in WIDTH_NAMES if name in by_lower), None)
    if width is None:
        index = [] if frame.index.name is None else [str(frame.index.name).lower()]
        refuse_one_based([*index, *by_lower], source)
        start = start - _is_one_below(frame.index, chrom, start, end)
    else:
        widths = _whole(_column(frame, width, source), str(width), source)
        start = zero_based_starts(start, end, widths, source)
    return _checked(chrom, start, end, source)


def _is_one_below(
    index: pd.Index, chrom: Sequence[str], start: NDArray[np.int64], end: NDArray[np.int64]
) -> bool:
    """Whether row names are the same peaks, their starts one below those of the columns."""
    for rows in (slice(1), slice(None)):  # most tables differ in the first row
        matches = [_NAME.fullmatch(str(name)) for name in index[rows]]
        if not matches or not all(
            match is not None and match.groups() == (c, f"{a - 1}", f"{b}")
            for match, c, a, b in zip(
                matches, chrom[rows], start[rows].tolist(), end[rows].tolist(), strict=True
            )
        ):
            return False
    return True


def _column(frame: pd.DataFrame, name: Hashable, source: str) -> pd.Series[Any]:
    column = frame[name]
    if isinstance(column, pd.DataFrame):
        raise IntervalError(f"{source}: {column.shape[1]} columns are called {name!r}. Keep one.")
    return column


def _names(column: pd.Series[Any], source: str) -> list[str]:
    """Contig names; a whole number is written as one."""
    missing = np.flatnonzero(column.isna())
    if len(missing):
        shown = ", ".join(f"row {row}" for row in missing[:_SHOWN])
        raise IntervalError(
            f"{source}: {len(missing)} value(s) of column {column.name!r} are missing: {shown}. "
            "Fill them, or remove these rows."
        )
    return [contig_name(value).strip() for value in column.tolist()]


def _whole(column: pd.Series[Any], name: str, source: str) -> NDArray[np.int64]:
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    whole = np.isfinite(numbers) & (numbers == np.floor(numbers)) & (abs(numbers) < _TOO_LARGE)
    bad = np.flatnonzero(~whole)
    if len(bad):
        shown = ", ".join(f"row {row} {column.iloc[row]}" for row in bad[:_SHOWN])
        raise IntervalError(
            f"{source}: {len(bad)} value(s) of column {column.name!r} are not whole numbers: "
            f"{shown}. {name} is in bp; fix or remove these rows."
        )
    return numbers.astype(np.int64)


def _checked(chrom: Sequence[str], start: ArrayLike, end: ArrayLike, source: str) -> Intervals:
    try:
        return Intervals.from_columns(chrom, np.array(start, np.int64), np.array(end, np.int64))
    except (IntervalError, OverflowError) as fault:
        raise IntervalError(f"{source}: {fault}") from fault
