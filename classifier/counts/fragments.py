"""Fragments files of scATAC-seq, read in blocks of bounded size.

A line is ``chrom, start, end, barcode[, reads]``, 0-based half-open, plain or gzip, lines that
start with ``#`` left out; the column of reads, and any after it, are left aside: a line is one
fragment, however often it was sequenced.
"""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

import numpy as np

from peakatlas.engine.dna.gzip_stream import BGZF_EOF, GZIP_MAGIC
from peakatlas.engine.errors import IntervalError
from peakatlas.engine.intervals.readers import STANDARD_INPUT
from peakatlas.engine.intervals.text_columns import MAX_DIGITS, TextColumns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

BLOCK_BYTES = 8 << 20
MIN_COLUMNS = 4
_NUMBERED = ((1, "start"), (2, "end"))


@dataclass(frozen=True, eq=False)
class FragmentBlock:
    """Some fragments of a file, in its order.

    Parameters
    ----------
    contig_ids, barcode_ids : int32, shape (n,)
        Index into `FragmentReader.contigs` and `FragmentReader.barcodes`.
    start, end : int64, shape (n,)
        Bounds in bp, ``0 <= start < end``. The transposase cut at `start` and ``end - 1``.
    """

    contig_ids: NDArray[np.int32]
    barcode_ids: NDArray[np.int32]
    start: NDArray[np.int64]
    end: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.start)


class FragmentReader:
    """Reads one fragments file, once.

    Parameters
    ----------
    path : str or Path
        Plain or gzip, told by content; ``-`` is standard input.
    any_order : bool
        Whether lines need not be sorted by contig and start.
    block_bytes : int, optional
        Text read at a time, `BLOCK_BYTES` if not given; memory is some ten times as much.
    progress : callable, optional
        Called with the number of bytes of the file that were newly read, compressed or not.

    Attributes
    ----------
    contigs, barcodes : list of str
        Those met so far, in order of first appearance.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        any_order: bool = False,
        block_bytes: int | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        self.path = Path(path)
        self.name = "standard input" if str(path) == STANDARD_INPUT else self.path.name
        self.contigs: list[str] = []
        self.barcodes: list[str] = []
        self._contig_codes: dict[bytes, int] = {}
        self._barcode_codes: dict[bytes, int] = {}
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
            raise IntervalError(f"{self.name}: no fragments in the file. It is all comments.")

    def _lines(self) -> Iterator[bytes]:
        """Blocks of whole lines."""
        rest = b""
        with _opened(self.path, self.name) as (raw, text):
            before = 0
            while True:
                try:
                    data = text.read(self._block_bytes)
                except (EOFError, OSError, zlib.error) as fault:
                    raise IntervalError(
                        f"{self.name}: truncated or damaged gzip data after line "
                        f"{self._line - 1:,} ({fault}). Fetch the file again."
                    ) from fault
                if not data:
                    break
                at = data.rfind(b"\n") + 1
                if at:
                    yield rest + data[:at]
                    rest = data[at:]
                else:
                    rest += data
                read = raw.tell() if raw is not None else before
                self._progress(read - before)
                before = read
        if rest:
            yield rest + b"\n"

    def _parsed(self, lines: bytes) -> FragmentBlock:
        text = lines.replace(b"\r\n", b"\n") if b"\r" in lines else lines
        while text.startswith(b"#"):
            text = text[text.index(b"\n") + 1 :]
        try:
            return self._block(text)
        except ValueError:
            kept = _without_comments(text)
        try:
            return self._block(kept)
        except ValueError:
            raise self._line_error(lines) from None

    def _line_error(self, lines: bytes) -> IntervalError:
        """What is wrong with the first faulty line of a block."""
        place = None if self._order is None else self._order.place(self.contigs)
        text = lines.decode("utf-8", "replace").replace("\r\n", "\n")
        for number, line in enumerate(text.split("\n"), self._line):
            if not line or line.startswith("#"):
                continue
            fields = line.split("\t")
            fault = _fault(fields, self._n_columns) or (place and place.fault(fields))
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
        if columns.n_columns != (self._n_columns or max(columns.n_columns, MIN_COLUMNS)):
            raise ValueError("too few columns, or not as many as before")
        self._n_columns = columns.n_columns
        start, end = columns.integers(1), columns.integers(2)
        if not (start < end).all():
            raise ValueError("start is not below end")
        contig = _named(columns, 0, self._contig_codes, self.contigs)
        barcode = _named(columns, 3, self._barcode_codes, self.barcodes)
        if self._order is not None:
            self._order.check(contig, start)
        return FragmentBlock(contig, barcode, start, end)


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
    codes[codes < 0] = np.arange(len(names), len(names) + len(new))
    known.update(zip(new, range(len(names), len(names) + len(new)), strict=True))
    names += [text.decode("utf-8", "replace") for text in new]
    return codes[local]


def _without_comments(lines: bytes) -> bytes:
    """The same lines without those that are empty or start with #."""
    kept = [line for line in lines.split(b"\n") if line and not line.startswith(b"#")]
    return b"".join(line + b"\n" for line in kept)


def _fault(fields: list[str], n_columns: int) -> str | None:
    """What is wrong with a line in itself."""
    remedy = "A line is chrom, start, end, barcode[, reads], with tabs between."
    if len(fields) < MIN_COLUMNS:
        return f"has {len(fields)} column(s), at least {MIN_COLUMNS} are needed. {remedy}"
    if n_columns and len(fields) != n_columns:
        return f"has {len(fields)} columns, the lines before have {n_columns}. {remedy}"
    for column, word in _NUMBERED:
        value = fields[column]
        if not (value.isascii() and value.isdigit() and len(value) <= MAX_DIGITS):
            return f"{word} {value!r} is not a whole number of 0 or more. {remedy}"
    if int(fields[1]) >= int(fields[2]):
        place = f"{fields[0]}:{fields[1]}-{fields[2]}"
        return f"{place} breaks start < end. Fragments are 0-based half-open; fix the line."
    for column, word in ((0, "chrom"), (3, "barcode")):
        if not fields[column] or "\0" in fields[column]:
            return f"{word} {fields[column]!r} is no name. {remedy}"
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


@contextmanager
def _opened(path: Path, name: str) -> Iterator[tuple[IO[bytes] | None, IO[bytes]]]:
    """The file as it lies on disk (None for standard input), and its text."""
    if str(path) == STANDARD_INPUT:
        raw: IO[bytes] = sys.stdin.buffer
        head = raw.peek(2)[:2] if isinstance(raw, io.BufferedReader) else b""
        yield None, _text(raw, head)
        return
    if not path.is_file():
        raise IntervalError(f"{path}: no such file. Check the path.")
    with path.open("rb") as raw:
        head = raw.read(18)
        if head[12:14] == b"BC" and head.startswith(GZIP_MAGIC) and not _ends_as_bgzf(raw):
            raise IntervalError(
                f"{name}: truncated: its last block, which ends every BGZF file, is absent. "
                "Fetch the file again."
            )
        raw.seek(0)
        yield raw, _text(raw, head)


def _text(raw: IO[bytes], head: bytes) -> IO[bytes]:
    """The text of a file, which it may hold compressed."""
    return cast("IO[bytes]", gzip.GzipFile(fileobj=raw)) if head.startswith(GZIP_MAGIC) else raw


def _ends_as_bgzf(raw: IO[bytes]) -> bool:
    raw.seek(-min(len(BGZF_EOF), raw.seek(0, 2)), 2)
    return raw.read() == BGZF_EOF
