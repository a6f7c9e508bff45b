"""One shard as bytes, and its files and log entry on the disk.

The bytes are those that zarr-python writes, made without it: zarr assembles a shard in memory out
of copies of its chunks, which costs more than writing it. `FORMAT.md` fixes the layout.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np

from peakatlas.atlas.storage import atomic as files
from peakatlas.engine.errors import ShardOwnershipError

from .int8 import NAN_CODE
from .layout import ABSENT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from .schema import Plan
    from .segment import Segment

_COPY_BELOW = 1 << 16
"""Smaller files than this many bytes are joined: many small pieces cost more than one copy."""


@dataclass(frozen=True, kw_only=True)
class EncodedShard:
    """What is written for one shard."""

    shard: int
    pieces: dict[str, list[bytes | memoryview]]
    """Content of each file, in pieces that follow each other, by path below the segment."""
    entry: dict[str, Any]
    """Log entry."""


def encode_column(
    rows: NDArray[Any], *, shard_rows: int, chunk_rows: int
) -> tuple[list[bytes | memoryview], str]:
    """Bytes of a column's shard: each chunk with its crc32c, then the index with its own.

    Parameters
    ----------
    rows : little-endian, C-contiguous, shape (n, …)
        From 1 to `shard_rows` rows. The pieces are views of them.
    shard_rows, chunk_rows : int
        Of the plan. A short last chunk is filled up with the fill value; those behind are absent.

    Returns
    -------
    list of bytes-like
        To be written one after the other.
    str
        CRC32C of each chunk, eight hex digits each, as they are listed.

    References
    ----------
    Zarr v3, sharding codec: https://zarr-specs.readthedocs.io/en/latest/v3/codecs/sharding-indexed
    """
    index = np.full((shard_rows // chunk_rows, 2), ABSENT, "<u8")
    pieces: list[bytes | memoryview] = []
    at = 0
    for number, first in enumerate(range(0, len(rows), chunk_rows)):
        chunk = _filled(rows[first : first + chunk_rows], chunk_rows)
        data = chunk.reshape(-1).view(np.uint8).data
        pieces += [data, _crc32c(data)]
        index[number] = at, len(data) + 4
        at += len(data) + 4
    sums = "".join(piece[::-1].hex() for piece in pieces[1::2])
    table = index.tobytes()
    pieces += [table, _crc32c(table)]
    return (pieces if at > _COPY_BELOW else [b"".join(pieces)]), sums


def encode_shard(plan: Plan, shard: int, columns: Mapping[str, NDArray[Any]]) -> EncodedShard:
    """Encode a shard and describe it in its log entry.

    Parameters
    ----------
    plan : Plan
    shard : int
    columns : mapping of str to array
        Little-endian and C-contiguous, one for each of ``plan.shard_files(shard)``.
    """
    pieces, described = {}, {}
    for name, relative in plan.shard_files(shard).items():
        pieces[relative], sums = encode_column(
            columns[name], shard_rows=plan.shard_rows, chunk_rows=plan.chunk_rows
        )
        described[relative] = _described(pieces[relative])
        if plan.lists_checksums:
            described[relative]["crc32c"] = sums
    return EncodedShard(shard=shard, pieces=pieces, entry=plan.log_entry(shard, described))


def put_shard(segment: Segment, encoded: EncodedShard) -> None:
    """Write the files of a shard and, once they are on the disk, its log entry.

    Raises
    ------
    ShardOwnershipError
        If another process is writing the shard, or it is written.
    AtlasError
        If the disk refuses.
    """
    shard = encoded.shard
    storage, log = segment.storage, f"{segment.name}/{segment.plan.log_name(shard)}"
    with storage.locked(log.removesuffix(".json")):
        if segment.is_done(shard):
            raise ShardOwnershipError(f"shard {shard} of {segment.where} is written already.")
        storage.write_files({f"{segment.name}/{name}": p for name, p in encoded.pieces.items()})
        storage.write_files({log: [files.json_bytes(encoded.entry)]})


def _filled(chunk: NDArray[Any], chunk_rows: int) -> NDArray[Any]:
    if len(chunk) == chunk_rows:
        return chunk
    fill = {"f": np.nan, "i": NAN_CODE, "u": 0}[chunk.dtype.kind]
    whole = np.full((chunk_rows, *chunk.shape[1:]), fill, chunk.dtype)
    whole[: len(chunk)] = chunk
    return whole


def _crc32c(data: bytes | memoryview) -> bytes:
    checksum: int = google_crc32c.value(np.frombuffer(data, np.uint8))  # takes no memoryview
    return checksum.to_bytes(4, "little")


def _described(pieces: list[bytes | memoryview]) -> dict[str, Any]:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return {"bytes": sum(map(len, pieces)), "sha256": digest.hexdigest()}
