"""Intervals from files, peak names and tables; coordinates leave here 0-based half-open."""

from __future__ import annotations

import re
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .errors import IntervalError
from .gzip_stream import read_maybe_gzip
from .intervals import Intervals

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import ArrayLike

_NAME = re.compile(r"(.+)[:_-](\d{1,18})[-_](\d{1,18})", re.ASCII)
_NUMBER = re.compile(r"\d{1,18}", re.ASCII)
_HEADER_WORDS = frozenset({"start", "chromstart", "txstart"})
_ALIASES = {
    "chrom": ("chrom", "chr", "seqnames", "seqname", "chromosome", "contig", "#chrom"),
    "start": ("start", "chromstart"),
    "end": ("end", "stop", "chromend"),
}
_SHOWN = 5
_MAX_DIGITS = 18


def read_bed(path: str | Path) -> Intervals:
    """Read BED (3 or more columns) or narrowPeak, plain or gzip (told by content).

    Comments (``#``), ``track`` and ``browser`` lines, a header line and blank lines are skipped;
    line ends may be CRLF. Row i of the result is the i-th remaining line.

    Parameters
    ----------
    path : str or Path

    Raises
    ------
    IntervalError
        If the file is absent, damaged or empty, or a line is not an interval; the text names
        the first such line and counts them all.
    """
    source = Path(path)
    lines = _read_text(source).splitlines()
    skip = ("#", "track ", "track\t", "browser ", "browser\t")
    kept = [i for i, line in enumerate(lines) if line.strip() and not line.startswith(skip)]
    rows = [lines[i].split(None, 3)[:3] for i in kept]
    if rows and len(rows[0]) > 1 and rows[0][1].lower() in _HEADER_WORDS:
        kept, rows = kept[1:], rows[1:]
    if not rows:
        raise IntervalError(
            f"{source.name}: no intervals in the file. It is empty or all comments."
        )
    columns = _columns(rows)
    if columns is None:
        raise _line_error(source.name, kept, rows)
    return Intervals.from_columns(*columns)


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


def _read_text(path: Path) -> str:
    if not path.is_file():
        raise IntervalError(f"{path}: no such file. Check the path.")
    try:
        return read_maybe_gzip(path).decode("utf-8-sig")
    except (EOFError, OSError, zlib.error) as fault:
        raise IntervalError(
            f"{path.name}: truncated or damaged gzip data ({fault}). Fetch the file again."
        ) from fault
    except UnicodeDecodeError as fault:
        raise IntervalError(
            f"{path.name}: not a text file (byte {fault.start}). Give a BED or narrowPeak file."
        ) from fault


def _columns(rows: list[list[str]]) -> tuple[Sequence[str], ArrayLike, ArrayLike] | None:
    """Columns of the whole file at once, or None if any line is at fault."""
    if min(map(len, rows)) < 3:
        return None
    chrom, *texts = zip(*rows, strict=True)
    if any(not (joined := "".join(text)).isascii() or not joined.isdigit() for text in texts):
        return None
    if max(len(value) for text in texts for value in text) > _MAX_DIGITS:
        return None
    start, end = (np.array(text, f"S{_MAX_DIGITS}").astype(np.int64) for text in texts)
    return (chrom, start, end) if bool((start < end).all()) else None


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
