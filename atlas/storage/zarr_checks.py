"""Zarr stores that come from elsewhere: what is refused before one is opened.

Zarr builds whatever codec an array's metadata names, and one of them, ``pickle``, runs code. An
array may also declare a shape that no memory holds.
"""

from __future__ import annotations

import math
import os
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import Meta

from peakatlas.engine.documents import MOST_BYTES, Count, Document, as_model, parse_object

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from peakatlas.engine.errors import PeakAtlasError

_NUMCODECS = ("blosc", "zstd", "zlib", "gzip", "lz4", "bz2", "delta", "shuffle", "vlen-utf8")
CODECS = frozenset(
    {"bytes", "crc32c", "sharding_indexed", "transpose", "vlen-bytes", "string"}
    | {*_NUMCODECS, *(f"numcodecs.{name}" for name in _NUMCODECS)}
)
"""Codecs that an array may name; each makes numbers or text of bytes and does nothing else."""

FREE_BYTES = 1 << 26
"""An array may declare so many bytes whatever is stored of it."""
LARGEST_RATIO = 1000
"""Beyond that, at most so many bytes for each that is stored: deflate reaches 1032 with zeros."""
_MOST_CHUNK_BYTES = 1 << 30
_DOCUMENTS = ("zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata")

Shape = Annotated[list[Count], Meta(max_length=8)]


class Named(Document):
    """A codec, type or the like."""

    name: str
    configuration: dict[str, Any] = msgspec.field(default_factory=dict)


class _Grid(Document):
    chunk_shape: Shape


class _GridOf(Document):
    name: Literal["regular"]
    configuration: _Grid


class ArrayV3(Document):
    """What is checked of the ``zarr.json`` of an array."""

    shape: Shape
    data_type: str | Named
    chunk_grid: _GridOf
    codecs: Annotated[list[Named], Meta(max_length=8)]
    storage_transformers: Annotated[list[Any], Meta(max_length=0)] = msgspec.field(
        default_factory=list
    )

    @property
    def named_codecs(self) -> set[str]:
        """Codecs of the array, those within shards included."""
        return set(_names_of(self.codecs))

    @property
    def item_bytes(self) -> int:
        """Bytes of one value; 8, a pointer, for text of any length."""
        if isinstance(self.data_type, str):
            return _item_bytes(self.data_type)
        length = self.data_type.configuration.get("length_bytes", 8)
        return length if isinstance(length, int) else 8

    @property
    def chunk(self) -> list[int]:
        """Shape of what is read at once."""
        return self.chunk_grid.configuration.chunk_shape


class _Numcodec(Document):
    id: str


class ArrayV2(Document):
    """What is checked of the ``.zarray`` of an array."""

    shape: Shape
    chunks: Shape
    dtype: str | list[tuple[str, str]]
    compressor: _Numcodec | None = None
    filters: Annotated[list[_Numcodec], Meta(max_length=8)] | None = None

    @property
    def named_codecs(self) -> set[str]:
        """Codecs of the array."""
        first = () if self.compressor is None else (self.compressor,)
        return {codec.id for codec in (*first, *(self.filters or ()))}

    @property
    def item_bytes(self) -> int:
        """Bytes of one value; 8, a pointer, for text of any length."""
        if isinstance(self.dtype, str):
            return _item_bytes(self.dtype)
        return sum(_item_bytes(str(each[1])) for each in self.dtype)

    @property
    def chunk(self) -> list[int]:
        """Shape of what is read at once."""
        return self.chunks


def check_zarr(path: str | Path, error: type[PeakAtlasError]) -> None:
    """Refuse a Zarr store that names unknown codecs, or declares what is not there.

    Call it before the store is opened; it lists the files and reads metadata only.

    Parameters
    ----------
    path : str or Path
        Folder, or zip archive of one.
    error : type
        Raised when something is wrong.

    Raises
    ------
    PeakAtlasError
        Of the type given; names the array.
    """
    root = Path(path)
    if root.is_dir():
        sizes = _sizes_below(root, error)
        _check_store(sizes, lambda name: (root / name).read_bytes(), str(root), error)
        return
    with zipfile.ZipFile(root) as archive:
        sizes = {item.filename: item.file_size for item in archive.infolist()}
        check_declared(sum(sizes.values()), root.stat().st_size, str(root), error)
        _check_store(sizes, archive.read, str(root), error)


