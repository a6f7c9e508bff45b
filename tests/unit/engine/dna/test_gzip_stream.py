"""BGZF by its extra field and by nothing else; every header that gzip allows; truncation."""

from __future__ import annotations

import gzip
import io
import struct
import zlib

import pytest

from peakatlas.engine.gzip_stream import (
    BGZF_EOF,
    copy_gunzipped,
    is_bgzf,
    lacks_bgzf_end,
    read_maybe_gzip,
)

TEXT = b"chr9\t7\t77\n" * 40


def member(text: bytes, *, extra: bytes | None = None, name: bytes = b"", comment: bytes = b"",
           is_checked: bool = False) -> bytes:  # fmt: skip
    """One gzip member with the header fields of RFC 1952 that are asked for."""
    flags = 4 * (extra is not None) | 8 * bool(name) | 16 * bool(comment) | 2 * is_checked
    head = b"\x1f\x8b\x08" + bytes([flags]) + b"\0\0\0\0\0\xff"
    if extra is not None:
        head += struct.pack("<H", len(extra)) + extra
    head += (name + b"\0" if name else b"") + (comment + b"\0" if comment else b"")
    if is_checked:
        head += struct.pack("<H", zlib.crc32(head) & 0xFFFF)
    packer = zlib.compressobj(wbits=-15)
    body = packer.compress(text) + packer.flush()
    return head + body + struct.pack("<II", zlib.crc32(text), len(text))


def field(kind: bytes, value: bytes) -> bytes:
    return kind + struct.pack("<H", len(value)) + value


BLOCK_SIZE = field(b"BC", b"\x30\x00")


@pytest.mark.parametrize(
    ("options", "is_block"),
    [
        ({}, False),
        ({"name": b"ABC.bed"}, False),
        ({"name": b"hsBC\x02"}, False),
        ({"comment": b"BC"}, False),
        ({"extra": b""}, False),
        ({"extra": field(b"AP", b"BC\x02\x00")}, False),
        ({"extra": field(b"BC", b"three")}, False),
        ({"extra": BLOCK_SIZE}, True),
        ({"extra": field(b"RA", b"abcdef") + BLOCK_SIZE, "name": b"x", "is_checked": True}, True),
        ({"extra": field(b"XX", b"")[:3]}, False),
    ],
)
def test_any_header_is_read(tmp_path, options, is_block):
    path = tmp_path / "f.gz"
    data = member(TEXT, **options)
    assert is_bgzf(data) is is_block
    path.write_bytes(data + (BGZF_EOF if is_block else b""))
    assert read_maybe_gzip(path) == TEXT
    copied = io.BytesIO()
    copy_gunzipped(path, copied)
    assert copied.getvalue() == TEXT


def test_members_follow_one_another_and_zeros_pad(tmp_path):
    path = tmp_path / "f.gz"
    path.write_bytes(gzip.compress(b"one ") + member(b"two", name=b"BC") + bytes(512))
    assert read_maybe_gzip(path) == b"one two"


def test_a_cut_between_blocks_is_seen_and_garbage_is_damage(tmp_path):
    path = tmp_path / "f.gz"
    path.write_bytes(member(TEXT, extra=BLOCK_SIZE))
    for read in (read_maybe_gzip, lambda file: copy_gunzipped(file, io.BytesIO())):
        with pytest.raises(EOFError, match="end-of-file block"):
            read(path)
    path.write_bytes(member(TEXT) + b"no gzip")
    with pytest.raises(gzip.BadGzipFile):
        read_maybe_gzip(path)


@pytest.mark.parametrize("data", [b"", b"\x1f", b"\x1f\x8b\x08\x04", b"plain", BGZF_EOF[:16]])
def test_short_files_are_no_bgzf_without_an_end(tmp_path, data):
    path = tmp_path / "f"
    path.write_bytes(data)
    with path.open("rb") as file:
        assert lacks_bgzf_end(file) is (data == BGZF_EOF[:16])
        assert file.tell() == 0
