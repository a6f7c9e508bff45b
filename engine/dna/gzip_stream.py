"""Gzip and BGZF told by content, with truncation made an error."""

from __future__ import annotations

import gzip
import shutil
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

GZIP_MAGIC = b"\x1f\x8b"
# Last block of every complete BGZF file (SAM specification, section 4.1.2).
BGZF_EOF = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


def is_gzip(path: Path) -> bool:
    """Whether a file begins as gzip does, whatever its name."""
    with path.open("rb") as file:
        return file.read(2) == GZIP_MAGIC


def read_maybe_gzip(path: Path) -> bytes:
    """Whole content of a file, decompressed when it is gzip.

    Raises
    ------
    EOFError, zlib.error, OSError
        If the gzip data is truncated or damaged.
    """
    return gunzipped(path.read_bytes())


def gunzipped(data: bytes) -> bytes:
    """The same bytes, decompressed when they are gzip; raises as `read_maybe_gzip` does."""
    return gzip.decompress(data) if data.startswith(GZIP_MAGIC) else data


def copy_gunzipped(path: Path, out: IO[bytes]) -> None:
    """Decompress a gzip or BGZF file into `out`.

    Raises
    ------
    EOFError
        If the data stops early; for BGZF also if its end-of-file block is absent, since a file
        cut between two blocks would decompress without complaint.
    zlib.error, gzip.BadGzipFile
        If the data is damaged.
    """
    with path.open("rb") as raw:
        head = raw.read(18)
        raw.seek(0, 2)
        raw.seek(max(raw.tell() - len(BGZF_EOF), 0))
        tail = raw.read()
    if head[12:14] == b"BC" and tail != BGZF_EOF:
        raise EOFError("the BGZF end-of-file block is absent")
    with gzip.open(path, "rb") as file:
        shutil.copyfileobj(file, out, 1 << 22)
