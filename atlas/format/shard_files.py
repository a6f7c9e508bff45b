"""Rows of one array of a segment, read off its files; every chunk is checked by its `crc32c`.

The format fixes where things are, so that one positioned read gives a chunk: a shard is chunks of
``chunk_rows`` rows, each followed by its checksum, and at the end an index of their places with a
checksum of its own. An array without shards is files of one chunk and no index. A chunk's checksum
is also compared with the one that the manifest lists, if it lists any: a file of another atlas is
sound in itself.

Files are read, not mapped into memory: at bounded memory a map is no faster (its pages have to be
dropped again), and a file that is cut while it is mapped kills the process.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

import google_crc32c
import numpy as np

from peakatlas.engine.errors import AtlasError

from .layout import ABSENT, CHECKSUM_BYTES, INTERVAL_CODEC, ZARR_NAME, Layout
from .unpacking import longest, unpacked

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from peakatlas.atlas.storage.base import Storage

    Bytes: TypeAlias = NDArray[np.uint8]
    Listed: TypeAlias = Mapping[str, Mapping[str, Any]]
    Place: TypeAlias = tuple[int, int]
    Places: TypeAlias = NDArray[np.uint64]
    Rows: TypeAlias = NDArray[np.int64]

_FEW_ROWS = 16
"""Rows of checked chunks are read one by one when a chunk has no more of them than this."""
_SMALL_FILE = 1 << 16
"""Fetch a remote file of so many bytes whole: one request is slower than its bytes."""


class Shards(ABC):
    """The files of one array; safe to share between threads. Use `open`.

    Parameters
    ----------
    storage : Storage
    segment : str
        Name of the segment.
    layout : Layout
    listed : mapping
        What the manifest says of each file, by path below the segment.
    """

    def __init__(self, storage: Storage, segment: str, layout: Layout, listed: Listed) -> None:
        self.storage, self.segment, self.layout, self._listed = storage, segment, layout, listed
        self._sums: dict[int, NDArray[np.uint32] | None] = {}

    @staticmethod
    def open(storage: Storage, segment: str, layout: Layout, listed: Listed) -> Shards:
        """Files of one array, local or remote; nothing is read yet."""
        kind = RemoteShards if storage.local_path() is None else LocalShards
        return kind(storage, segment, layout, listed)

    def path(self, shard: int) -> str:
        """Path of a file below the atlas."""
        return f"{self.segment}/{self.layout.file(shard)}"

    def read(self, shard: int, out: NDArray[Any]) -> None:
        """Set `out` to the first rows of one file.

        Parameters
        ----------
        shard : int
        out : array, C-contiguous, shape (n, width)

        Raises
        ------
        AtlasError
            If the file is absent, cut, or does not fit its checksums.
        """
        raw, step = out.reshape(-1).view(np.uint8), self.layout.chunk_bytes
        with self._named_errors(shard):
            for chunk, data in self._chunks(shard, range(-(-len(raw) // step))):
                target = raw[chunk * step : (chunk + 1) * step]
                target[:] = data[: len(target)]

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
        """
        out = np.empty((len(rows), self.layout.width), self.layout.dtype)
        of_chunk, within = np.divmod(rows, self.layout.chunk_rows)
        first = np.flatnonzero(np.diff(of_chunk, prepend=-1))
        chunks, bounds = of_chunk[first].tolist(), [*first.tolist(), len(rows)]
        with self._named_errors(shard):
            if self._take_few(shard, chunks, rows, out):
                return out
            found = self._chunks(shard, chunks)
            for (_, data), (low, high) in zip(found, pairwise(bounds), strict=True):
                values = data.view(self.layout.dtype).reshape(-1, self.layout.width)
                np.take(values, within[low:high], axis=0, out=out[low:high], mode="clip")
        return out

    @abstractmethod
    def _chunks(self, shard: int, wanted: Sequence[int]) -> Iterator[tuple[int, Bytes]]:
        """Chunks of one file, ascending, checked; each is valid until the next is asked for."""

    def _take_few(self, shard: int, chunks: list[int], rows: Rows, out: NDArray[Any]) -> bool:
        """Set `out` to rows of one file without reading their chunks whole, if that is quicker."""
        return False

    def _places(self, shard: int, index: Bytes) -> Places:
        """First byte and length of each chunk of a file, shape (n_chunks, 2)."""
        if not self.layout.indexed:
            return np.array([[0, self._size(shard)]], np.uint64)
        if not _sound(index):
            raise self._damaged(shard, "has an index that does not fit its checksum")
        return index[:-CHECKSUM_BYTES].view(np.uint64).reshape(-1, 2)

    def _place(self, shard: int, places: Places, chunk: int) -> Place:
        """Where a chunk begins and how long it is, its checksum included."""
        begin, length = places[chunk].tolist()
        if begin == ABSENT:
            raise self._damaged(shard, f"lacks chunk {chunk}")
        whole = self.layout.chunk_bytes + CHECKSUM_BYTES
        plain = self._checksums(shard) is not None and not self.layout.packed
        good = length == whole if plain else CHECKSUM_BYTES <= length <= longest(whole)
        if not good or begin + length > self._size(shard):
            raise self._damaged(shard, f"says that chunk {chunk} has {length} bytes, not {whole}")
        return int(begin), int(length)

    def _checked(self, shard: int, chunk: int, data: Bytes) -> Bytes:
        """A chunk without its checksum, unpacked if it is compressed."""
        listed = self._checksums(shard)
        if not _sound(data):
            raise self._damaged(shard, f"{self._rows_of(shard, chunk)} do not fit their checksum")
        if listed is not None and int(data[-CHECKSUM_BYTES:].view("<u4")[0]) != listed[chunk]:
            raise self._damaged(
                shard,
                f"{self._rows_of(shard, chunk)} are not those that the manifest lists: the file is "
                "of another atlas, or the atlas was replaced while it was open",
            )
        return self._plain(shard, data[:-CHECKSUM_BYTES])

    def _plain(self, shard: int, data: Bytes) -> Bytes:
        if len(data) == self.layout.chunk_bytes and not self.layout.packed:
            return data
        try:
            return unpacked(data, self._codec, self.layout.chunk_bytes)
        except (ValueError, RuntimeError) as error:
            raise self._damaged(shard, f"cannot be unpacked ({error})") from error

    @cached_property
    def _codec(self) -> str:
        if self.layout.packed:
            return INTERVAL_CODEC
        name = f"{self.segment}/{self.layout.name}/{ZARR_NAME}"
        return self.layout.compressor(self.storage.read_bytes(name), self.storage.where(name))

    def _checksums(self, shard: int) -> NDArray[np.uint32] | None:
        """CRC32C of each chunk of a file as the manifest lists them, None if it lists none."""
        if shard not in self._sums:
            text = self._listed[self.layout.file(shard)].get("crc32c")
            self._sums[shard] = None if text is None else np.frombuffer(bytes.fromhex(text), ">u4")
        return self._sums[shard]

    def _rows_of(self, shard: int, chunk: int) -> str:
        first = shard * self.layout.shard_rows + chunk * self.layout.chunk_rows
        return f"rows {first}-{min(first + self.layout.chunk_rows, self.layout.n_rows)}"

    def _size(self, shard: int) -> int:
        return int(self._listed[self.layout.file(shard)]["bytes"])

    def _damaged(self, shard: int, what: str) -> AtlasError:
        return AtlasError(
            f"{self.storage.where(self.path(shard))} {what}: the shard is damaged. Restore "
            f"it from a copy, or run `peakatlas atlas verify {self.storage.name} --repair --genome "
            "GENOME.fa`."
        )

    @contextmanager
    def _named_errors(self, shard: int) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = "no such file" if isinstance(error, FileNotFoundError) else str(error)
            raise self._damaged(shard, f"cannot be read ({reason})") from error


