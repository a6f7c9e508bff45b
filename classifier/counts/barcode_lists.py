"""Lists of barcodes: one a line, or a column of a table, as the tools of the field write them."""

from __future__ import annotations

import csv
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from peakatlas.engine.errors import CountsError
from peakatlas.engine.intervals.text_files import read_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

_HEADS = ("barcode", "barcodes", "cell_barcode", "cb", "cell", "cells", "cell_id", "cellid")
"""What heads a column of barcodes, in lower case; the first that there is counts."""
_IS_CELL = re.compile(r"is_cell|is_.*_cell_barcode")
"""Columns of Cell Ranger ATAC and ARC that say which barcodes are cells."""
_FLAGS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
_DNA = re.compile(r"[ACGTN]{6,}", re.IGNORECASE)
_NUMBERED = re.compile(r"[ACGTN]+-\d+", re.IGNORECASE)
_NO_BARCODE = "NO_BARCODE"
"""How Cell Ranger calls the row of fragments without one."""
_SHOWN = 5


def read_barcodes(path: str | Path) -> list[str]:
    """Read a list of barcodes, plain or gzip, told by content.

    One a line, or the first column of a table with tabs or commas; in a table with a header, the
    column called barcode. A column ``is__cell_barcode`` or ``is_cell``, as in the singlecell.csv
    of Cell Ranger ATAC, says which rows are cells; others are left out. Numbers of rows before the
    barcodes, as R and pandas write them, are left aside. Without a header, commas
    belong to the barcode (``R1.01,R2.20``) unless it plainly ends before the first of them
    (``ACGTACGT-1,12``). Empty lines and those that start with ``#`` are left out.

    Raises
    ------
    CountsError
        If the file is absent, damaged or empty, or does not say of a row whether it is a cell.
    """
    name = Path(path).name
    lines = [line.strip() for line in read_lines(path, "a list of barcodes", CountsError)]
    kept = [line for line in lines if line and not line.startswith("#")]
    try:
        found = _found(kept, name) if kept else []
    except csv.Error as fault:
        raise CountsError(f"{name}: no list of barcodes ({fault}). Give one a line.") from fault
    if not any(found):
        raise CountsError(f"{name}: no barcodes in the file. Give one a line.")
    return [barcode for barcode in found if barcode and barcode != _NO_BARCODE]


def behind_numbers(lines: Sequence[str]) -> list[str] | None:
    """Second column of a table whose first numbers the rows; None if there is no such table.

    Parameters
    ----------
    lines : sequence of str
        None empty; the first may be a header.

    Examples
    --------
    >>> behind_numbers(['"x"', '"1" "GATTACA-1"', '"2" "CATTAGA-1"'])
    ['GATTACA-1', 'CATTAGA-1']
    """
    separator = _separator(lines) if lines else ""
    with suppress(csv.Error):  # a field that is longer than any in a table
        for rows in (lines, lines[1:]):
            if not rows or _split(rows[0], separator)[0] not in ("0", "1"):
                continue
            table = [_split(row, separator) for row in rows]
            if _is_numbered(table):
                return [row[1] for row in table]
    return None


def _is_numbered(table: Sequence[Sequence[str]]) -> bool:
    """Whether the first fields count the rows, and the second ones tell them apart as well."""
    first = int(table[0][0])
    numbers = [f"{i}" for i in range(first, first + len(table))]
    if any(len(row) < 2 for row in table) or [row[0] for row in table] != numbers:
        return False
    second = {row[1] for row in table}
    return len(second) == len(table) and not any(text.isdigit() for text in second)


def _separator(lines: Sequence[str]) -> str:
    """What stands between the fields; the header of R may have one field alone."""
    ends = (lines[0], lines[-1])
    if any("\t" in line for line in ends):
        return "\t"
    return " " if '" "' in ends[1] and not any("," in line for line in ends) else ","


def _found(lines: Sequence[str], name: str) -> list[str]:
    """Barcodes of lines of which none is empty."""
    separator = _separator(lines)
    header = [word.lower() for word in _split(lines[0], separator)]
    is_named = any(head in header for head in _HEADS)
    numbered = None if is_named else behind_numbers(lines)
    if numbered is not None:
        return numbered
    if is_named or (len(header) > 1 and not header[0]):
        return _of_table([_split(line, separator) for line in lines[1:]], header, name)
    return [_first(line) for line in lines]


def _split(line: str, separator: str) -> list[str]:
    return [field.strip() for field in next(csv.reader([line], delimiter=separator))]


def _of_table(rows: Sequence[Sequence[str]], header: Sequence[str], name: str) -> list[str]:
    """Barcodes of a table with a header: of cells only, where it says which are."""
    column = next((header.index(head) for head in _HEADS if head in header), 0)
    flags = [at for at, word in enumerate(header) if _IS_CELL.fullmatch(word)]
    if rows and all(len(row) == len(header) + 1 for row in rows):  # names of rows, as R writes
        column, flags, header = column + 1, [at + 1 for at in flags], ["", *header]
    found = []
    for row in rows:
        if len(row) <= max([column, *flags]):
            raise CountsError(
                f"{name}: a row has {len(row)} of {len(header)} columns ({', '.join(row[:_SHOWN])})"
                ". The file is truncated; fetch it again."
            )
        if not flags or any(_is_set(row[at], header[at], name) for at in flags):
            found.append(row[column])
    return found


def _is_set(text: str, column: str, name: str) -> bool:
    number = text.lower().removesuffix(".0")
    if number not in _FLAGS:
        raise CountsError(f"{name}: {column} is {text!r}; 1 for a cell and 0 for others is known.")
    return _FLAGS[number]


def _first(line: str) -> str:
    """The barcode of a line of a list without a header."""
    text = line.split("\t", 1)[0].strip()
    if text.startswith('"'):
        return _split(text, ",")[0]
    first, *others = (part.strip() for part in text.split(","))
    if _NUMBERED.fullmatch(first) or (
        _DNA.fullmatch(first) and not all(map(_DNA.fullmatch, others))
    ):
        return first
    return text
