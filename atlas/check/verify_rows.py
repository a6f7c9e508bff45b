"""Checks of the rows of an atlas: what the arrays hold, once their files are known to be whole."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from peakatlas.atlas.format.digests import intervals_digest, known_sequences
from peakatlas.atlas.format.interval_runs import contig_rows_of, runs_of
from peakatlas.atlas.format.layout import INTERVAL_COLUMNS, ZARR_NAME
from peakatlas.atlas.format.ordering import unlike_previous
from peakatlas.atlas.format.row_states import wrong_rows
from peakatlas.atlas.format.schema import EMBEDDED, MASKED, SHOWN, Plan
from peakatlas.engine.dna.windows import window_digests
from peakatlas.engine.errors import AtlasError, PeakAtlasError
from peakatlas.engine.intervals.table import Intervals
from peakatlas.engine.spec import UNKNOWN_WINDOW

from .faults import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import zarr
    from numpy.typing import NDArray

    from peakatlas.atlas.storage.base import Storage
    from peakatlas.engine.dna.genome import SequenceSource


class SegmentRows:
    """The arrays of one segment as they are stored, decoded by Zarr.

    Reading decodes shards by code of its own; here nothing is taken from it, so that what verifies
    an atlas does not share its mistakes.

    Parameters
    ----------
    storage : Storage
    name : str
        ``segment-NNNN``.
    plan : Plan
    progress : callable, optional
        Called with the number of bytes of each array that was read.
    """

    def __init__(
        self,
        storage: Storage,
        name: str,
        plan: Plan,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        self.name, self.plan = name, plan
        self._progress = progress or (lambda _: None)
        self._storage, self._where = storage, storage.where(name)
        self._store = storage.zarr_store(name)
        self._opened: dict[str, zarr.Array[Any]] = {}

    def read(self, column: str, rows: slice | None = None) -> NDArray[Any]:
        """Rows of a column as stored, all when none are given.

        Raises
        ------
        AtlasError
            If the shard is damaged, or the array is not laid out as planned.
        """
        wanted = rows or slice(0, self.plan.n_rows)
        try:
            if column not in self._opened:
                self._opened[column] = self._open(column)
            values = np.asarray(self._opened[column][wanted])
        except AtlasError:
            raise
        except (ValueError, RuntimeError, OSError, KeyError) as error:
            raise AtlasError(
                f"{self._where}/{column} rows {wanted.start}-{wanted.stop} cannot be read "
                f"({error}): the atlas is damaged. `peakatlas atlas verify --deep` says what is "
                "wrong, and what to do about it."
            ) from error
        self._progress(values.nbytes)
        return values

    def _open(self, column: str) -> zarr.Array[Any]:
        metadata = self._storage.read_bytes(f"{self.name}/{column}/{ZARR_NAME}")
        return self.plan.layouts[column].open(self._store, metadata, f"{self._where}/{column}")

    @cached_property
    def intervals(self) -> Intervals:
        """Interval of each row; read once.

        Raises
        ------
        AtlasError
            If they cannot be read.
        IntervalError
            If one breaks ``0 <= start < end``.
        """
        contig, start, end = (self.read(name) for name in INTERVAL_COLUMNS)
        return Intervals(self.plan.contigs, contig, start, end)


def check_rows(rows: SegmentRows, *, deep: bool) -> Iterator[Fault]:
    """Check intervals and states of a segment; deep, every value of every column."""
    what = _intervals_fault(rows)
    if what:
        yield Fault(file=f"{rows.name}/intervals", what=what, kind="rows")
    for shard in range(rows.plan.n_shards):
        yield from _shard_faults(rows, shard) if deep else _state_faults(rows, shard)


def check_repeats(tables: Sequence[tuple[str, Intervals]]) -> Iterator[Fault]:
    """Look for intervals that two segments hold; within one they are known not to repeat."""
    if len(tables) < 2:
        return
    repeated = np.flatnonzero(Intervals.concatenate([table for _, table in tables]).duplicated())
    firsts = np.cumsum([0, *(len(table) for _, table in tables)])
    for (name, table), first in zip(tables, firsts, strict=False):
        inside = repeated[(repeated >= first) & (repeated < first + len(table))] - first
        if len(inside):
            shown = ", ".join(table.take(inside[:SHOWN]).names())
            what = f"repeats {len(inside)} interval(s) of earlier segments ({shown})"
            yield Fault(file=f"{name}/intervals", what=what, kind="rows")


def check_sequences(rows: SegmentRows, source: SequenceSource) -> Iterator[Fault]:
    """Compare the sequence digest of every row with the DNA of its interval."""
    if rows.plan.spec.window == UNKNOWN_WINDOW:
        return
    try:
        wanted = window_digests(rows.intervals, source, rows.plan.spec.window)
    except PeakAtlasError as error:
        yield Fault(file=f"{rows.name}/intervals", what=f"does not fit {error}", kind="genome")
        return
    for shard in range(rows.plan.n_shards):
        at = rows.plan.shard_slice(shard)
        held = rows.read("digest", at)
        other = (held != wanted[at]).any(axis=1) & known_sequences(held)
        differ = np.flatnonzero(other) + at.start
        if len(differ):
            names = ", ".join(rows.intervals.take(differ[:SHOWN]).names())
            what = (
                f"{len(differ)} row(s) hold another sequence than {source.path} has there ({names})"
            )
            file = f"{rows.name}/{rows.plan.shard_files(shard)['digest']}"
            yield Fault(file=file, what=what, kind="genome")


def _intervals_fault(rows: SegmentRows) -> str:
    """In what the intervals are not those of the plan; empty if they are."""
    try:
        return _order_fault(rows.intervals, rows.plan) or _runs_fault(rows.intervals, rows.plan)
    except (PeakAtlasError, IndexError) as error:
        return str(error)


def _order_fault(intervals: Intervals, plan: Plan) -> str:
    if intervals_digest(intervals) != plan.intervals_digest:
        return "holds other intervals than the plan's intervals_digest says"
    if not np.array_equal(intervals.genome_order(), np.arange(len(intervals))):
        return "is not in order of contig, start, end"
    repeated = np.flatnonzero(~unlike_previous(intervals))
    if len(repeated):
        shown = ", ".join(intervals.take(repeated[:SHOWN]).names())
        return f"repeats {len(repeated)} interval(s) ({shown})"
    known = plan.genome.get("contigs", {})
    sizes = np.array([known.get(c, {}).get("bp", 2**62) for c in plan.contigs], np.int64)
    past = np.flatnonzero(intervals.end > sizes[intervals.contig_ids])
    if len(past):
        shown = ", ".join(intervals.take(past[:SHOWN]).names())
        return f"{len(past)} interval(s) end past their contig ({shown})"
    return ""


def _runs_fault(intervals: Intervals, plan: Plan) -> str:
    if not plan.lists_checksums:
        return ""
    chunk_rows = plan.layouts[INTERVAL_COLUMNS[0]].chunk_rows
    held = tuple(contig_rows_of(intervals).tolist()), tuple(runs_of(intervals, chunk_rows))
    if held != (plan.contig_rows, plan.interval_runs):
        return "holds other intervals than the plan's contig_rows and interval_runs say"
    return ""


def _state_faults(rows: SegmentRows, shard: int) -> Iterator[Fault]:
    at = rows.plan.shard_slice(shard)
    file = f"{rows.name}/{rows.plan.shard_files(shard)['state']}"
    try:
        state = rows.read("state", at)
    except PeakAtlasError as error:
        yield Fault(file=file, what=str(error), kind="shard")
        return
    wrong = np.flatnonzero(~np.isin(state, (EMBEDDED, MASKED)))
    if len(wrong):
        what = f"{len(wrong)} row(s) are neither embedded nor masked ({_shown(wrong + at.start)})"
        yield Fault(file=file, what=what, kind="shard")


def _shard_faults(rows: SegmentRows, shard: int) -> Iterator[Fault]:
    names, at = rows.plan.shard_files(shard), rows.plan.shard_slice(shard)
    embedding = f"{rows.name}/{names[rows.plan.embedding_column]}"
    try:
        columns = {name: rows.read(name, at) for name in names}
    except PeakAtlasError as error:
        yield Fault(file=embedding, what=str(error), kind="shard")
        return
    wrong = wrong_rows(columns[rows.plan.embedding_column], columns["state"])
    if len(wrong):
        what = f"{len(wrong)} row(s) do not fit their state ({_shown(wrong + at.start)})"
        yield Fault(file=embedding, what=what, kind="shard")
    share, known = columns["n_fraction"], known_sequences(columns["digest"])
    outside = np.flatnonzero(np.where(known, ~((share >= 0) & (share <= 1)), ~np.isnan(share)))
    if len(outside):
        what = f"{len(outside)} row(s) are not from 0 to 1 ({_shown(outside + at.start)})"
        yield Fault(file=f"{rows.name}/{names['n_fraction']}", what=what, kind="shard")


def _shown(rows: NDArray[np.int64]) -> str:
    return "rows " + ", ".join(map(str, rows[:SHOWN]))