class LocalShards(Shards):
    """Files on this machine; a chunk is checked when it is first read, and again when its file
    has changed since.
    """

    def __init__(self, storage: Storage, segment: str, layout: Layout, listed: Listed) -> None:
        super().__init__(storage, segment, layout, listed)
        self._known: dict[int, _Known] = {}

    def _chunks(self, shard: int, wanted: Sequence[int]) -> Iterator[tuple[int, Bytes]]:
        whole = self.layout.chunk_bytes + CHECKSUM_BYTES
        buffer = np.empty(longest(whole), np.uint8)
        with self._opened(shard) as descriptor:
            known = self._known_of(descriptor, shard)
            for chunk in wanted:
                begin, length = self._place(shard, known.places, chunk)
                data = buffer[:length]
                self._read_at(descriptor, begin, data, shard)
                if known.checked[chunk]:
                    yield chunk, data[:-CHECKSUM_BYTES]
                else:
                    values = self._checked(shard, chunk, data)
                    known.checked[chunk] = length == whole and not self.layout.packed
                    yield chunk, values

    def _take_few(self, shard: int, chunks: list[int], rows: Rows, out: NDArray[Any]) -> bool:
        if len(rows) > _FEW_ROWS * len(chunks):
            return False
        with self._opened(shard) as descriptor:
            known = self._known_of(descriptor, shard)
            if not known.checked[chunks].all():
                return False
            of_chunk, within = np.divmod(rows, self.layout.chunk_rows)
            begins = known.places[of_chunk, 0].astype(np.int64) + within * self.layout.row_bytes
            for begin, target in zip(begins.tolist(), out.view(np.uint8), strict=True):
                self._read_at(descriptor, begin, target, shard)
        return True

    def _known_of(self, descriptor: int, shard: int) -> _Known:
        """Index of a file and which chunks are checked, anew when the file has changed."""
        stat = os.fstat(descriptor)
        stamp = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)
        known = self._known.get(shard)
        if known is None or known.stamp != stamp:
            index = np.empty(self.layout.index_bytes, np.uint8)
            self._read_at(descriptor, self._size(shard) - len(index), index, shard)
            places = self._places(shard, index)
            checked = np.zeros(self.layout.n_chunks, np.bool_)
            # Two threads may do this at once: each goes on with what it has seen itself.
            known = self._known[shard] = _Known(stamp, places, checked)
        return known

    @contextmanager
    def _opened(self, shard: int) -> Iterator[int]:
        path = self.storage.local_path(self.path(shard))
        assert path is not None  # the storage is local
        descriptor = os.open(path, os.O_RDONLY)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _read_at(self, descriptor: int, begin: int, target: Bytes, shard: int) -> None:
        done = 0
        while done < len(target):
            more = os.preadv(descriptor, [target[done:].data], begin + done)
            if not more:
                raise self._damaged(shard, "ends too early")
            done += more


