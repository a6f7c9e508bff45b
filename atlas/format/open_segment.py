"""One finished segment, opened for reading: its plan and its columns, each read when asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from peakatlas.engine.errors import AtlasError
from peakatlas.engine.intervals.table import Intervals

from .columns import Column
from .float16 import widen
from .interval_runs import chunks_near
from .layout import INTERVAL_COLUMNS
from .schema import PLAN_NAME, read_plan

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from peakatlas.atlas.storage.base import Storage

    Rows = NDArray[np.int64]


class OpenSegment:
    """The columns of one finished segment; safe to share between threads.

    Parameters
    ----------
    storage : Storage
        Of the atlas.
    entry : mapping
        What the manifest says of the segment.

    Raises
    ------
    AtlasError
        If its plan is damaged or of a newer version.
    FileNotFoundError
        If its plan is absent.
    """

    def __init__(self, storage: Storage, entry: Mapping[str, Any]) -> None:
        self.name = str(entry["name"])
        self._where = storage.where(self.name)
        path = f"{self.name}/{PLAN_NAME}"
        self.plan = read_plan(storage.read_bytes(path), entry, storage.where(path))
        self.n_rows = self.plan.n_rows
        self._columns = {
            name: Column(storage, self.name, layout, entry["files"])
            for name, layout in self.plan.layouts.items()
        }

    def intervals(self) -> Intervals:
        """Interval of each row.

        Raises
        ------
        AtlasError
            If a file is absent or damaged.
        """
        if self.plan.lists_checksums:
            return self.intervals_of(None)
        contig, start, end = (self.column(name) for name in INTERVAL_COLUMNS)
        if not 0 <= int(contig.min()) <= int(contig.max()) < len(self.plan.contigs):
            raise AtlasError(
                f"{self._where}/intervals names contigs {contig.min()} to {contig.max()}, and its "
                f"plan lists {len(self.plan.contigs)}: the atlas is damaged."
            )
        return Intervals(self.plan.contigs, contig, start, end)

    def rows_near(self, peaks: Intervals) -> Rows:
        """Rows among which are all that overlap a peak, ascending: those of whole chunks."""
        if not self.plan.lists_checksums:
            return np.arange(self.n_rows)
        step = self.plan.layouts[INTERVAL_COLUMNS[0]].chunk_rows
        first = chunks_near(self.plan, peaks) * step
        rows = (first[:, None] + np.arange(step)).reshape(-1)
        return rows[rows < self.n_rows]

    def intervals_of(self, rows: Rows | None) -> Intervals:
        """Intervals of rows in any order, or of all; contigs follow from the plan.

        Raises
        ------
        AtlasError
            If a file is absent or damaged.
        """
        if not self.plan.lists_checksums:
            every = self.intervals()
            return every if rows is None else every.take(rows)
        counts = np.diff(self.plan.contig_rows)
        contig = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
        start, end = (self.column(name, rows) for name in INTERVAL_COLUMNS[1:])
        return Intervals(self.plan.contigs, contig if rows is None else contig[rows], start, end)

    def column(self, name: str, rows: Rows | None = None) -> NDArray[Any]:
        """Rows of a column as stored, or all of them.

        Raises
        ------
        AtlasError
            If a file is absent or damaged.
        """
        column = self._columns[name]
        return column.read() if rows is None else column.take(rows)

    def gather_into(self, out: NDArray[np.float32], at: Rows, rows: Rows) -> None:
        """Set ``out[at]`` to the embeddings of `rows`, NaN for masked rows.

        Raises
        ------
        AtlasError
            If a file is absent or damaged.
        """
        self._columns[self.plan.embedding_column].gather_into(out, at, rows, self._decode)

    def _decode(self, stored: NDArray[Any], target: NDArray[np.float32]) -> None:
        if self.plan.int8 is None:
            widen(stored, target)
        else:
            target[:] = self.plan.decode(stored)


def by_segment(
    segments: Sequence[OpenSegment], rows: Rows
) -> Iterator[tuple[OpenSegment, Rows, Rows]]:
    """Each segment, the places of its rows among these, and their rows within it.

    Parameters
    ----------
    segments : sequence of OpenSegment
        Their rows follow each other.
    rows : int64, shape (n,)
        In any order, none of them outside.
    """
    firsts = np.cumsum([0, *(segment.n_rows for segment in segments)])
    owner = np.searchsorted(firsts, rows, side="right") - 1
    for number, segment in enumerate(segments):
        at = np.flatnonzero(owner == number)
        yield segment, at, rows[at] - firsts[number]
