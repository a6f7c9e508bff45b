"""Lines of whole text files as people have them: gzip, byte order marks, any line ends."""

from __future__ import annotations

import codecs
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from peakatlas.engine.errors import IntervalError
from peakatlas.engine.gzip_stream import gunzipped, read_maybe_gzip

if TYPE_CHECKING:
    from peakatlas.engine.errors import PeakAtlasError

STANDARD_INPUT = "-"
UTF8_MARK = codecs.BOM_UTF8
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_lines(
    path: str | Path, wanted: str, error: type[PeakAtlasError] = IntervalError
) -> list[str]:
    """Lines of a text file, plain or gzip, without their ends.

    The text is UTF-8, with or without a byte order mark, or UTF-16 with one. Lines end with LF,
    CRLF or CR, and with nothing else: a line may hold a form feed or a Unicode separator.

    Parameters
    ----------
    path : str or Path
        ``-`` is standard input.
    wanted : str
        What the file should be, for the remedy: ``a BED or narrowPeak file``.
    error : type of PeakAtlasError, optional
        What to raise.

    Raises
    ------
    PeakAtlasError
        If the file is absent, damaged or not text.
    """
    is_piped, source = str(path) == STANDARD_INPUT, Path(path)
    name = "standard input" if is_piped else source.name
    if not is_piped and not source.is_file():
        raise error(f"{source}: no such file. Check the path.")
    try:
        data = gunzipped(sys.stdin.buffer.read()) if is_piped else read_maybe_gzip(source)
    except (EOFError, OSError, zlib.error) as fault:
        raise error(
            f"{name}: truncated or damaged gzip data ({fault}). Fetch the file again."
        ) from fault
    try:
        return split_lines(decoded(data))
    except UnicodeDecodeError as fault:
        raise error(f"{name}: not a text file (byte {fault.start}). Give {wanted}.") from fault


def decoded(data: bytes) -> str:
    """Text of bytes, without a byte order mark.

    Raises
    ------
    UnicodeDecodeError
        If it is neither UTF-8 nor UTF-16 with a mark, or has a NUL character.
    """
    text = data.decode("utf-16" if data.startswith(_UTF16_MARKS) else "utf-8-sig")
    if (at := text.find("\0")) >= 0:
        raise UnicodeDecodeError("utf-8", data, at, at + 1, "NUL character")
    return text


def split_lines(text: str) -> list[str]:
    """Lines that end with LF, CRLF or CR; none after the last end."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    lines = text.split("\n")
    return lines[:-1] if not lines[-1] else lines
