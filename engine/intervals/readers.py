"""Intervals from files, peak names and tables; coordinates leave here 0-based half-open."""

from __future__ import annotations

import csv
import re
import sys
import zlib
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from peakatlas.engine.dna.gzip_stream import gunzipped, read_maybe_gzip
from peakatlas.engine.errors import IntervalError

from .table import Intervals

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    _Columns = tuple[list[str], NDArray[np.int64], NDArray[np.int64]]

_NAME = re.compile(r"(.+)[:_-](\d{1,18})[-_](\d{1,18})", re.ASCII)
_REGION = re.compile(r"(.+):(\d[\d,]{0,17}(?:e\d{1,2})?)-(\d[\d,]{0,17}(?:e\d{1,2})?)", re.ASCII)
_NUMBER = re.compile(r"\d{1,18}", re.ASCII)
_HEADER_WORDS = frozenset({"start", "chromstart", "txstart"})
_ALIASES = {
    "chrom": ("chrom", "chr", "seqnames", "seqname", "chromosome", "contig", "#chrom"),
    "start": ("start", "chromstart"),
    "end": ("end", "stop", "chromend"),
}
_SHOWN = 5
STANDARD_INPUT = "-"
_SKIPPED = ("#", "track ", "track\t", "browser ", "browser\t")


def read_bed(path: str | Path) -> Intervals:
    """Read BED (3 or more columns) or narrowPeak, plain or gzip (told by content).

    Comments (``#``), ``track`` and ``browser`` lines, a header line and blank lines are skipped;
    line ends may be CRLF. Row i of the result is the i-th remaining line.

    Parameters
    ----------
    path : str or Path
        ``-`` is standard input.

    Raises
    ------
    IntervalError
        If the file is absent, damaged or empty, or a line is not an interval; the text names
        the first such line and counts them all.

    Examples
    --------
    >>> read_bed("peaks.bed").take([0, 1]).names()
    ['chr20:42501510-42502011', 'chr20:42502210-42502711']
    """
    source = Path(path)
    name = "standard input" if str(path) == STANDARD_INPUT else source.name
    lines = _read_text(source, name).splitlines()
    kept = [i for i, line in enumerate(lines) if line.strip() and not line.startswith(_SKIPPED)]
    if kept and _is_header(lines[kept[0]]):
        kept = kept[1:]
    if not kept:
        raise IntervalError(f"{name}: no intervals in the file. It is empty or all comments.")
    data = lines if len(kept) == len(lines) else [lines[i] for i in kept]
    columns = _tab_columns(data)
    return Intervals.from_columns(*(columns or _checked_columns(name, kept, data)))


def parse_names(names: Iterable[str], source: str = "names") -> Intervals:
    """Read peak names: ``chr1:100-600``, ``chr1-100-600`` or ``chr1_100_600``.

    Contig names may themselves hold ``-``, ``_``, ``.`` and ``:``; the last two numbers count.

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

    Aliases, in any case: chr, seqnames, chromosome, contig; chromStart; stop, chromEnd.

    Parameters
    ----------
    frame : DataFrame
        One row a peak, as ``AnnData.var``.
    source : str
        What to call the table in an error.

    Raises
    ------
    IntervalError
        If neither columns nor row names give intervals.
    """
    by_lower = {str(column).lower(): column for column in frame.columns}
    found = {
        want: next((by_lower[name] for name in names if name in by_lower), None)
        for want, names in _ALIASES.items()
    }
    if any(column is None for column in found.values()):
        return parse_names(frame.index.astype(str), f"{source} names")
    chrom = [str(value) for value in frame[found["chrom"]]]
    start, end = (_whole(frame[found[name]], name, source) for name in ("start", "end"))
    return _checked(chrom, start, end, source)