class RemoteShards(Shards):
    """Files behind a URL: the index of a file is fetched once, then each run of chunks at once."""

    def __init__(self, storage: Storage, segment: str, layout: Layout, listed: Listed) -> None:
        super().__init__(storage, segment, layout, listed)
        self._known: dict[int, Places] = {}

    def _chunks(self, shard: int, wanted: Sequence[int]) -> Iterator[tuple[int, Bytes]]:
        for chunk, data in zip(wanted, self._fetch(shard, wanted), strict=True):
            yield chunk, self._checked(shard, chunk, data)

    def _fetch(self, shard: int, wanted: Sequence[int]) -> list[Bytes]:
        size, new = self._size(shard), shard not in self._known
        if new and (size <= _SMALL_FILE or 2 * len(wanted) > self.layout.chunks_of(shard)):
            (whole,) = self._ranges(shard, [(0, size)])
            self._known[shard] = self._places(shard, whole[size - self.layout.index_bytes :])
            runs, fetched = [(0, size)], [whole]
        else:
            if new:
                (index,) = self._ranges(shard, [(size - self.layout.index_bytes, size)])
                self._known[shard] = self._places(shard, index)
            runs = _runs(self._spans(shard, wanted))
            fetched = self._ranges(shard, runs)
        return _cut_runs(self._spans(shard, wanted), runs, fetched)

    def _spans(self, shard: int, wanted: Sequence[int]) -> list[Place]:
        return [self._place(shard, self._known[shard], chunk) for chunk in wanted]

    def _ranges(self, shard: int, ranges: Sequence[tuple[int, int]]) -> list[Bytes]:
        name = self.path(shard)
        found = self.storage.read_ranges([(name, low, high) for low, high in ranges])
        return [np.frombuffer(data, np.uint8) for data in found]


@dataclass(frozen=True)
class _Known:
    """What was learnt of a local file."""

    stamp: tuple[int, ...]
    places: NDArray[np.uint64]
    checked: NDArray[np.bool_]


def _sound(data: Bytes) -> bool:
    stored = int.from_bytes(data[-CHECKSUM_BYTES:].tobytes(), "little")
    return bool(google_crc32c.value(data[:-CHECKSUM_BYTES]) == stored)


def _runs(spans: Sequence[Place]) -> list[tuple[int, int]]:
    """Ranges of bytes that hold chunks, given by first byte and length; neighbours as one range."""
    runs: list[tuple[int, int]] = []
    for begin, length in sorted(spans):
        if runs and runs[-1][1] == begin:
            runs[-1] = (runs[-1][0], begin + length)
        else:
            runs.append((begin, begin + length))
    return runs


def _cut_runs(
    spans: Sequence[Place], runs: list[tuple[int, int]], fetched: list[Bytes]
) -> list[Bytes]:
    lows = [low for low, _ in runs]
    at = np.searchsorted(lows, [begin for begin, _ in spans], side="right") - 1
    return [
        fetched[run][begin - lows[run] : begin - lows[run] + length]
        for run, (begin, length) in zip(at.tolist(), spans, strict=True)
    ]
