"""Carry rows of finished atlases into a new one, shard by shard, with the writer of every atlas."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from peakatlas.atlas.atlas import Atlas
from peakatlas.atlas.build.compatibility import check_same_genome, check_same_spec
from peakatlas.atlas.build.writer import CHUNK_ROWS, AtlasWriter, default_shard_rows
from peakatlas.atlas.format.open_segment import by_segment
from peakatlas.atlas.format.opening import manifest_of, open_segments
from peakatlas.atlas.format.schema import Plan
from peakatlas.atlas.format.segment import make_plan
from peakatlas.atlas.format.seqcol import with_seqcol
from peakatlas.atlas.format.shard_rows import ShardRows
from peakatlas.atlas.storage.urls import open_storage, writable_storage
from peakatlas.engine.errors import AtlasError
from peakatlas.engine.intervals.table import Intervals

from .contig_order import joint_contigs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from peakatlas.atlas.format.int8 import Int8Code
    from peakatlas.atlas.format.open_segment import OpenSegment

_LOCK_NAME = "transfer"


@dataclass(frozen=True, kw_only=True, eq=False)
class Parent:
    """An atlas that rows are taken from."""

    name: str
    """Path or URL."""
    manifest: dict[str, Any]
    """Checked manifest."""
    segments: tuple[OpenSegment, ...]
    """Its segments, in the order of the manifest."""
    intervals: Intervals
    """Interval of each row."""

    @classmethod
    def open(cls, path: str | Path) -> Parent:
        """Open a finished atlas, local or at a URL.

        Raises
        ------
        AtlasError
            If there is none, or it is damaged or newer than this software.
        """
        storage = open_storage(path)
        manifest = manifest_of(storage)
        segments = tuple(open_segments(storage, manifest))
        intervals = Intervals.concatenate([segment.intervals() for segment in segments])
        return cls(name=storage.name, manifest=manifest, segments=segments, intervals=intervals)

    @property
    def int8(self) -> Int8Code | None:
        """The code of its embeddings if all segments have the same one, else None."""
        codes = {segment.plan.int8 for segment in self.segments}
        return codes.pop() if len(codes) == 1 else None

    @property
    def plans(self) -> list[Plan]:
        """Plan of each segment."""
        return [segment.plan for segment in self.segments]

    def described(self) -> dict[str, Any]:
        """What a derived atlas keeps of it: name, rows, and the digest that seals its manifest."""
        return {
            "name": Path(self.name).name,
            "n_rows": len(self.intervals),
            "manifest_sha256": self.manifest["sha256"],
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class Picks:
    """Rows of a new atlas, sorted and without repeats, and where each comes from."""

    intervals: Intervals
    """Interval of each row."""
    row: NDArray[np.int64]
    """Row of all rows of all parents, one after the other, shape (n,)."""


def transfer(
    out: str | Path,
    parents: Sequence[Parent],
    picks: Picks,
    *,
    by: str,
    peaks: dict[str, Any] | None = None,
    int8: Int8Code | None = None,
    progress: Callable[[int], None] | None = None,
) -> Atlas:
    """Write a new atlas of rows of others; the same call again goes on where it stopped.

    About five shards are in memory at a time, beside the intervals.

    Parameters
    ----------
    out : str or Path
        Folder of the new atlas, or its URL in an object store.
    parents : sequence of Parent
        Of one spec and genome.
    picks : Picks
    by : str
        What makes the new atlas: ``merge``, ``subset``, ``quantise``.
    peaks : dict, optional
        Provenance of the interval list.
    int8 : Int8Code, optional
        Stores the embeddings as int8.
    progress : callable, optional
        Called with the number of rows written since its last call, perhaps from another thread.

    Raises
    ------
    AtlasError
        If `out` is something else, a parent is damaged, or the disk refuses.
    SpecMismatchError, GenomeError
        If the parents differ in spec or genome.
    ShardOwnershipError
        If another process is writing `out`.
    """
    storage = writable_storage(out)
    plan = plan_of(parents, picks, by=by, peaks=peaks, int8=int8)
    writer = AtlasWriter.begin(storage, picks.intervals, plan)
    if writer.plan != plan:
        raise AtlasError(f"{storage.name} was begun as something else. Give another output path.")
    with storage.locked(_LOCK_NAME):
        copy_shards(writer, parents, picks, progress or (lambda _: None))
    return Atlas.open(out)


def plan_of(
    parents: Sequence[Parent],
    picks: Picks,
    *,
    by: str,
    peaks: dict[str, Any] | None = None,
    int8: Int8Code | None = None,
) -> Plan:
    """Plan of a segment of rows of other atlases, see `transfer`.

    Raises
    ------
    SpecMismatchError, GenomeError
        If the parents differ in spec or genome.
    """
    derived = {"by": by, "parents": [parent.described() for parent in parents]}
    return make_plan(
        picks.intervals,
        parents[0].segments[0].plan.spec,
        shard_rows=default_shard_rows(len(picks.intervals)),
        chunk_rows=CHUNK_ROWS,
        provenance={
            "genome": joint_genome(parents, picks.intervals.contigs),
            "model": parents[0].segments[0].plan.model,
            "peaks": peaks or {},
            "derived": derived,
        },
        int8=int8,
    )


def joint_genome(parents: Sequence[Parent], contigs: Sequence[str]) -> dict[str, Any]:
    """Provenance of the genome of all parents, for these contigs.

    Raises
    ------
    SpecMismatchError, GenomeError
        If the parents differ in spec or genome.
    """
    spec = parents[0].segments[0].plan.spec
    genomes = [plan.genome for parent in parents for plan in parent.plans]
    known: dict[str, Any] = {}
    for parent in parents:
        check_same_spec(spec, parent.segments[0].plan.spec, parents[0].name)
        for plan in parent.plans:
            ours = {"name": genomes[0].get("name"), "contigs": known}
            check_same_genome(ours, plan.genome, parents[0].name)
            known |= plan.genome.get("contigs", {})
    names = dict.fromkeys(str(genome["name"]) for genome in genomes if "name" in genome)
    described: dict[str, Any] = {
        "name": ", ".join(names),
        "kind": genomes[0].get("kind", "genome"),
        "contigs": {name: known[name] for name in contigs if name in known},
    }
    records = {genome.get("records_sha256") for genome in genomes}
    if len(records) == 1 and None not in records:
        described["records_sha256"] = records.pop()
    return with_seqcol(described)


def in_genome_order(parents: Sequence[Parent]) -> tuple[Intervals, NDArray[np.int64]]:
    """All rows of all parents, one after the other, and their stable order in the genome.

    Returns
    -------
    Intervals
        n rows, over contigs in an order that agrees with every parent's where they agree.
    int64, shape (n,)
    """
    contigs = joint_contigs([plan.contigs for parent in parents for plan in parent.plans])
    table = Intervals.concatenate([parent.intervals for parent in parents]).recoded(contigs)
    return table, table.genome_order()


def picked(table: Intervals, rows: NDArray[np.int64]) -> Picks:
    """Picks from rows of the table of `in_genome_order`, given in that order."""
    chosen = table.take(rows)
    used = np.zeros(len(table.contigs), np.bool_)
    used[chosen.contig_ids] = True
    names = [name for name, is_used in zip(table.contigs, used, strict=True) if is_used]
    return Picks(intervals=chosen.recoded(names), row=rows)


def copy_shards(
    writer: AtlasWriter,
    parents: Sequence[Parent],
    picks: Picks,
    progress: Callable[[int], None],
) -> None:
    """Write the shards that are missing of a segment of these rows, and list it.

    Raises
    ------
    AtlasError
        If a parent is damaged, or the disk refuses.
    """
    missing = writer.segment.missing_shards()
    progress(writer.plan.n_rows - sum(_n_rows(writer, shard) for shard in missing))

    def rows_of(shard: int) -> ShardRows:
        rows = _as_stored(parents, picks.row[writer.shard_rows_of(shard)])
        progress(_n_rows(writer, shard))
        return rows

    writer.write_shards(missing, rows_of)
    writer.finalise()


def column_of(parents: Sequence[Parent], name: str, rows: NDArray[np.int64]) -> NDArray[Any]:
    """A column of rows of all parents, one after the other, in the order given.

    Raises
    ------
    AtlasError
        If a file is absent or damaged.
    """
    return _gathered(parents, rows, lambda segment, inside: segment.column(name, inside))


def _as_stored(parents: Sequence[Parent], rows: NDArray[np.int64]) -> ShardRows:
    """Rows as they are stored; float32 where segments store embeddings differently."""
    mixed = len({plan.int8 for parent in parents for plan in parent.plans}) > 1

    def embeddings(segment: OpenSegment, inside: NDArray[np.int64]) -> NDArray[Any]:
        stored = segment.column(segment.plan.embedding_column, inside)
        return segment.plan.decode(stored) if mixed else stored

    return ShardRows(
        values=_gathered(parents, rows, embeddings),
        digests=column_of(parents, "digest", rows),
        n_fraction=column_of(parents, "n_fraction", rows),
        state=column_of(parents, "state", rows),
    )


def _gathered(
    parents: Sequence[Parent],
    rows: NDArray[np.int64],
    read: Callable[[OpenSegment, NDArray[np.int64]], NDArray[Any]],
) -> NDArray[Any]:
    """What `read` gives of the rows of each segment, in the order of `rows`."""
    segments = [segment for parent in parents for segment in parent.segments]
    parts = [(at, read(segment, inside)) for segment, at, inside in by_segment(segments, rows)]
    if len(parts) == 1:
        return parts[0][1]
    order = np.argsort(np.concatenate([at for at, _ in parts]))
    joined: NDArray[Any] = np.concatenate([values for _, values in parts])[order]
    return joined


def _n_rows(writer: AtlasWriter, shard: int) -> int:
    at = writer.shard_rows_of(shard)
    return int(at.stop - at.start)
