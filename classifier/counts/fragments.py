"""Fragments files of scATAC-seq, read in blocks of bounded size.

A line is ``chrom, start, end, barcode[, reads]``, 0-based half-open, plain or gzip, lines that
start with ``#`` left out; the column of reads, and any after it, are left aside: a line is one
fragment, however often it was sequenced. The strand in column six is read for single-end reads
only.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from peakatlas.engine.errors import IntervalError
from peakatlas.engine.intervals.text_columns import MAX_DIGITS, TextColumns
from peakatlas.engine.intervals.text_files import STANDARD_INPUT, read_fault

from .fragment_lines import LinesError, line_blocks, without_blanks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

BLOCK_BYTES = 8 << 20
MIN_COLUMNS = 4
STRAND_COLUMN = 5
_NUMBERED = ((1, "start"), (2, "end"))
_STRANDS = (b"+", b"-")
_BOUND = re.compile(rb"-1|[0-9]+")
_REMEDY = "A line is chrom, start, end, barcode[, reads], with tabs between."
_FIRST = np.zeros(1, np.int64)
_NO_NAME = frozenset("\0\ufffd")
"""Characters that no name has, with the one that stands for bytes which are no UTF-8."""


@dataclass(frozen=True, eq=False)
class FragmentBlock:
    """Some fragments of a file, in its order.

    Parameters
    ----------
    contig_ids, barcode_ids : int32, shape (n,)
        Index into `FragmentReader.contigs` and `FragmentReader.barcodes`.
    start, end : int64, shape (n,)
        Bounds in bp, ``0 <= start < end``.
    reverse : bool, shape (n,), optional
        Of single-end reads: whether each lies on the reverse strand.
    """

    contig_ids: NDArray[np.int32]
    barcode_ids: NDArray[np.int32]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    reverse: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.start)

    def cut_sites(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where the transposase cut for some fragments, and which of `rows` each site is of.

        At `start` and ``end - 1``; for single-end reads only where the read begins: at `start` on
        the forward strand, at ``end - 1`` on the reverse.

        Returns
        -------
        int64, shape (n_sites,), twice
        """
        start, last = self.start[rows], self.end[rows] - 1
        of = np.arange(len(rows))
        if self.reverse is None:
            return np.concatenate([start, last]), np.concatenate([of, of])
        return np.where(self.reverse[rows], last, start), of


