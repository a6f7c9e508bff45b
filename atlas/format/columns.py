"""One array of a segment by row: whole, or gathered, file by file on several threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np

from peakatlas.engine.run.cores import usable_cores

from .shard_files import Shards

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from peakatlas.atlas.storage.base import Storage

    from .layout import Layout
    from .shard_files import Listed

    Decoder: TypeAlias = Callable[[NDArray[Any], NDArray[np.float32]], None]
    Rows: TypeAlias = NDArray[np.int64]
    T = TypeVar("T")

BYTES_AT_ONCE = 1 << 23
"""Bytes that one thread takes from one file at a time: 8192 rows of 512 float16."""
_REMOTE_FILES = 8
"""Remote files read at a time."""
_FEW_ROWS = 1 << 13
"""Threads take longer to start than so many local rows to read."""
_DECODED_AT_ONCE = 1 << 8
"""Rows decoded at a time, so that they stay in the cache of the core."""


class Column:
    """One array of a segment; safe to share between threads.

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
        self.layout = layout
        self._storage = storage
        self._shards = Shards.open(storage, segment, layout, listed)

    def read(self) -> NDArray[Any]:
        """All rows.

        Returns
        -------
        array, shape (n_rows,) or (n_rows, width)

        Raises
        ------
        AtlasError
            If a file is absent or damaged.
        """
        out = np.empty((self.layout.n_rows, self.layout.width), self.layout.dtype)
        step = self.layout.shard_rows

        def work(shard: int) -> None:
            self._shards.read(shard, out[shard * step : (shard + 1) * step])

        self._each(work, range(-(-len(out) // step)))
        return out if self.layout.matrix else out[:, 0]

    def take(self, rows: Rows) -> NDArray[Any]:
        """Rows as they are stored.

        Parameters
        ----------
        rows : int64, shape (n,)
            In any order; repeats are fine.

        Returns
        -------
        array, shape (n,) or (n, width)

        Raises
        ------
        AtlasError
            If a file is absent or damaged.
        """
        out = np.empty((len(rows), self.layout.width), self.layout.dtype)

        def put(at: Rows | slice, values: NDArray[Any]) -> None:
            out[at] = values

        self._each_part(rows, put)
        return out if self.layout.matrix else out[:, 0]

    def gather_into(self, out: NDArray[np.float32], at: Rows, rows: Rows, decode: Decoder) -> None:
        """Set ``out[at]`` to `rows`, decoded.

        Parameters
        ----------
        out : float32, shape (m, width)
        at, rows : int64, shape (n,)
        decode : callable
            Turns rows as stored into float32; called as ``decode(stored, target)``.

        Raises
        ------
        AtlasError
            If a file is absent or damaged.
        """

        def put(part: Rows | slice, values: NDArray[Any]) -> None:
            where = at[part]
            if bool((np.diff(where) == 1).all()):
                decode(values, out[int(where[0]) : int(where[0]) + len(where)])
                return
            for low in range(0, len(where), _DECODED_AT_ONCE):
                block = values[low : low + _DECODED_AT_ONCE]
                target = np.empty(block.shape, np.float32)
                decode(block, target)
                out[where[low : low + len(block)]] = target

        self._each_part(rows, put)

    def _each_part(self, rows: Rows, put: Callable[[Rows | slice, NDArray[Any]], None]) -> None:
        """Call ``put(part, values)`` for parts of `rows` that lie in one file each."""
        ascending = bool((np.diff(rows) >= 0).all())
        order = None if ascending else np.argsort(rows, kind="stable")
        ranked = rows if order is None else rows[order]
        most = max(1, BYTES_AT_ONCE // self.layout.row_bytes)
        parts = _parts(ranked, self.layout.shard_rows, most)

        def work(part: slice) -> None:
            values = self._take_part(ranked[part])
            put(part if order is None else order[part], values)

        self._each(work, parts, few=len(rows) < _FEW_ROWS)

    def _each(self, work: Callable[[T], None], parts: Sequence[T], *, few: bool = False) -> None:
        """Call `work` for each part, on several threads unless the parts are short."""
        local = self._storage.local_path() is not None
        n_threads = (
            1 if few and local else min(len(parts), usable_cores() if local else _REMOTE_FILES)
        )
        if n_threads < 2:
            for part in parts:
                work(part)
            return
        with ThreadPoolExecutor(n_threads) as pool:
            for _ in pool.map(work, parts):
                pass

    def _take_part(self, rows: Rows) -> NDArray[Any]:
        shard = int(rows[0]) // self.layout.shard_rows
        return self._shards.take(shard, rows - shard * self.layout.shard_rows)


def _parts(rows: Rows, shard_rows: int, most: int) -> list[slice]:
    """Parts of ascending rows: each in one file, and at most so many rows."""
    if not len(rows):
        return []
    borders = np.flatnonzero(np.diff(rows // shard_rows)) + 1
    bounds = [0, *borders.tolist(), len(rows)]
    return [
        slice(low, min(low + most, stop))
        for first, stop in pairwise(bounds)
        for low in range(first, stop, most)
    ]
