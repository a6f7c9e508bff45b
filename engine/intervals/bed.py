"""Columns of BED and its relatives: where they stand, and what is wrong with a line."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, replace
from io import StringIO
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pandas as pd

from peakatlas.engine.errors import IntervalError

from .conventions import WIDTH_NAMES, refuse_one_based, zero_based_starts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Columns: TypeAlias = tuple[list[str], NDArray[np.int64], NDArray[np.int64]]

ALIASES = {
    "chrom": ("chrom", "chr", "seqnames", "seqname", "chromosome", "contig"),
    "start": ("start", "chromstart"),
    "end": ("end", "stop", "chromend"),
}
"""Names of columns in lower case, the first that a table has counts."""
_HEADER_WORDS = frozenset({"start", "chromstart", "txstart"})
_NUMBER = re.compile(r"\d{1,18}", re.ASCII)
_PEAK = re.compile(r"[:_-]\d+[-_]\d+$", re.ASCII)
"""End of the name of a peak, which no contig has."""
_SHOWN = 5
_CHECKED_LINES = 100
_BLANKS = " \ufeff\xa0"
_QUOTES = "\"'"


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """Where the columns of a file stand."""

    chrom: int = 0
    start: int = 1
    end: int = 2
    width: int | None = None
    separator: str | None = "\t"
    """None for blanks."""
    names: tuple[str, ...] = ()
    """Those of the header, in lower case."""

    def fields(self, line: str) -> list[str]:
        """Fields of a line, without blanks and quotes about them."""
        found = line.split(self.separator)
        if self.separator == "\t" and len(found) < 3:
            found = line.split()
        return [field.strip(_BLANKS).strip(_QUOTES) for field in found]

    def picked(self, line: str) -> list[str]:
        """Chrom, start, end and, if there is one, width; fewer where the line is too short."""
        fields = self.fields(line)
        places = (self.chrom, self.start, self.end, *(() if self.width is None else [self.width]))
        return [fields[at] for at in places if at < len(fields)]


def bed_columns(lines: Sequence[str], name: str) -> Columns:
    """Chrom, start and end of the lines of a file that are intervals, in order, from 0.

    Parameters
    ----------
    lines : sequence of str
        All lines of the file.
    name : str
        The file's, for an error.

    Raises
    ------
    IntervalError
        If there is no interval, a line is none, or the file is of another kind (BEDPE, SAF).
    """
    kept = [i for i, line in enumerate(lines) if not _is_skipped(line)]
    header = _header(lines, kept)
    if header is not None and kept and kept[0] == header:
        kept = kept[1:]
    if not kept:
        raise IntervalError(f"{name}: no intervals in the file. It is empty or all comments.")
    data = lines if len(kept) == len(lines) else [lines[i] for i in kept]
    layout = _layout(None if header is None else lines[header], data[:_CHECKED_LINES])
    _refuse_pairs(layout, data[:_CHECKED_LINES], name)
    if layout.width is None:
        refuse_one_based(layout.names, name)
    columns = _tab_columns(data) if replace(layout, names=()) == _Layout() else None
    return columns or _checked_columns(name, kept, data, layout)


def _is_skipped(line: str) -> bool:
    """Whether a line is blank, a comment, or of a genome browser."""
    if line[:1] not in " \t#tb\ufeff\xa0" and line:
        return False
    text = line.strip().strip(_BLANKS)
    return not text or text.startswith("#") or text.split(None, 1)[0] in ("track", "browser")


def _header(lines: Sequence[str], kept: Sequence[int]) -> int | None:
    """Line that names the columns: the first that is no comment, or the last comment before it."""
    first = kept[0] if kept else len(lines)
    if kept:
        words = _words(lines[first])
        if len(words) > 1 and (words[1] in _HEADER_WORDS or _names_all(words)):
            return first
    for i in range(first - 1, -1, -1):
        text = lines[i].strip()
        if text.startswith("#"):
            words = _words(text.lstrip("# "))
            fits = not kept or len(words) == len(_Layout().fields(lines[first]))
            return i if fits and _names_all(words) else None
        if text:
            return None
    return None


def _words(line: str) -> list[str]:
    """Fields of a header, in lower case."""
    separator = next((mark for mark in "\t," if mark in line), None)
    return [word.strip(_BLANKS).strip(_QUOTES).lower() for word in line.split(separator)]


def _names_all(words: Sequence[str]) -> bool:
    return all(any(alias in words for alias in names) for names in ALIASES.values())


def _layout(header: str | None, lines: Sequence[str]) -> _Layout:
    """Where columns stand, by the header, if any, and the first lines of data."""
    if header is None:
        return _Layout(separator="\t" if "\t" in lines[0] else None)
    text = header.strip().lstrip("# ") if header.lstrip().startswith("#") else header
    words = _words(text)
    separator = next((mark for mark in "\t," if mark in lines[0]), None)
    layout = _Layout(separator=separator, names=tuple(words))
    if _names_all(words):
        chrom, start, end = (
            next(words.index(alias) for alias in names if alias in words)
            for names in ALIASES.values()
        )
        layout = replace(layout, chrom=chrom, start=start, end=end)
    width = next((words.index(name) for name in WIDTH_NAMES if name in words), None)
    layout = replace(layout, width=width)
    rows = [layout.fields(line) for line in lines]
    return _shifted(layout) if _has_row_names(rows, layout) else layout


def _has_row_names(rows: list[list[str]], layout: _Layout) -> bool:
    """Whether the rows begin with a name each, over which the header has nothing, as R writes."""
    if any(len(row) != len(layout.names) + 1 for row in rows):
        return False
    numbered = len(rows) > 1 and [row[0] for row in rows] == [
        f"{i}" for i in range(1, len(rows) + 1)
    ]
    return numbered or not any(_NUMBER.fullmatch(row[layout.start]) for row in rows)


def _shifted(layout: _Layout) -> _Layout:
    width = None if layout.width is None else layout.width + 1
    return replace(
        layout, chrom=layout.chrom + 1, start=layout.start + 1, end=layout.end + 1, width=width
    )


def _refuse_pairs(layout: _Layout, lines: Sequence[str], name: str) -> None:
    """Refuse BEDPE: in every line, a second interval follows the first."""
    rows = [layout.fields(line) for line in lines] if not layout.names else []
    contigs = {row[0] for row in rows if row}
    if rows and all(len(row) >= 6 and _is_pair(row, contigs) for row in rows):
        raise IntervalError(
            f"{name}: a second interval follows the first in every line, as in BEDPE. Keep the "
            "columns of one of them: cut -f1-3."
        )


def _is_pair(row: Sequence[str], contigs: set[str]) -> bool:
    """Whether a line of BEDPE stands in some fields; a mate that is not aligned is ``. -1 -1``."""
    mate, start, end = row[3:6]
    if mate == ".":
        return (start, end) == ("-1", "-1")
    if not (_NUMBER.fullmatch(start) and _NUMBER.fullmatch(end) and int(start) < int(end)):
        return False
    return mate in contigs or (mate.startswith("chr") and not _PEAK.search(mate))


def _tab_columns(lines: Sequence[str]) -> Columns | None:
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
    tidy = sound and all(
        name and name == name.strip().strip(_BLANKS).strip(_QUOTES)
        for name in frame["chrom"].unique()
    )
    return (frame["chrom"].tolist(), start, end) if tidy else None


def _checked_columns(
    name: str, kept: Sequence[int], lines: Sequence[str], layout: _Layout
) -> Columns:
    """Columns line by line; raises at the first fault."""
    rows = [layout.picked(line) for line in lines]
    has_width = layout.width is not None
    if any(_row_fault(row, has_width=has_width) for row in rows):
        raise _line_error(name, kept, rows, has_width=has_width)
    start, end = (np.array([int(row[at]) for row in rows], np.int64) for at in (1, 2))
    if has_width:
        width = np.array([int(row[3]) for row in rows], np.int64)
        start = zero_based_starts(start, end, width, name)
    if (start < 0).any() or (start >= end).any():
        raise _line_error(name, kept, rows, has_width=False)
    return [row[0] for row in rows], start, end


def _row_fault(row: list[str], *, has_width: bool) -> str | None:
    if len(row) < 3 + has_width:
        return f"has {len(row)} column(s), BED needs chrom, start and end"
    if not row[0]:
        return "has no name of a contig"
    for value, name in zip(row[1:], ("start", "end", "width"), strict=False):
        if not _NUMBER.fullmatch(value):
            return f"{name} {value!r} is not a whole number of 0 or more"
    # With a width, starts may count from 1, so that start == end is one base.
    if int(row[1]) >= int(row[2]) + has_width:
        return f"{row[0]}:{row[1]}-{row[2]} breaks start < end"
    return None


def _line_error(
    name: str, kept: Sequence[int], rows: Sequence[list[str]], *, has_width: bool
) -> IntervalError:
    faults = [
        (kept[i] + 1, fault)
        for i, row in enumerate(rows)
        if (fault := _row_fault(row, has_width=has_width))
    ]
    if not faults:
        return IntervalError(f"{name}: a start is 0 though starts count from 1. Mend the file.")
    number, fault = faults[0]
    more = ""
    if len(faults) > 1:
        also = ", ".join(str(line) for line, _ in faults[:_SHOWN])
        more = f" ({len(faults)} such lines: {also}{', …' if len(faults) > _SHOWN else ''})"
    return IntervalError(
        f"{name} line {number}: {fault}{more}. BED is 0-based half-open; fix or remove the line."
    )