class FragmentReader:
    """Reads one fragments file, once.

    Parameters
    ----------
    path : str or Path
        Plain or gzip, told by content; ``-`` is standard input.
    any_order : bool
        Whether lines need not be sorted by contig and start.
    single_end : bool
        Whether a line is one read, with its strand in column six.
    block_bytes : int, optional
        Text read at a time, `BLOCK_BYTES` if not given; memory is some ten times as much.
    progress : callable, optional
        Called with the number of bytes of the file that were newly read, compressed or not.

    Attributes
    ----------
    contigs, barcodes : list of str
        Those met so far, in order of first appearance.
    has_strand : bool
        Whether column six of the first line is a strand.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        any_order: bool = False,
        single_end: bool = False,
        block_bytes: int | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        self.path = Path(path)
        self.name = "standard input" if str(path) == STANDARD_INPUT else self.path.name
        self.contigs: list[str] = []
        self.barcodes: list[str] = []
        self._contig_codes: dict[bytes, int] = {}
        self._barcode_codes: dict[bytes, int] = {}
        self.has_strand = False
        self._single_end = single_end
        self._line, self._n_columns = 1, 0
        self._block_bytes = block_bytes or BLOCK_BYTES
        self._progress = progress or (lambda _: None)
        self._order = None if any_order else _Order()

    def blocks(self) -> Iterator[FragmentBlock]:
        """Fragments, block by block.

        Raises
        ------
        IntervalError
            If the file is absent, truncated, damaged or has no fragment, or a line cannot be
            used or is out of order; the text names the file and the line.
        """
        empty = True
        for lines in self._lines():
            block = self._parsed(lines)
            self._line += lines.count(b"\n")
            if len(block):
                empty = False
                yield block
        if empty:
            raise IntervalError(
                f"{self.name}: no fragments in the file. It is empty or all comments."
            )

    def _lines(self) -> Iterator[bytes]:
        """Blocks of whole lines."""
        try:
            yield from line_blocks(self.path, self.name, self._block_bytes, self._progress)
        except (EOFError, OSError, zlib.error) as fault:
            place = f" after line {self._line - 1:,}"
            raise IntervalError(f"{self.name}: {read_fault(fault, place)}") from fault
        except LinesError as fault:
            raise IntervalError(f"{self.name} line {self._line}: {fault}") from fault

    def _parsed(self, lines: bytes) -> FragmentBlock:
        text = lines
        while text.startswith(b"#"):
            text = text[text.index(b"\n") + 1 :]
        text = without_blanks(text)
        try:
            return self._block(text)
        except IntervalError:
            raise
        except ValueError:
            kept = _without_comments(text)
        try:
            return self._block(kept)
        except IntervalError:
            raise
        except ValueError:
            raise self._line_error(without_blanks(lines)) from None

    def _line_error(self, lines: bytes) -> IntervalError:
        """What is wrong with the first faulty line of a block."""
        place = None if self._order is None else self._order.place(self.contigs)
        text = lines.decode("utf-8", "replace")
        for number, line in enumerate(text.split("\n"), self._line):
            if not line or line.startswith("#"):
                continue
            fields = line.split("\t")
            fault = _fault(fields, self._n_columns, single_end=self._single_end)
            if fault is None and place is not None:
                fault = place.fault(fields)
            if fault:
                return IntervalError(f"{self.name} line {number}: {fault}")
            self._n_columns = len(fields)
        return IntervalError(
            f"{self.name} line {self._line}: cannot be read. Write the file again."
        )

    def _block(self, lines: bytes) -> FragmentBlock:
        if not lines:
            none = np.empty(0, np.int64)
            return FragmentBlock(none.astype(np.int32), none.astype(np.int32), none, none)
        columns = TextColumns(lines)
        least = STRAND_COLUMN + 1 if self._single_end else MIN_COLUMNS
        if columns.n_columns != (self._n_columns or max(columns.n_columns, least)):
            raise ValueError("too few columns, or not as many as before")
        if not self._n_columns:
            self._examine(columns)
        self._n_columns = columns.n_columns
        start, end = columns.integers(1), columns.integers(2)
        if not (start < end).all():
            raise ValueError("start is not below end")
        contig = _named(columns, 0, self._contig_codes, self.contigs)
        barcode = _named(columns, 3, self._barcode_codes, self.barcodes)
        reverse = _is_reverse(columns) if self._single_end else None
        if self._order is not None:
            self._order.check(contig, start)
        return FragmentBlock(contig, barcode, start, end, reverse)

    def _examine(self, columns: TextColumns) -> None:
        """Note a column of strands in the first block, and refuse BEDPE."""
        if columns.n_columns <= STRAND_COLUMN:
            return
        fifth, strand = (columns.fields(at, _FIRST)[0] for at in (STRAND_COLUMN - 1, STRAND_COLUMN))
        self.has_strand = strand in _STRANDS
        if not all(_BOUND.fullmatch(field) for field in (fifth, strand)):
            return
        contigs, mates = (
            set(columns.fields(at, columns.texts(at)[1])) for at in (0, MIN_COLUMNS - 1)
        )
        if all(mate in contigs or mate == b"." or mate.startswith(b"chr") for mate in mates):
            raise IntervalError(
                f"{self.name} line {self._line}: the fourth column is a contig, as in BEDPE; "
                "fragments have their barcode there. Make them of the alignments with their "
                "barcodes: sinto fragments, or snapatac2.pp.make_fragment_file."
            )


class _Order:
    """Whether fragments come contig by contig, by start within each."""

    def __init__(self) -> None:
        self.contig = -1
        self.start = 0
        self.done: set[int] = set()

    def check(self, contig: NDArray[np.int32], start: NDArray[np.int64]) -> None:
        """Raise ValueError unless a block goes on in order."""
        changes = np.flatnonzero(np.diff(contig))
        down = np.diff(start) < 0
        down[changes] = False
        visited = contig[np.concatenate([[0], changes + 1])].tolist()
        goes_on = visited[0] == self.contig
        new = visited[1:] if goes_on else visited
        repeated = len(set(new)) < len(new) or not self.done.isdisjoint(new)
        if down.any() or repeated or (goes_on and start[0] < self.start):
            raise ValueError("out of order")
        self.done.update(new)
        self.contig, self.start = int(contig[-1]), int(start[-1])

    def place(self, contigs: list[str]) -> _Place:
        """The same by name."""
        contig = contigs[self.contig] if self.done else None
        return _Place(contig, self.start, {contigs[i] for i in self.done})


def _named(
    columns: TextColumns, column: int, known: dict[bytes, int], names: list[str]
) -> NDArray[np.int32]:
    """Codes of a column over the whole file; texts that are new are put to `known` and `names`."""
    local, first = columns.texts(column)
    texts = columns.fields(column, first)
    codes = np.array([known.get(text, -1) for text in texts], np.int32)
    new = [texts[i] for i in np.flatnonzero(codes < 0)]
    if column == 0 and any(text.startswith(b"#") for text in new):
        raise ValueError("there is a comment among the lines")
    decoded = [text.decode() for text in new]
    codes[codes < 0] = np.arange(len(names), len(names) + len(new))
    known.update(zip(new, range(len(names), len(names) + len(new)), strict=True))
    names += decoded
    return codes[local]


def _without_comments(lines: bytes) -> bytes:
    """The same lines without those that are empty or start with #."""
    kept = [line for line in lines.split(b"\n") if line and not line.startswith(b"#")]
    return b"".join(line + b"\n" for line in kept)


