"""The table of genomic intervals that every room passes around."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .errors import IntervalError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, eq=False)
class Intervals:
    """Genomic intervals, 0-based half-open, in a fixed order.

    Parameters
    ----------
    contigs : tuple of str
        Distinct contig names.
    contig_ids : int32, shape (n,)
        Index into `contigs` of each interval.
    start, end : int64, shape (n,)
        Bounds in bp, ``0 <= start < end``.

    Raises
    ------
    IntervalError
        If the columns differ in length or a row breaks ``0 <= start < end``.

    Examples
    --------
    >>> peaks = Intervals.from_columns(["chr1", "chr2"], [100, 5], [600, 25])
    >>> peaks.names()
    ['chr1:100-600', 'chr2:5-25']
    """

    contigs: tuple[str, ...]
    contig_ids: NDArray[np.int32]
    start: NDArray[np.int64]
    end: NDArray[np.int64]

    def __post_init__(self) -> None:
        object.__setattr__(self, "contigs", tuple(self.contigs))
        object.__setattr__(self, "contig_ids", np.ascontiguousarray(self.contig_ids, np.int32))
        object.__setattr__(self, "start", np.ascontiguousarray(self.start, np.int64))
        object.__setattr__(self, "end", np.ascontiguousarray(self.end, np.int64))
        if not len(self.contig_ids) == len(self.start) == len(self.end):
            raise IntervalError(
                f"columns differ in length: chrom {len(self.contig_ids)}, "
                f"start {len(self.start)}, end {len(self.end)}"
            )
        bad = np.flatnonzero((self.start < 0) | (self.start >= self.end))
        if len(bad):
            shown = ", ".join(f"row {i} ({self._name(i)})" for i in bad[:5])
            raise IntervalError(
                f"{len(bad)} interval(s) break 0 <= start < end: {shown}. "
                "Coordinates are 0-based half-open; fix or remove these rows."
            )

    @classmethod
    def from_columns(cls, chrom: Sequence[str], start: ArrayLike, end: ArrayLike) -> Intervals:
        """Build from three columns; contigs are listed in order of first appearance.

        Parameters
        ----------
        chrom : sequence of str, length n
        start, end : int, shape (n,)
            Bounds in bp.

        Raises
        ------
        IntervalError
            If a row breaks ``0 <= start < end``.
        """
        codes, names = pd.factorize(np.asarray(chrom, dtype=object))
        return cls(
            tuple(str(name) for name in names),
            codes.astype(np.int32),
            np.asarray(start, np.int64),
            np.asarray(end, np.int64),
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Intervals]) -> Intervals:
        """Put several tables one after the other, over one list of contigs."""
        contigs = tuple(dict.fromkeys(name for part in parts for name in part.contigs))
        recoded = [part.recoded(contigs) for part in parts]
        return cls(
            contigs,
            np.concatenate([np.empty(0, np.int32), *(part.contig_ids for part in recoded)]),
            np.concatenate([np.empty(0, np.int64), *(part.start for part in recoded)]),
            np.concatenate([np.empty(0, np.int64), *(part.end for part in recoded)]),
        )

    def __len__(self) -> int:
        return len(self.start)

    def __eq__(self, other: object) -> bool:
        """Whether both hold the same intervals in the same order, however contigs are coded."""
        if not isinstance(other, Intervals):
            return NotImplemented
        return (
            np.array_equal(self.start, other.start)
            and np.array_equal(self.end, other.end)
            and np.array_equal(self.chrom, other.chrom)
        )

    __hash__ = None  # type: ignore[assignment]

    @property
    def chrom(self) -> NDArray[np.object_]:
        """Contig name of each interval, shape (n,)."""
        return np.asarray(self.contigs, dtype=object)[self.contig_ids]

    @property
    def widths(self) -> NDArray[np.int64]:
        """Width of each interval in bp, shape (n,)."""
        return self.end - self.start

    @property
    def centres(self) -> NDArray[np.int64]:
        """Centre of each interval in bp, rounded down, shape (n,)."""
        return (self.start + self.end) // 2

    def take(self, rows: ArrayLike) -> Intervals:
        """Rows by integer index or boolean mask, in the order given."""
        index = np.asarray(rows)
        if index.dtype != np.bool_:
            index = index.astype(np.int64)
        return Intervals(self.contigs, self.contig_ids[index], self.start[index], self.end[index])

    def recoded(self, contigs: Sequence[str]) -> Intervals:
        """The same intervals over another list of contigs.

        Raises
        ------
        IntervalError
            If a contig in use is not in the new list.
        """
        position = {name: i for i, name in enumerate(contigs)}
        table = np.array([position.get(name, -1) for name in self.contigs], np.int32)
        ids = table[self.contig_ids] if len(self) else self.contig_ids
        if len(ids) and ids.min() < 0:
            absent = sorted({self.contigs[i] for i in self.contig_ids[ids < 0]})
            raise IntervalError(f"contigs {absent[:5]} are not among {list(contigs)[:5]}")
        return Intervals(tuple(contigs), ids, self.start, self.end)

    def genome_order(self) -> NDArray[np.int64]:
        """Stable order by contig (as listed), start, end; shape (n,)."""
        return np.lexsort((self.end, self.start, self.contig_ids))

    def duplicated(self) -> NDArray[np.bool_]:
        """Which rows repeat an earlier row exactly, shape (n,)."""
        return self.to_frame().duplicated().to_numpy()

    def names(self) -> list[str]:
        """``chrom:start-end`` of each interval."""
        return [self._name(i) for i in range(len(self))]

    def to_frame(self) -> pd.DataFrame:
        """Columns ``chrom`` (str), ``start``, ``end`` (int64), one row an interval."""
        return pd.DataFrame({"chrom": self.chrom, "start": self.start, "end": self.end})

    def _name(self, row: int) -> str:
        return f"{self.contigs[self.contig_ids[row]]}:{self.start[row]}-{self.end[row]}"
