"""Rows of one array of a segment, read off its files; every chunk is checked by its `crc32c`.

The format fixes where things are, so that one positioned read gives a chunk: a shard is chunks of
``chunk_rows`` rows, each followed by its checksum, and at the end an index of their places with a
checksum of its own. An array without shards is files of one chunk and no index. Zarr decodes what
is laid out otherwise, such as compressed chunks.

Files are read, not mapped into memory: at bounded memory a map is no faster (its pages have to be
dropped again), and a file that is cut while it is mapped kills the process.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import google_crc32c
import numpy as np

from peakatlas.engine.errors import AtlasError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from .storage import Storage

    Bytes: TypeAlias = NDArray[np.uint8]
    Rows: TypeAlias = NDArray[np.int64]

_CHECKSUM = 4
_PLACE = 16
_ABSENT = np.iinfo(np.uint64).max
_FEW_ROWS = 16
"""Read so many rows of a checked chunk one by one rather than as a whole chunk."""
_SMALL_FILE = 1 << 18
"""Fetch a remote file of so many bytes whole: one request is slower than its bytes."""


class UnknownLayoutError(Exception):
    """Chunks lie otherwise than the format's plain layout; zarr can read them."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where the rows of an array are."""

    path: str
    """Folder of the array below the atlas."""
    n_rows: int
    dtype: np.dtype[Any]
    width: int
    """Values in a row."""
    chunk_rows: int
    shard_rows: int
    """Rows of a file."""
    indexed: bool
    """Whether a file is a shard, with an index at its end."""
    matrix: bool = False
    """Whether the array has two dimensions, which shows in the names of its files."""

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
    def index_bytes(self) -> int:
        """Bytes of the index at the end of a file, with its checksum."""
        return self.n_chunks * _PLACE + _CHECKSUM if self.indexed else 0

    def file(self, shard: int) -> str:
        """Path of a file below the atlas."""
        return f"{self.path}/c/{shard}" + "/0" * self.matrix