def check_array(
    array: ArrayV2 | ArrayV3, stored: int, where: str, error: type[PeakAtlasError]
) -> None:
    """Refuse an array that names unknown codecs, or declares what is not there.

    Parameters
    ----------
    array : ArrayV2 or ArrayV3
        Its metadata.
    stored : int
        Bytes that are stored of it.
    where : str
        Path of the array, for the text.
    error : type
        Raised when something is wrong.

    Raises
    ------
    PeakAtlasError
        Of the type given.
    """
    unknown = sorted(array.named_codecs - CODECS)
    if unknown:
        raise error(
            f"{where} names the codec {unknown[0]!r}, which peakatlas does not open: it is none of "
            f"{', '.join(_NUMCODECS)}. Write the array again with one of these."
        )
    if math.prod(array.chunk) * array.item_bytes > _MOST_CHUNK_BYTES:
        raise error(f"{where} declares chunks of {array.chunk}, more than 1 GiB: it is damaged.")
    check_declared(math.prod(array.shape) * array.item_bytes, stored, where, error)


def check_declared(declared: int, stored: int, where: str, error: type[PeakAtlasError]) -> None:
    """Refuse what declares far more bytes than are stored of it.

    Raises
    ------
    PeakAtlasError
        Of the type given.
    """
    if declared > FREE_BYTES + LARGEST_RATIO * stored:
        raise error(
            f"{where} declares {declared:,} bytes and {stored:,} are stored of it: it is damaged, "
            "or most of it was never written."
        )


def _check_store(
    sizes: Mapping[str, int],
    read: Callable[[str], bytes],
    where: str,
    error: type[PeakAtlasError],
) -> None:
    stored = _bytes_below(sizes)
    for name in sizes:
        folder, _, kind = name.rpartition("/")
        if kind not in _DOCUMENTS:
            continue
        if sizes[name] > MOST_BYTES:
            raise error(f"{where}/{name} has {sizes[name]:,} bytes, too many for metadata.")
        values = parse_object(read(name), f"{where}/{name}", error)
        for place, model, each in _arrays_of(values, folder, kind):
            array = as_model(each, model, f"{where}/{place}", error)
            check_array(array, stored.get(place, 0), f"{where}/{place}", error)


def _arrays_of(
    values: dict[str, Any], folder: str, kind: str
) -> Iterator[tuple[str, type[ArrayV2 | ArrayV3], object]]:
    """Path, model and metadata of each array in a document, also where it is consolidated."""
    if kind == ".zarray":
        yield folder, ArrayV2, values
        return
    if kind == "zarr.json" and values.get("node_type") != "group":
        yield folder, ArrayV3, values
        return
    held = values.get("consolidated_metadata") if kind == "zarr.json" else values
    inside = held.get("metadata") if isinstance(held, dict) else None
    for name, each in (inside if isinstance(inside, dict) else {}).items():
        place = f"{folder}/{name}".strip("/")
        if kind == "zarr.json" and not (
            isinstance(each, dict) and each.get("node_type") == "group"
        ):
            yield place, ArrayV3, each
        elif kind == ".zmetadata" and place.endswith(".zarray"):
            yield place.rpartition("/")[0], ArrayV2, each


def _bytes_below(sizes: Mapping[str, int]) -> dict[str, int]:
    """Bytes of all files below each folder."""
    below: dict[str, int] = {}
    for name, size in sizes.items():
        folder = name
        while folder:
            folder = folder.rpartition("/")[0]
            below[folder] = below.get(folder, 0) + size
    return below


def _names_of(codecs: Iterable[Named]) -> Iterator[str]:
    for codec in codecs:
        yield codec.name
        for key in ("codecs", "index_codecs"):
            if key in codec.configuration:
                yield from _names_of(msgspec.convert(codec.configuration[key], list[Named]))


def _item_bytes(kind: str) -> int:
    try:
        return max(1, np.dtype(kind).itemsize)
    except TypeError:
        return 8


def _sizes_below(root: Path, error: type[PeakAtlasError]) -> dict[str, int]:
    """Size of each file below a folder, which holds plain files and folders only."""
    sizes: dict[str, int] = {}
    for folder, folders, names in os.walk(root):
        below = Path(folder).relative_to(root).as_posix()
        linked = [name for name in folders if (Path(folder) / name).is_symlink()]
        odd = [name for name in names if not (Path(folder) / name).is_file()]
        if linked or odd:
            raise error(f"{Path(folder) / (linked + odd)[0]} is neither a file nor a folder.")
        for name in names:
            path = name if below == "." else f"{below}/{name}"
            sizes[path] = (root / path).stat().st_size
    return sizes
