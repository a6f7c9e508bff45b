"""Write a segment of an atlas shard by shard; a crash costs at most the shard in hand.

``create → write_shard(i) … → finalise``. Each shard is encoded whole in memory, written aside,
flushed and renamed; only then does its log entry appear, and only the log entry makes it count.
`finalise` lists every file with its digest in the manifest, which is what makes rows visible.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from peakatlas.atlas.format.digests import intervals_digest
from peakatlas.atlas.format.schema import LOG_FOLDER, MANIFEST_NAME, PLAN_NAME
from peakatlas.atlas.format.segment import (
    Segment,
    begun_segments,
    first_segment,
    lay_out,
    list_segment,
    make_plan,
    read_manifest,
)
from peakatlas.atlas.format.segment_names import next_segment
from peakatlas.atlas.format.shard_encoding import EncodedShard, encode_shard, put_shard
from peakatlas.atlas.format.shard_lists import shown_shards
from peakatlas.atlas.format.shard_rows import ShardRows, stored_columns
from peakatlas.atlas.storage import atomic as files
from peakatlas.atlas.storage.urls import writable_storage
from peakatlas.engine.errors import AtlasError, GenomeError, ShardOwnershipError
from peakatlas.engine.run.pipeline import run_pipeline

from .compatibility import check_same_genome, check_same_spec
from .places import refuse_foreign, refuse_links

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import ArrayLike

    from peakatlas.atlas.format.schema import Plan
    from peakatlas.atlas.format.segment import Place
    from peakatlas.engine.intervals.table import Intervals
    from peakatlas.engine.spec import EmbeddingSpec

SHARD_ROWS = 16_384
CHUNK_ROWS = 1_024
SHARDS_WANTED = 16
"""A small atlas gets smaller shards, so that a crash costs a share of the work, not all of it."""
LOCK_NAME = "atlas"
"""Lock under which segments are laid out and appended."""


class AtlasWriter:
    """Writer of one segment of an atlas; make one with `create` or `open`.

    Parameters
    ----------
    segment : Segment
        Segment that was laid out.
    rank, world_size : int
        Of several writers, which one this is: it owns the shards ``rank, rank + world_size, …``.
    """

    def __init__(self, segment: Segment, *, rank: int = 0, world_size: int = 1) -> None:
        self.segment, self.storage, self.plan = segment, segment.storage, segment.plan
        self.rank, self.world_size = rank, world_size
        self.made_with: dict[str, str] = {}
        """Versions and devices that go into the manifest beside those of this software."""

    @classmethod
    def create(
        cls,
        path: str | Place,
        intervals: Intervals,
        spec: EmbeddingSpec,
        *,
        genome: Mapping[str, Any],
        model: Mapping[str, Any],
        peaks: Mapping[str, Any] | None = None,
        shard_rows: int = SHARD_ROWS,
    ) -> AtlasWriter:
        """Begin an atlas, or go on with the same one.

        Parameters
        ----------
        path : str, Path or WritableStorage
            Folder of the atlas, or its URL; made if missing.
        intervals : Intervals
            Rows of the atlas, in genome order (contigs as listed), without duplicates.
        spec : EmbeddingSpec
            Identity of the embeddings.
        genome, model, peaks : mapping
            Provenance, kept as JSON. ``genome["contigs"]`` is part of the atlas's identity.
        shard_rows : int
            Rows of a shard; chunks within it have `CHUNK_ROWS`, or as many if that is fewer. An
            atlas already begun keeps its own.

        Returns
        -------
        AtlasWriter

        Raises
        ------
        AtlasError
            If the rows are unsorted, repeated or none; if `path` holds something else, or an atlas
            begun with other intervals.
        SpecMismatchError
            If it holds an atlas of another spec.
        GenomeError
            If it holds an atlas of another genome build.
        """
        provenance = {"genome": genome, "model": model, "peaks": peaks or {}}
        plan = make_plan(
            intervals, spec, shard_rows=shard_rows, chunk_rows=CHUNK_ROWS, provenance=provenance
        )
        return cls.begin(writable_storage(path), intervals, plan)

    @classmethod
    def begin(cls, root: Place, intervals: Intervals, plan: Plan) -> AtlasWriter:
        """Begin an atlas as planned, or go on with the same one.

        Parameters
        ----------
        root : Path or WritableStorage
            Folder of the atlas; made if missing.
        intervals : Intervals
            Rows of the plan.
        plan : Plan

        Raises
        ------
        AtlasError, SpecMismatchError, GenomeError
            As `create`.
        """
        storage = writable_storage(root)
        refuse_foreign(storage)
        refuse_links(storage)
        with storage.locked(LOCK_NAME, wait=True):
            name = first_segment(storage)
            begun = storage.exists(f"{name}/{PLAN_NAME}")
            if not begun:
                lay_out(storage, name, intervals, plan)
        writer = cls(Segment(storage, name))
        if begun:
            writer.check_fits(plan.spec, intervals)
            check_same_source(writer.plan, plan.genome, storage.name)
        return writer

    @classmethod
    def open(cls, path: str | Path, *, rank: int = 0, world_size: int = 1) -> AtlasWriter:
        """Join the writing of the newest segment of an atlas already begun.

        Raises
        ------
        AtlasError
            If there is no atlas at `path`.
        """
        storage = writable_storage(path)
        refuse_links(storage)
        begun = begun_segments(storage)
        if not begun:
            raise AtlasError(f"{storage.name} is not an atlas that was begun; build it first.")
        return cls(Segment(storage, begun[-1]), rank=rank, world_size=world_size)

    @property
    def n_shards(self) -> int:
        """Shards in the segment."""
        return self.plan.n_shards

    def shard_rows_of(self, shard: int) -> slice:
        """Rows of a shard within the segment."""
        return self.plan.shard_slice(shard)

    def owned_shards(self) -> range:
        """Shards that this writer may write."""
        return range(self.rank, self.n_shards, self.world_size)

    @contextmanager
    def claim(self, shard: int) -> Iterator[None]:
        """Hold a shard from before it is computed until it is written.

        The system drops the claim when the process dies, so that another one can take it up.

        Raises
        ------
        ShardOwnershipError
            If another process holds it.
        AtlasError
            If the disk refuses.
        """
        with self.storage.locked(claim_name(self.segment, shard)):
            yield

    def done_shards(self) -> list[int]:
        """Shards with a log entry whose files have the size that was logged, ascending."""
        return [shard for shard in range(self.n_shards) if self.segment.is_done(shard)]

    def is_finished(self) -> bool:
        """Whether the manifest lists the segment."""
        if not self.storage.exists(MANIFEST_NAME):
            return False
        return self.segment.name in [s["name"] for s in read_manifest(self.storage)["segments"]]

    def check_fits(self, spec: EmbeddingSpec, intervals: Intervals) -> None:
        """Refuse to go on with an atlas that was begun as something else.

        Raises
        ------
        SpecMismatchError
            If the specs differ; names the fields.
        AtlasError
            If the intervals differ.
        """
        check_same_spec(self.plan.spec, spec, self.storage.name)
        if self.plan.intervals_digest != intervals_digest(intervals):
            raise AtlasError(
                f"{self.storage.name} was begun with other intervals ({self.plan.n_rows} rows; "
                f"this run has {len(intervals)}). Give the same peaks, or another output path."
            )

    def check_shards(self, shards: Sequence[int]) -> None:
        """Refuse shards that are not of the segment, or none.

        Raises
        ------
        AtlasError
            Names them.
        """
        outside = sorted(shard for shard in set(shards) if not 0 <= shard < self.n_shards)
        if outside or not shards:
            raise AtlasError(
                f"{self.storage.name} has the shards 0-{self.n_shards - 1}; "
                f"{shown_shards(outside) or 'none'} was asked for. Give numbers among them."
            )

    def write_shard(
        self,
        shard: int,
        values: ArrayLike,
        digests: ArrayLike,
        n_fraction: ArrayLike,
        state: ArrayLike,
    ) -> None:
        """Write one whole shard and log it.

        Parameters
        ----------
        shard : int
        values : float, shape (n, dim)
            Embeddings, stored as float16 or as the plan's int8; NaN where `state` is masked.
        digests : uint8, shape (n, 16)
            Digest of each row's window sequence(s).
        n_fraction : float, shape (n,)
            Share of N in it.
        state : uint8, shape (n,)
            `schema.EMBEDDED` or `schema.MASKED`.

        Raises
        ------
        ShardOwnershipError
            If another writer owns the shard, is writing it, or has written it.
        AtlasError
            If a shape is wrong, a value does not fit float16, or the disk refuses.
        """
        self._check_owned(shard)
        rows = ShardRows(values=values, digests=digests, n_fraction=n_fraction, state=state)
        put_shard(self.segment, self._encode(shard, rows))

    def write_shards(self, shards: Iterable[int], rows_of: Callable[[int], ShardRows]) -> None:
        """Write many shards: one is made, another encoded and a third written at the same time.

        Parameters
        ----------
        shards : iterable of int
        rows_of : callable
            Rows of a shard; called in another thread, for one shard after the other. About five
            shards are in memory at a time.

        Raises
        ------
        ShardOwnershipError, AtlasError
            As `write_shard`, for the first shard that fails; those behind it are not written.
        """

        def prepare(shard: int) -> tuple[int, ShardRows]:
            self._check_owned(shard)
            return shard, rows_of(shard)

        run_pipeline(
            shards,
            prepare=prepare,
            compute=lambda made: self._encode(*made),
            consume=lambda encoded: put_shard(self.segment, encoded),
            depth=1,
        )

    def finalise(self) -> None:
        """Make the segment visible: list its files and digests in the manifest, written last.

        Changes nothing when that is done already.

        Raises
        ------
        IncompleteAtlasError
            If shards are missing; names them.
        AtlasError
            If the disk refuses.
        """
        self.segment.require_whole()
        self.storage.sweep(self.segment.name)
        list_segment(self.storage, self.segment, self.made_with)

    def _check_owned(self, shard: int) -> None:
        self.check_shards([shard])
        if shard not in self.owned_shards():
            raise ShardOwnershipError(
                f"shard {shard} belongs to rank {shard % self.world_size} of {self.world_size}, "
                f"not to rank {self.rank}."
            )

    def _encode(self, shard: int, rows: ShardRows) -> EncodedShard:
        return encode_shard(self.plan, shard, stored_columns(self.plan, shard, rows))


def claim_name(segment: Segment, shard: int) -> str:
    """Lock of a shard from before it is computed until it is written."""
    return f"{segment.name}/{LOG_FOLDER}/claim-{shard:05d}"


def begin_after(root: Path, name: str, intervals: Intervals, plan: Plan) -> AtlasWriter:
    """Begin the segment that follows another, or go on with it; what is not this plan is dropped.

    Parameters
    ----------
    root : Path
        A finished atlas, locked.
    name : str
        Its last segment.
    intervals : Intervals
        Rows of the plan.
    plan : Plan

    Raises
    ------
    AtlasError
        If the disk refuses.
    """
    segment = Segment(root, next_segment(name))
    if segment.folder.exists() and segment.plan != plan:
        files.remove_folder(segment.folder)
    if not segment.folder.exists():
        lay_out(root, segment.name, intervals, plan)
    return AtlasWriter(Segment(root, segment.name))


def default_shard_rows(n_rows: int) -> int:
    """Rows of a shard: a power of two from 1024 to 16384, for about 16 shards or more."""
    rows = CHUNK_ROWS
    while rows < SHARD_ROWS and rows * 2 * SHARDS_WANTED <= n_rows:
        rows *= 2
    return rows


def check_same_source(plan: Plan, genome: Mapping[str, Any], where: str) -> None:
    """Refuse sequence that is not that of a segment.

    Parameters
    ----------
    plan : Plan
        Of the segment.
    genome : mapping
        Provenance of the sequence at hand.
    where : str
        Name of the atlas, for the text.

    Raises
    ------
    GenomeError
        If a contig differs, or the records of a FASTA of peaks do.
    """
    check_same_genome(plan.genome, genome, where)
    if plan.genome.get("records_sha256") != genome.get("records_sha256"):
        raise GenomeError(
            f"{where} was begun with the records of {plan.genome.get('name')}; those of "
            f"{genome.get('name')} differ. Give the same FASTA, or another output path."
        )
