"""Where the rows of a segment are: its arrays, their shapes, types and files, stated once."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.storage import StorePath

from peakatlas.atlas.storage.zarr_checks import ArrayV3, Named, check_array
from peakatlas.engine.documents import as_model, parse_object
from peakatlas.engine.errors import AtlasError

from .digests import DIGEST_BYTES
from .int8 import NAN_CODE
from .unpacking import COMPRESSORS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zarr.abc.store import Store

    from .schema import Plan

INTERVAL_COLUMNS = ("intervals/contig", "intervals/start", "intervals/end")
COLUMNS: dict[str, tuple[str, float, tuple[str, ...]]] = {
    "intervals/contig": ("<i4", -1, ("row",)),
    "intervals/start": ("<i8", -1, ("row",)),
    "intervals/end": ("<i8", -1, ("row",)),
    "embedding": ("<f2", np.nan, ("row", "dim")),
    "embedding_int8": ("i1", NAN_CODE, ("row", "dim")),
    "digest": ("u1", 0, ("row", "digest_byte")),
    "n_fraction": ("<f4", np.nan, ("row",)),
    "state": ("u1", 0, ("row",)),
}
"""Every array there may be in a segment, in the order of writing: type, fill value, dimensions."""
PLAIN_INTERVAL_ROWS = 1 << 18
"""Intervals in a file of versions 1.0 and 2.0."""
INTERVAL_ROWS = 1 << 14
"""Intervals in a chunk since: what is fetched to look one peak up."""
INTERVAL_CHUNKS = 1 << 6
"""Chunks of intervals in a file since."""
CHECKSUM_BYTES = 4
"""Bytes of a CRC32C, behind a chunk and behind the index of a shard."""
ABSENT = np.iinfo(np.uint64).max
"""Offset and length, in the index of a shard, of a chunk that is not there."""
PLACE_BYTES = 16
"""Bytes that say in the index of a shard where a chunk is."""
LEAST_SHARE = 1 / 64
"""Of the bytes of an array's rows, what is stored of them at least, also where compressed."""
MOST_PACKED = 2000
"""Intervals take at most so many times the bytes that are stored of them: one contig, 1000."""
PLAIN = frozenset({"bytes", "crc32c", "sharding_indexed"})
"""Codecs of rows that this software writes."""
INTERVAL_CODEC = "blosc"
"""Codec of intervals."""
ZARR_NAME = "zarr.json"
"""Metadata of a group or an array, below its folder."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """One array of a segment."""

    name: str
    """Its folder below the segment."""
    n_rows: int
    dtype: np.dtype[Any]
    width: int
    """Values in a row."""
    dimensions: tuple[str, ...]
    """Names of the array's dimensions."""
    fill: float
    """What stands for rows that are not there."""
    chunk_rows: int
    shard_rows: int
    """Rows of a file."""
    indexed: bool
    """Whether a file is a shard, with an index at its end."""
    packed: bool = False
    """Whether its chunks are compressed, by `INTERVAL_CODEC`."""

    @property
    def matrix(self) -> bool:
        """Whether the array has two dimensions, which shows in the names of its files."""
        return len(self.dimensions) > 1

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return (self.n_rows, self.width) if self.matrix else (self.n_rows,)

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return self.width * self.dtype.itemsize

    @property
    def chunk_bytes(self) -> int:
        """Bytes of a chunk without its checksum."""
        return self.chunk_rows * self.row_bytes

    @property
    def n_chunks(self) -> int:
        """Chunks in a file."""
        return self.shard_rows // self.chunk_rows

    @property
    def n_files(self) -> int:
        """Files of the array, its metadata not counted."""
        return -(-self.n_rows // self.shard_rows)

    @property
    def index_bytes(self) -> int:
        """Bytes of the index at the end of a file, with its checksum."""
        return self.n_chunks * PLACE_BYTES + CHECKSUM_BYTES if self.indexed else 0

    @property
    def files(self) -> list[str]:
        """Paths of its files below the segment, its metadata not counted."""
        return [self.file(number) for number in range(self.n_files)]

    def file(self, number: int) -> str:
        """Path of a file below the segment."""
        return f"{self.name}/c/{number}" + "/0" * self.matrix

    def chunks_of(self, number: int) -> int:
        """Chunks of a file that hold rows."""
        rows = min(self.shard_rows, self.n_rows - number * self.shard_rows)
        return -(-rows // self.chunk_rows)

    def check_bytes(self, listed: Mapping[str, Mapping[str, Any]], where: str) -> None:
        """Refuse files that are listed with too few bytes for their rows, or other checksums.

        A file of rows whose checksums are listed is plain, and so has one size that it can have.
        Others may be compressed, to a share of `LEAST_SHARE` of their rows' bytes at least.

        Raises
        ------
        AtlasError
            Names the file.
        """
        stored = 0
        for number, name in enumerate(self.files):
            held, chunks = listed[name], self.chunks_of(number)
            stored += held["bytes"]
            if "crc32c" not in held:
                continue
            plain = chunks * (self.chunk_bytes + CHECKSUM_BYTES) + self.index_bytes
            least = chunks * CHECKSUM_BYTES + self.index_bytes
            size = max(least, held["bytes"]) if self.packed else plain
            if held["bytes"] != size or len(held["crc32c"]) != 8 * chunks:
                raise AtlasError(
                    f"{where}: {name} is listed with {held['bytes']} bytes and "
                    f"{len(held['crc32c']) // 8} checksums; it must have {size} and {chunks}."
                )
        most = MOST_PACKED if self.packed else 1 / LEAST_SHARE
        if self.n_rows * self.row_bytes > most * stored:
            raise AtlasError(
                f"{where} plans {self.n_rows:,} rows of {self.name}, and {stored:,} bytes of them "
                "are listed: the atlas is damaged."
            )

    def checksums_in(self, data: bytes) -> str:
        """CRC32C of each chunk of a file with an index, as they are listed.

        Raises
        ------
        OSError
            If its index is damaged.
        """
        ends = self.ends_of(data[max(0, len(data) - self.index_bytes) :], len(data))
        if ends is None:
            raise OSError(errno.EIO, "its index is damaged")
        return b"".join(data[end - CHECKSUM_BYTES : end][::-1] for end in ends).hex()

    def ends_of(self, index: bytes, size: int) -> list[int] | None:
        """Byte past each chunk of a file, from its index; None if one lies outside the file."""
        if len(index) != self.index_bytes:
            return None
        places = np.frombuffer(index[:-CHECKSUM_BYTES], "<u8").reshape(-1, 2).tolist()
        ends = [begin + length for begin, length in places if length < ABSENT]
        return ends if all(CHECKSUM_BYTES <= end <= size for end in ends) else None

    def create(
        self, store: Store, *, attributes: Mapping[str, Any], named: bool
    ) -> zarr.Array[Any]:
        """Lay the array out in the store of the segment, without rows; `named`: its dimensions."""
        array: zarr.Array[Any] = zarr.create_array(
            store,
            name=self.name,
            shape=self.shape,
            dtype=self.dtype,
            shards=(self.shard_rows, *self.shape[1:]) if self.indexed else None,
            chunks=(self.chunk_rows, *self.shape[1:]),
            compressors=[*([BloscCodec(shuffle="shuffle")] * self.packed), Crc32cCodec()],
            fill_value=self.fill,
            config={"write_empty_chunks": True},
            attributes=dict(attributes),
            dimension_names=self.dimensions if named else None,
        )
        return array

    def open(self, store: Store, metadata: bytes, where: str) -> zarr.Array[Any]:
        """The array as Zarr reads it, from metadata that were read and checked before.

        Parameters
        ----------
        store : Store
            Of the segment.
        metadata : bytes
            Its ``zarr.json``. Nothing else that lies in the folder is looked at.
        where : str
            Path of the array, for the text.

        Raises
        ------
        AtlasError
            If it names codecs other than the format's, or another shape, type or layout.
        """
        values = parse_object(metadata, where, AtlasError)
        found = as_model(values, ArrayV3, where, AtlasError)
        check_array(found, self.n_rows * self.row_bytes, where, AtlasError)
        packed = sorted(found.named_codecs - PLAIN - ({INTERVAL_CODEC} if self.packed else set()))
        if packed:
            raise AtlasError(
                f"{where} is compressed ({', '.join(packed)}): its rows can be gathered, but "
                "only plain chunks can be verified."
            )
        try:
            array = zarr.Array.from_dict(StorePath(store, self.name), values)
            said = (array.shape, array.dtype, array.chunks[0], (array.shards or array.chunks)[0])
        except (ValueError, TypeError, KeyError) as error:
            raise AtlasError(f"{where} cannot be used ({error}): it is damaged.") from error
        wanted = (self.shape, self.dtype, self.chunk_rows, self.shard_rows)
        if said != wanted:
            raise AtlasError(f"{where} is laid out as {said}; by the plan it must be {wanted}.")
        return array

    def compressor(self, metadata: bytes, where: str) -> str:
        """Codec by which the chunks of the array are compressed, from its ``zarr.json``.

        Raises
        ------
        AtlasError
            If there is none, or one that is not among `unpacking.COMPRESSORS`.
        """
        values = parse_object(metadata, where, AtlasError)
        codecs = as_model(values, ArrayV3, where, AtlasError).codecs
        if self.indexed and len(codecs) == 1:
            codecs = as_model(codecs[0].configuration.get("codecs"), list[Named], where, AtlasError)
        names = [codec.name for codec in codecs]
        if len(names) != 3 or names[::2] != ["bytes", "crc32c"] or names[1] not in COMPRESSORS:
            raise AtlasError(
                f"{where} names the codecs {', '.join(names)}, and its chunks are not plain: they "
                f"can be compressed by {' or '.join(COMPRESSORS[:2])} only, or are damaged."
            )
        return names[1]


def layouts_of(plan: Plan) -> dict[str, Layout]:
    """Every array of a segment by name: intervals, then what a shard is made of, in that order."""
    unused = "embedding_int8" if plan.int8 is None else "embedding"
    return {name: _layout(plan, name) for name in COLUMNS if name != unused}


def fitting_shard_rows(n_rows: int, shard_rows: int, chunk_rows: int) -> int:
    """Rows of a shard of a segment of so many rows: few rows get a small one, of whole chunks."""
    return min(shard_rows, -(-n_rows // chunk_rows) * chunk_rows)


def interval_chunk_rows(n_rows: int, *, packed: bool) -> int:
    """Intervals in a chunk of a segment of so many rows."""
    return max(1, min(INTERVAL_ROWS if packed else PLAIN_INTERVAL_ROWS, n_rows))


def _layout(plan: Plan, name: str) -> Layout:
    dtype, fill, dimensions = COLUMNS[name]
    widths = {"row": 1, "dim": plan.spec.dim, "digest_byte": DIGEST_BYTES}
    of_intervals, packed = name in INTERVAL_COLUMNS, plan.lists_checksums
    chunk_rows, shard_rows = plan.chunk_rows, plan.shard_rows
    if of_intervals:
        chunk_rows = interval_chunk_rows(plan.n_rows, packed=packed)
        n_chunks = min(INTERVAL_CHUNKS, -(-plan.n_rows // chunk_rows)) if packed else 1
        shard_rows = n_chunks * chunk_rows
    return Layout(
        name=name,
        n_rows=plan.n_rows,
        dtype=np.dtype(dtype),
        width=widths[dimensions[-1]],
        dimensions=dimensions,
        fill=fill,
        chunk_rows=chunk_rows,
        shard_rows=shard_rows,
        indexed=packed or not of_intervals,
        packed=packed and of_intervals,
    )
