"""Gzip and BGZF by content, with truncation made an error."""

from __future__ import annotations

import gzip
import shutil
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

GZIP_MAGIC = b"\x1f\x8b"
HEAD_BYTES = 4096
"""Bytes from a file's begin by which `is_bgzf` decides."""
# Last block of every complete BGZF file (SAM specification, section 4.1.2).
BGZF_EOF = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
_HAS_EXTRA = 4
_EXTRA_AT = 12
_BGZF_SUBFIELD = (b"BC", 2)


def is_gzip(path: Path) -> bool:
    """Whether a file begins as gzip does, whatever its name."""
    with path.open("rb") as file:
        return file.read(2) == GZIP_MAGIC


def is_bgzf(head: bytes) -> bool:
    """Whether the first member of gzip data says, in its extra field, that it is a BGZF block.

    Parameters
    ----------
    head : bytes
        The first `HEAD_BYTES` of a file, or all of it.

    Examples
    --------
    >>> is_bgzf(BGZF_EOF), is_bgzf(gzip.compress(b"text"))
    (True, False)

    References
    ----------
    RFC 1952, section 2.3; SAM specification, section 4.1.
    """
    if len(head) < _EXTRA_AT or not head.startswith(GZIP_MAGIC) or not head[3] & _HAS_EXTRA:
        return False
    extra = head[_EXTRA_AT:][: int.from_bytes(head[_EXTRA_AT - 2 : _EXTRA_AT], "little")]
    while len(extra) >= 4:
        size = int.from_bytes(extra[2:4], "little")
        if (extra[:2], size) == _BGZF_SUBFIELD:
            return True
        extra = extra[4 + size :]
    return False


def lacks_bgzf_end(raw: IO[bytes]) -> bool:
    """Whether a file on disk is BGZF without the block that ends it; leaves it at its begin.

    A file that was cut between two blocks decompresses without complaint otherwise.
    """
    raw.seek(0)
    head = raw.read(HEAD_BYTES)
    raw.seek(-min(len(BGZF_EOF), raw.seek(0, 2)), 2)
    tail = raw.read()
    raw.seek(0)
    return is_bgzf(head) and tail != BGZF_EOF


def read_maybe_gzip(path: Path) -> bytes:
    """Whole content of a file, decompressed when it is gzip.

    Raises
    ------
    EOFError, zlib.error, OSError
        If the gzip data is truncated or damaged; for BGZF also if its last block is absent.
    """
    return gunzipped(path.read_bytes())


def gunzipped(data: bytes) -> bytes:
    """The same bytes, decompressed when they are gzip; raises as `read_maybe_gzip` does."""
    if is_bgzf(data[:HEAD_BYTES]) and not data.endswith(BGZF_EOF):
        raise EOFError("the BGZF end-of-file block is absent")
    return gzip.decompress(data) if data.startswith(GZIP_MAGIC) else data


def copy_gunzipped(path: Path, out: IO[bytes]) -> None:
    """Decompress a gzip or BGZF file into `out`.

    Raises
    ------
    EOFError
        If the data stops early; for BGZF also if its end-of-file block is absent.
    zlib.error, gzip.BadGzipFile
        If the data is damaged.
    """
    with path.open("rb") as raw:
        if lacks_bgzf_end(raw):
            raise EOFError("the BGZF end-of-file block is absent")
        with gzip.GzipFile(fileobj=raw) as file:
            shutil.copyfileobj(file, out, 1 << 22)
