"""The text of a fragments file in blocks of whole lines that end with LF."""

from __future__ import annotations

import gzip
import io
import sys
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, cast

from peakatlas.engine.errors import IntervalError
from peakatlas.engine.gzip_stream import (
    BGZF_EOF,
    GZIP_MAGIC,
    HEAD_BYTES,
    is_bgzf,
    lacks_bgzf_end,
)
from peakatlas.engine.intervals.text_files import STANDARD_INPUT, UTF8_MARK, not_readable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
MAX_LINE_BYTES = 1 << 20


class LinesError(ValueError):
    """What is wrong with the text after the blocks that were given."""


def line_blocks(
    path: Path, name: str, block_bytes: int, progress: Callable[[int], None]
) -> Iterator[bytes]:
    """Blocks of whole lines, each with its LF, whatever ends them in the file.

    Parameters
    ----------
    path : Path
        Plain or gzip, told by content; ``-`` is standard input.
    name : str
        What to call it in an error.
    block_bytes : int
        Text read at a time.
    progress : callable
        Called with the number of bytes of the file that were newly read, compressed or not.

    Raises
    ------
    IntervalError
        If the file is absent or lacks its end.
    LinesError
        If it is UTF-16, or has a line above `MAX_LINE_BYTES`.
    EOFError, OSError, zlib.error
        If its gzip data is damaged.
    """
    with _opened(path, name) as (raw, text):
        chunks = _chunks(raw, text, block_bytes, progress)
        yield from _whole_lines(_with_unix_ends(_without_mark(chunks)))


def without_blanks(lines: bytes) -> bytes:
    """The same lines without blanks about their fields, and without byte order marks."""
    if not lines.isascii():
        lines = lines.replace(b"\n" + UTF8_MARK, b"\n").removeprefix(UTF8_MARK)
    if b" " not in lines:
        return lines
    lines = lines.lstrip(b" ")
    for mark in (b"\t", b"\n"):
        for blank in (b" " + mark, mark + b" "):
            while blank in lines:
                lines = lines.replace(blank, mark)
    return lines


@contextmanager
def _opened(path: Path, name: str) -> Iterator[tuple[IO[bytes] | None, IO[bytes]]]:
    """The file as it lies on disk (None for standard input), and its text."""
    if str(path) == STANDARD_INPUT:
        yield None, _streamed(sys.stdin.buffer)
        return
    if fault := not_readable(path):
        raise IntervalError(fault)
    if not path.is_file():
        with path.open("rb") as pipe:
            yield None, _streamed(pipe)
        return
    with path.open("rb") as raw:
        if lacks_bgzf_end(raw):
            raise IntervalError(
                f"{name}: truncated: its last block, which ends every BGZF file, is absent. "
                "Fetch the file again."
            )
        head = raw.read(2)
        raw.seek(0)
        yield raw, _text(raw, head)


def _streamed(raw: IO[bytes]) -> IO[bytes]:
    """The text of what can be read once only."""
    head = raw.peek(HEAD_BYTES)[:HEAD_BYTES] if isinstance(raw, io.BufferedReader) else b""
    return cast("IO[bytes]", _PipedBgzf(raw)) if is_bgzf(head) else _text(raw, head)


class _PipedBgzf(gzip.GzipFile):
    """BGZF from a pipe, whose last block is looked for at the end."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._tail = b""
        super().__init__(fileobj=cast("IO[bytes]", _Tapped(raw, self._keep)))

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        if not data and self._tail != BGZF_EOF:
            raise EOFError("the BGZF end-of-file block is absent")
        return data

    def _keep(self, data: bytes) -> None:
        size = len(BGZF_EOF)
        self._tail = data[-size:] if len(data) >= size else (self._tail + data)[-size:]


class _Tapped:
    """A file whose bytes are shown as they are read."""

    def __init__(self, raw: IO[bytes], show: Callable[[bytes], None]) -> None:
        self._raw, self._show = raw, show

    def read(self, size: int = -1) -> bytes:
        data = self._raw.read(size)
        self._show(data)
        return data


def _text(raw: IO[bytes], head: bytes) -> IO[bytes]:
    """The text of a file, which it may hold compressed."""
    return cast("IO[bytes]", gzip.GzipFile(fileobj=raw)) if head.startswith(GZIP_MAGIC) else raw


def _chunks(
    raw: IO[bytes] | None, text: IO[bytes], size: int, progress: Callable[[int], None]
) -> Iterator[bytes]:
    before = 0
    while data := text.read(size):
        yield data
        read = raw.tell() if raw is not None else before
        progress(read - before)
        before = read


def _without_mark(chunks: Iterable[bytes]) -> Iterator[bytes]:
    for number, chunk in enumerate(chunks):
        if number == 0 and chunk.startswith(_UTF16_MARKS):
            raise LinesError("UTF-16 text. Write it as UTF-8: iconv -f UTF-16 -t UTF-8.")
        yield chunk.removeprefix(UTF8_MARK) if number == 0 else chunk


def _with_unix_ends(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same text with LF for CRLF and CR."""
    held = b""
    for chunk in chunks:
        data = held + chunk if held else chunk
        if b"\r" in data:
            held = b"\r" if data.endswith(b"\r") else b""
            data = data[: len(data) - len(held)].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        else:
            held = b""
        yield data
    if held:
        yield b"\n"


def _whole_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same text cut after ends of lines; one is put to the last line."""
    rest: list[bytes] = []
    size = 0
    for chunk in chunks:
        at = chunk.rfind(b"\n") + 1
        if at:
            yield b"".join((*rest, chunk[:at]))
            rest, size = [], 0
        rest.append(chunk[at:])
        size += len(chunk) - at
        if size > MAX_LINE_BYTES and b"\n" not in chunk:
            raise LinesError(f"longer than {MAX_LINE_BYTES:,} bytes. Is it a fragments file?")
    if last := b"".join(rest):
        yield last + b"\n"
