"""Where the letters of a FASTA file lie, and a tidy copy of one whose lines do not allow that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

import numpy as np
from pyfaidx import Faidx

from peakatlas.engine.errors import GenomeError
from peakatlas.engine.intervals.text_files import UTF8_MARK

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

_BLOCK_BYTES = 1 << 25
_TAIL_BYTES = 1 << 16
_NEWLINE, _RETURN, _HEADER = b"\n\r>"
_LETTERS = bytes(range(65, 91)) + bytes(range(97, 123)) + b"*-"
_BLANKS = b" \t\v\f"
_UNUSUAL = np.ones(256, np.bool_)
_UNUSUAL[list(_LETTERS + b"\n\r")] = False
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_FIELDS = ("size", "offset", "line", "line_bytes")


class UntidyFastaError(ValueError):
    """Lines that do not let a letter be found by arithmetic."""


@dataclass(frozen=True, eq=False)
class FastaIndex:
    """Records of a FASTA file, in its order.

    Parameters
    ----------
    names : list of str
        First word of each header.
    size, offset, line, line_bytes : int64, shape (n,)
        Letters of each record, byte of the first, letters a line and bytes a line.
    """

    names: list[str]
    size: NDArray[np.int64]
    offset: NDArray[np.int64]
    line: NDArray[np.int64]
    line_bytes: NDArray[np.int64]

    def to_text(self) -> str:
        """As a ``.fai`` file, a line a record."""
        columns = zip(self.names, *(getattr(self, name).tolist() for name in _FIELDS), strict=True)
        return "".join("\t".join(map(str, row)) + "\n" for row in columns)


def read_fai(index: Path, fasta: Path) -> FastaIndex | None:
    """What an index made of `index_fasta` says; None if there is none, or it is not whole.

    Parameters
    ----------
    index, fasta : Path
    """
    if not index.is_file() or not fasta.is_file():
        return None
    try:
        with Faidx(str(fasta), indexname=str(index), rebuild=False) as faidx:
            rows = [(r.rlen, r.offset, r.lenc, r.lenb) for r in faidx.index.values()]
            found = FastaIndex(list(faidx.index), *np.array(rows, np.int64).reshape(-1, 4).T)
    except Exception:  # whatever is wrong with it, it is made again
        return None
    return found if _reaches_end(found, fasta) else None


def _reaches_end(index: FastaIndex, fasta: Path) -> bool:
    """Whether nothing but ends of lines follows the last record of an index."""
    if not index.names or (index.line <= 0).any() or (index.size <= 0).any():
        return False
    last = int(index.size[-1]) - 1
    line, line_bytes = int(index.line[-1]), int(index.line_bytes[-1])
    end = int(index.offset[-1]) + last // line * line_bytes + last % line + 1
    with fasta.open("rb") as file:
        file.seek(end)
        return not file.read(_TAIL_BYTES).strip(b"\r\n") and not file.read(1)


def index_fasta(path: Path) -> FastaIndex:
    """Find the records of a FASTA file, and check that arithmetic finds every letter.

    Raises
    ------
    UntidyFastaError
        If lines of a record differ in length before the last, or anything but letters, ``*`` and
        ``-`` stands in them; `write_tidy` makes a copy that is tidy, or says what is wrong.
    """
    data: NDArray[np.uint8] = np.memmap(path, np.uint8, "r")
    scan = _Scan()
    for start, end in _blocks(data):
        scan.add(data[start:end], start)
    return FastaIndex(scan.names, *(getattr(scan, name) for name in _FIELDS))


def write_tidy(source: IO[bytes], out: IO[bytes], name: str) -> None:
    """Write the records of a FASTA file with all letters of each in one line.

    Lines may end with LF, CRLF or CR and be of any length; blanks, blank lines, a byte order mark
    and comments (``;``) are left out.

    Parameters
    ----------
    source, out : binary files
    name : str
        The file's, for an error.

    Raises
    ------
    GenomeError
        At the first line that is no FASTA.
    """
    has_record = False
    for number, line in _numbered_lines(source, name):
        text = line.strip(_BLANKS)
        if not text or text.startswith(b";"):
            continue
        if text.startswith(b">"):
            out.write((b"\n" if has_record else b"") + b">" + text[1:].strip(_BLANKS) + b"\n")
            has_record = True
            continue
        if not has_record:
            raise GenomeError(
                f"{name}: not a FASTA file, it begins with {text[:1]!r} instead of '>'. "
                "Give a FASTA, plain, BGZF or gzip."
            )
        letters = text.translate(None, _BLANKS)
        if wrong := letters.translate(None, _LETTERS):
            raise GenomeError(
                f"{name} line {number}: {wrong[:1]!r} is no base. Mend the file, or fetch it again."
            )
        out.write(letters)
    out.write(b"\n")


class _Scan:
    """Records met so far; the last one may go on."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.size, self.offset, self.line, self.line_bytes, self._lines, self._ended = (
            np.zeros(0, np.int64) for _ in range(6)
        )

    def add(self, data: NDArray[np.uint8], at: int) -> None:
        """Whole lines that begin at a byte of the file."""
        text = data.tobytes()
        ends = np.flatnonzero(data == _NEWLINE)
        if not len(ends) or ends[-1] != len(data) - 1:  # the last line of the file
            ends = np.append(ends, len(data))
        starts = np.concatenate([[0], ends[:-1] + 1])
        has_return = (ends > starts) & (data[np.maximum(ends - 1, 0)] == _RETURN)
        lengths = ends - has_return - starts
        is_header = (lengths > 0) & (data[starts] == _HEADER)
        record = len(self.names) - 1 + np.cumsum(is_header)
        self._open(text, starts[is_header] + 1, (starts + lengths)[is_header])
        rows = np.flatnonzero(~is_header & (lengths > 0))
        if text.translate(None, _LETTERS + b"\n\r"):
            within = np.searchsorted(starts, np.flatnonzero(_UNUSUAL[data]), "right") - 1
            if not is_header[within].all():
                raise UntidyFastaError("something else than letters stands in a sequence")
        if text.count(b"\r") != int(has_return.sum()):
            raise UntidyFastaError("a line ends with CR alone")
        if len(rows):
            line_bytes = ends[rows] + 1 - starts[rows]
            self._add_lines(record[rows], at + starts[rows], lengths[rows], line_bytes)

    def _open(self, text: bytes, start: NDArray[np.int64], end: NDArray[np.int64]) -> None:
        """Records that begin, by the bounds of their headers' texts."""
        for first, past in zip(start.tolist(), end.tolist(), strict=True):
            words = text[first:past].split(None, 1)
            self.names.append(words[0].decode("utf-8", "replace") if words else "")
        new = np.zeros(len(start), np.int64)
        for name in (*_FIELDS, "_lines", "_ended"):
            setattr(self, name, np.concatenate([getattr(self, name), new]))

    def _add_lines(
        self,
        record: NDArray[np.int64],
        start: NDArray[np.int64],
        length: NDArray[np.int64],
        line_bytes: NDArray[np.int64],
    ) -> None:
        """Lines of letters: record, byte in the file, letters and bytes of each."""
        if record[0] < 0:
            raise UntidyFastaError("letters stand before the first record")
        is_last = np.append(record[1:] != record[:-1], [True])
        first = np.append([0], np.flatnonzero(is_last)[:-1] + 1)
        found, count = record[first], np.diff(np.append(first, len(record)))
        new = first[self._lines[found] == 0]
        self.offset[record[new]], self.line[record[new]] = start[new], length[new]
        self.line_bytes[record[new]] = line_bytes[new]
        nth = self._lines[record] + np.arange(len(record)) - np.repeat(first, count)
        is_short = length < self.line[record]
        fits = start == self.offset[record] + nth * self.line_bytes[record]
        if not fits.all() or (length > self.line[record]).any() or (is_short & ~is_last).any():
            raise UntidyFastaError("lines of a record differ in length")
        if self._ended[found].any():
            raise UntidyFastaError("a short line stands before others")
        self._ended[record[is_short]] = 1
        self._lines[found] += count
        self.size[found] += np.add.reduceat(length, first)


def _blocks(data: NDArray[np.uint8]) -> Iterator[tuple[int, int]]:
    """Bounds of blocks of whole lines."""
    start = 0
    while start < len(data):
        end, step = start, _BLOCK_BYTES
        while end == start:
            stop = min(start + step, len(data))
            past = np.flatnonzero(data[start:stop] == _NEWLINE)[-1:]
            if stop == len(data):
                end = stop
            elif len(past):
                end = start + int(past[0]) + 1
            step *= 2
        yield start, end
        start = end


def _numbered_lines(source: IO[bytes], name: str) -> Iterator[tuple[int, bytes]]:
    """Lines that end with LF, CRLF or CR, without their ends."""
    number = 0
    for part in source:
        if number == 0 and part.startswith(_UTF16_MARKS):
            raise GenomeError(f"{name}: UTF-16 text. Write it as ASCII: iconv -f UTF-16 -t ASCII.")
        text = part.removesuffix(b"\n").removesuffix(b"\r")
        for line in text.split(b"\r"):
            number += 1
            yield number, line.removeprefix(UTF8_MARK) if number == 1 else line
