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
    if not is_piped and (fault := not_readable(source)):
        raise error(fault)
    try:
        data = gunzipped(sys.stdin.buffer.read()) if is_piped else read_maybe_gzip(source)
    except (EOFError, OSError, zlib.error) as fault:
        raise error(f"{name}: {read_fault(fault)}") from fault
    try:
        return split_lines(decoded(data))
    except UnicodeDecodeError as fault:
        raise error(f"{name}: not a text file (byte {fault.start}). Give {wanted}.") from fault


def not_readable(path: Path) -> str:
    """Why there is no file to read at a path, in one line; empty for a file or a pipe."""
    if path.is_dir():
        return f"{path}: a folder, where a file is expected. Give the file in it."
    if path.is_file() or path.is_fifo():
        return ""
    what = "neither a file nor a pipe" if path.exists() else "no such file"
    return f"{path}: {what}. Check the path."


def read_fault(fault: Exception, where: str = "") -> str:
    """What an error means that was raised while a file was read and unpacked, and the remedy.

    Parameters
    ----------
    fault : EOFError, OSError or zlib.error
    where : str, optional
        Put after what is damaged: ``" after line 7"``.
    """
    if isinstance(fault, OSError) and fault.errno is not None:
        reason = (fault.strerror or str(fault)).lower()
        return f"cannot be read ({reason}). Check the file and its permissions."
    return f"truncated or damaged gzip data{where} ({fault}). Fetch the file again."


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