class Shards:
    """The files of one array; safe to share between threads.

    Parameters
    ----------
    storage : Storage
    layout : Layout
    sizes : mapping
        Bytes of each file as the manifest lists them, by path below the atlas.
    """

    def __init__(self, storage: Storage, layout: Layout, sizes: dict[str, int]) -> None:
        self.storage, self.layout, self._sizes = storage, layout, sizes
        self._known: dict[int, _Known] = {}
        self._lock = threading.Lock()

    def take(self, shard: int, rows: Rows) -> NDArray[Any]:
        """Rows of one file.

        Parameters
        ----------
        shard : int
        rows : int64, shape (n,)
            Within the file, ascending; repeats are fine.

        Returns
        -------
        array, shape (n, width)
            Of the dtype stored.

        Raises
        ------
        AtlasError
            If the file is absent, cut, or does not fit its checksums.
        UnknownLayoutError
            If the chunks are laid out otherwise, such as compressed.
        """
        raw = np.empty((len(rows), self.layout.row_bytes), np.uint8)
        path = self.storage.local_path(self.layout.file(shard))
        try:
            if path is None:
                self._take_remote(shard, rows, raw)
            else:
                self._take_local(path, shard, rows, raw)
        except OSError as error:
            reason = "no such file" if isinstance(error, FileNotFoundError) else str(error)
            raise self._damaged(shard, f"cannot be read ({reason})") from error
        return raw.view(self.layout.dtype)

    def _take_local(self, path: Path, shard: int, rows: Rows, raw: Bytes) -> None:
        buffer = np.empty(self.layout.chunk_bytes + _CHECKSUM, np.uint8)
        with _opened(path) as descriptor:
            known = self._known_of(descriptor, shard)
            for chunk, at in _by_chunk(rows, self.layout.chunk_rows):
                place = self._place(shard, known.places, chunk)
                within = rows[at] - chunk * self.layout.chunk_rows
                if known.checked[chunk] and len(within) <= _FEW_ROWS:
                    for row, target in zip(within.tolist(), raw[at], strict=True):
                        begin = place + row * self.layout.row_bytes
                        self._read_at(descriptor, begin, target, shard)
                    continue
                self._read_at(descriptor, place, buffer, shard)
                if not known.checked[chunk]:
                    self._check(shard, chunk, buffer)
                    known.checked[chunk] = True
                self._copy(buffer, within, raw[at])

    def _known_of(self, descriptor: int, shard: int) -> _Known:
        """Index of a local file and which chunks are checked, anew when the file has changed."""
        stat = os.fstat(descriptor)
        stamp = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)
        with self._lock:
            known = self._known.get(shard)
            if known is None or known.stamp != stamp:
                index = np.empty(self.layout.index_bytes, np.uint8)
                begin = self._size(shard) - len(index)
                self._read_at(descriptor, begin, index, shard)
                places = self._places(shard, index)
                checked = np.zeros(self.layout.n_chunks, np.bool_)
                known = self._known[shard] = _Known(stamp, places, checked)
        return known

    def _take_remote(self, shard: int, rows: Rows, raw: Bytes) -> None:
        blocks = list(_by_chunk(rows, self.layout.chunk_rows))
        found = self._fetch(shard, [chunk for chunk, _ in blocks])
        for (chunk, at), data in zip(blocks, found, strict=True):
            self._check(shard, chunk, data)
            self._copy(data, rows[at] - chunk * self.layout.chunk_rows, raw[at])

    def _fetch(self, shard: int, chunks: Sequence[int]) -> list[Bytes]:
        """Chunks of a remote file: the index once, then each run of chunks by one request."""
        name, size, length = self.layout.file(shard), self._size(shard), self._stored_bytes
        known = self._known.get(shard)
        if known is None and (size <= _SMALL_FILE or 2 * len(chunks) * length > size):
            whole = self._ranges([(name, 0, size)])[0]
            places = self._remember(shard, whole[size - self.layout.index_bytes :])
            begins = [self._place(shard, places, chunk) for chunk in chunks]
            return [whole[begin : begin + length] for begin in begins]
        if known is None:
            index = self._ranges([(name, size - self.layout.index_bytes, size)])[0]
            places = self._remember(shard, index)
        else:
            places = known.places
        begins = [self._place(shard, places, chunk) for chunk in chunks]
        runs = _runs(begins, length)
        fetched = self._ranges([(name, low, high) for low, high in runs])
        return _cut_runs(begins, length, runs, fetched)

    def _ranges(self, ranges: list[tuple[str, int, int]]) -> list[Bytes]:
        return [np.frombuffer(data, np.uint8) for data in self.storage.read_ranges(ranges)]

    def _remember(self, shard: int, index: Bytes) -> NDArray[np.uint64]:
        places = self._places(shard, index)
        checked = np.zeros(0, np.bool_)  # what is fetched anew is checked anew
        self._known[shard] = _Known((), places, checked)
        return places

    def _places(self, shard: int, index: Bytes) -> NDArray[np.uint64]:
        """First byte and length of each chunk of a file, shape (n_chunks, 2)."""
        if not self.layout.indexed:
            return np.array([[0, self._size(shard)]], np.uint64)
        if not _sound(index):
            raise self._damaged(shard, "has an index that does not fit its checksum")
        return index[:-_CHECKSUM].view(np.uint64).reshape(-1, 2)

    def _place(self, shard: int, places: NDArray[np.uint64], chunk: int) -> int:
        begin, length = places[chunk].tolist()
        if begin == _ABSENT:
            raise self._damaged(shard, f"lacks chunk {chunk}")
        if length != self._stored_bytes:
            raise UnknownLayoutError(self.layout.path)
        return int(begin)

    def _read_at(self, descriptor: int, begin: int, target: Bytes, shard: int) -> None:
        done = os.preadv(descriptor, [target.data], begin) if len(target) else 0
        while done < len(target):
            more = os.preadv(descriptor, [target[done:].data], begin + done)
            if not more:
                raise self._damaged(shard, "ends too early")
            done += more

    def _check(self, shard: int, chunk: int, data: Bytes) -> None:
        if not _sound(data):
            first = shard * self.layout.shard_rows + chunk * self.layout.chunk_rows
            last = min(first + self.layout.chunk_rows, self.layout.n_rows)
            raise self._damaged(shard, f"rows {first}-{last} do not fit their checksum")

    def _copy(self, data: Bytes, rows: Rows, target: Bytes) -> None:
        values = data[:-_CHECKSUM].reshape(-1, self.layout.row_bytes)
        if self.layout.width == 1:  # single values are copied several times faster than rows
            values, target = values.view(self.layout.dtype), target.view(self.layout.dtype)
        np.take(values, rows, axis=0, out=target, mode="clip")

    @property
    def _stored_bytes(self) -> int:
        return self.layout.chunk_bytes + _CHECKSUM

    def _size(self, shard: int) -> int:
        return self._sizes[self.layout.file(shard)]

    def _damaged(self, shard: int, what: str) -> AtlasError:
        return AtlasError(
            f"{self.storage.where(self.layout.file(shard))} {what}: the shard is damaged. Restore "
            "it from a copy, or delete its file and run the same `peakatlas atlas build` again."
        )


@dataclass(frozen=True)
class _Known:
    """What was learnt of a file."""

    stamp: tuple[int, ...]
    places: NDArray[np.uint64]
    checked: NDArray[np.bool_]


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _sound(data: Bytes) -> bool:
    stored = int.from_bytes(data[-_CHECKSUM:].tobytes(), "little")
    return bool(google_crc32c.value(data[:-_CHECKSUM]) == stored)


def _by_chunk(rows: Rows, chunk_rows: int) -> Iterator[tuple[int, slice]]:
    """Each chunk that holds some of the ascending rows, and which of them."""
    chunks, first = np.unique(rows // chunk_rows, return_index=True)
    stops = [*first[1:].tolist(), len(rows)]
    for chunk, low, high in zip(chunks.tolist(), first.tolist(), stops, strict=True):
        yield chunk, slice(low, high)


def _runs(begins: Sequence[int], length: int) -> list[tuple[int, int]]:
    """Ranges of bytes that hold chunks of one length, neighbours as one range."""
    runs: list[tuple[int, int]] = []
    for begin in sorted(begins):
        if runs and runs[-1][1] == begin:
            runs[-1] = (runs[-1][0], begin + length)
        else:
            runs.append((begin, begin + length))
    return runs


def _cut_runs(
    begins: Sequence[int], length: int, runs: list[tuple[int, int]], fetched: list[Bytes]
) -> list[Bytes]:
    lows = [low for low, _ in runs]
    at = np.searchsorted(lows, begins, side="right") - 1
    return [
        fetched[run][begin - lows[run] : begin - lows[run] + length]
        for run, begin in zip(at.tolist(), begins, strict=True)
    ]
