"""One finished segment, opened for reading: its plan and its columns, each read when asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from peakatlas.atlas.storage.base import read_json
from peakatlas.engine.intervals.table import Intervals

from .columns import Column
from .digests import DIGEST_BYTES
from .float16 import widen
from .schema import INTERVAL_CHUNK_ROWS, INTERVAL_COLUMNS, PLAN_NAME, Plan
from .shard_files import Layout

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from peakatlas.atlas.storage.base import Storage


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
        path = f"{self.name}/{PLAN_NAME}"
        self.plan = Plan.from_json(read_json(storage, path), storage.where(path))
        self.n_rows = self.plan.n_rows
        sizes = {f"{self.name}/{name}": file["bytes"] for name, file in entry["files"].items()}
        self._columns = {
            name: Column(storage, layout, sizes) for name, layout in self._layouts().items()
        }

    def intervals(self) -> Intervals:
        """Interval of each row.

        Raises
        ------
        AtlasError
            If a file is absent or damaged.
        """
        contig, start, end = (self.column(name) for name in INTERVAL_COLUMNS)
        return Intervals(self.plan.contigs, contig, start, end)

    def column(self, name: str, rows: NDArray[np.int64] | None = None) -> NDArray[Any]:
        """Rows of a column as stored, or all of them.

        Raises
        ------
        AtlasError
            If a file is absent or damaged.
        """
        column = self._columns[name]
        return column.read() if rows is None else column.take(rows)

    def gather_into(
        self, out: NDArray[np.float32], at: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> None:
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

    def _layouts(self) -> dict[str, Layout]:
        plan, chunk = self.plan, min(INTERVAL_CHUNK_ROWS, self.plan.n_rows)
        dim, dtypes = plan.spec.dim, ("<i4", "<i8", "<i8")
        row_columns = {
            plan.embedding_column: (plan.dtype, dim, True),
            "digest": ("uint8", DIGEST_BYTES, True),
            "n_fraction": ("<f4", 1, False),
            "state": ("uint8", 1, False),
        }
        layouts = {
            name: self._layout(name, (dtype, 1, False), (chunk, chunk), indexed=False)
            for name, dtype in zip(INTERVAL_COLUMNS, dtypes, strict=True)
        }
        shape = (plan.chunk_rows, plan.shard_rows)
        return layouts | {
            name: self._layout(name, kind, shape, indexed=True)
            for name, kind in row_columns.items()
        }

    def _layout(
        self, name: str, kind: tuple[str, int, bool], shape: tuple[int, int], *, indexed: bool
    ) -> Layout:
        return Layout(
            path=f"{self.name}/{name}",
            n_rows=self.n_rows,
            dtype=np.dtype(kind[0]),
            width=kind[1],
            matrix=kind[2],
            chunk_rows=shape[0],
            shard_rows=shape[1],
            indexed=indexed,
        )