def _read_text(path: Path, name: str) -> str:
    is_piped = str(path) == STANDARD_INPUT
    if not is_piped and not path.is_file():
        raise IntervalError(f"{path}: no such file. Check the path.")
    try:
        data = gunzipped(sys.stdin.buffer.read()) if is_piped else read_maybe_gzip(path)
        return data.decode("utf-8-sig")
    except (EOFError, OSError, zlib.error) as fault:
        raise IntervalError(
            f"{name}: truncated or damaged gzip data ({fault}). Fetch the file again."
        ) from fault
    except UnicodeDecodeError as fault:
        raise IntervalError(
            f"{name}: not a text file (byte {fault.start}). Give a BED or narrowPeak file."
        ) from fault


def _is_header(line: str) -> bool:
    words = line.split(None, 2)
    return len(words) > 1 and words[1].lower() in _HEADER_WORDS


def _tab_columns(lines: list[str]) -> _Columns | None:
    """Columns of a well-formed file with tabs; None if anything about it is unusual."""
    try:
        frame = pd.read_csv(
            StringIO("\n".join(lines)), sep="\t", names=["chrom", "start", "end"],
            usecols=[0, 1, 2], index_col=False, quoting=csv.QUOTE_NONE, keep_default_na=False,
            dtype={"chrom": "str"}, low_memory=False,
        )  # fmt: skip
    except (ValueError, OverflowError):
        return None
    start, end = frame["start"].to_numpy(), frame["end"].to_numpy()
    if len(frame) != len(lines) or not start.dtype == end.dtype == np.int64:
        return None
    sound = bool(((start >= 0) & (start < end)).all())
    return (frame["chrom"].tolist(), start, end) if sound else None


def _checked_columns(name: str, kept: Sequence[int], lines: Sequence[str]) -> _Columns:
    """Columns line by line; raises at the first fault."""
    rows = [line.split(None, 3)[:3] for line in lines]
    if any(_row_fault(row) for row in rows):
        raise _line_error(name, kept, rows)
    start, end = ([int(row[column]) for row in rows] for column in (1, 2))
    return [row[0] for row in rows], np.array(start, np.int64), np.array(end, np.int64)


def _row_fault(row: list[str]) -> str | None:
    if len(row) < 3:
        return f"has {len(row)} column(s), BED needs chrom, start and end"
    for value, name in ((row[1], "start"), (row[2], "end")):
        if not _NUMBER.fullmatch(value):
            return f"{name} {value!r} is not a whole number of 0 or more"
    if int(row[1]) >= int(row[2]):
        return f"{row[0]}:{row[1]}-{row[2]} breaks start < end"
    return None


def _line_error(name: str, kept: Sequence[int], rows: Sequence[list[str]]) -> IntervalError:
    faults = [(kept[i] + 1, fault) for i, row in enumerate(rows) if (fault := _row_fault(row))]
    number, fault = faults[0]
    more = ""
    if len(faults) > 1:
        also = ", ".join(str(line) for line, _ in faults[:_SHOWN])
        more = f" ({len(faults)} such lines: {also}{', …' if len(faults) > _SHOWN else ''})"
    return IntervalError(
        f"{name} line {number}: {fault}{more}. BED is 0-based half-open; fix or remove the line."
    )


def _whole(column: pd.Series[Any], name: str, source: str) -> list[int]:
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(np.float64)
    bad = np.flatnonzero(~np.isfinite(numbers) | (numbers != np.floor(numbers)))
    if len(bad):
        shown = ", ".join(f"row {row} {column.iloc[row]}" for row in bad[:_SHOWN])
        raise IntervalError(
            f"{source}: {len(bad)} value(s) of column {column.name!r} are not whole numbers: "
            f"{shown}. {name} is in bp; fix or remove these rows."
        )
    return [int(value) for value in numbers]


def _checked(
    chrom: Sequence[str], start: Sequence[int], end: Sequence[int], source: str
) -> Intervals:
    try:
        return Intervals.from_columns(chrom, np.array(start, np.int64), np.array(end, np.int64))
    except IntervalError as fault:
        raise IntervalError(f"{source}: {fault}") from fault