def _is_reverse(columns: TextColumns) -> NDArray[np.bool_]:
    """Which reads lie on the reverse strand."""
    codes, first = columns.texts(STRAND_COLUMN)
    strands = columns.fields(STRAND_COLUMN, first)
    if not set(strands) <= set(_STRANDS):
        raise ValueError("a strand is neither + nor -")
    return np.array([strand == b"-" for strand in strands], np.bool_)[codes]


def _fault(fields: list[str], n_columns: int, *, single_end: bool) -> str | None:
    """What is wrong with a line in itself."""
    least = STRAND_COLUMN + 1 if single_end else MIN_COLUMNS
    if len(fields) < least:
        more = " and a strand in the sixth for --single-end" if single_end else ""
        return f"has {len(fields)} column(s), at least {least} are needed{more}. {_REMEDY}"
    if n_columns and len(fields) != n_columns:
        return f"has {len(fields)} columns, the lines before have {n_columns}. {_REMEDY}"
    for column, word in _NUMBERED:
        value = fields[column]
        if not (value.isascii() and value.isdigit() and len(value) <= MAX_DIGITS):
            return f"{word} {value!r} is not a whole number of 0 or more. {_REMEDY}"
    if int(fields[1]) >= int(fields[2]):
        place = f"{fields[0]}:{fields[1]}-{fields[2]}"
        return f"{place} breaks start < end. Fragments are 0-based half-open; fix the line."
    return _name_fault(fields, single_end=single_end)


def _name_fault(fields: list[str], *, single_end: bool) -> str | None:
    """What is wrong with the texts of a line."""
    for column, word in ((0, "chrom"), (3, "barcode")):
        if not fields[column] or not _NO_NAME.isdisjoint(fields[column]):
            return f"{word} {fields[column]!r} is no name. {_REMEDY}"
    if single_end and fields[STRAND_COLUMN].encode() not in _STRANDS:
        return f"strand {fields[STRAND_COLUMN]!r} is neither + nor -, which --single-end needs."
    if any(character < "\t" for field in fields for character in field):
        return f"has control characters. {_REMEDY}"
    return None


@dataclass
class _Place:
    """Where in a sorted file a line follows, by name."""

    contig: str | None
    start: int
    done: set[str]

    def fault(self, fields: list[str]) -> str | None:
        """What is wrong with a line after those before it."""
        remedy = "Sort the file (sort -k1,1 -k2,2n), or allow any order with --unsorted."
        contig, start = fields[0], int(fields[1])
        if contig != self.contig:
            if contig in self.done:
                return f"{contig} occurs again after {self.contig}. {remedy}"
            self.contig, self.start = contig, 0
            self.done.add(contig)
        if start < self.start:
            return f"start {start} comes after start {self.start} of {contig}. {remedy}"
        self.start = start
        return None
