"""Drive the engine over a genome's peaks, shard by shard, on any number of ranks.

Ranks meet only on the disk, or in an object store. Rank 0 lays the atlas out; each rank writes its
share of the shards, balanced by bp, and then takes up what others left: a shard is claimed by a
lock that dies with its holder. When the log entries of all are there, the shards are listed in the
manifest. Run again after any crash, the same command writes what is missing.
"""

from __future__ import annotations

import time
import warnings
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

import numpy as np

from peakatlas.atlas.atlas import Atlas
from peakatlas.atlas.format.schema import MASKED, PLAN_NAME
from peakatlas.atlas.format.segment import Segment, first_segment
from peakatlas.atlas.storage.urls import writable_storage
from peakatlas.engine.dna.windows import parse_window
from peakatlas.engine.errors import IncompleteAtlasError, ShardOwnershipError
from peakatlas.engine.run.distributed import Partition, RankState, owned_units, rank_state

from .append import write_rows
from .heartbeats import Heartbeat, clear_signs
from .inputs import read_inputs
from .places import refuse_foreign
from .provenance import genome_provenance, hardware_provenance, model_provenance
from .writer import LOCK_NAME, AtlasWriter, claim_name, default_shard_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from peakatlas.atlas.storage.base import WritableStorage
    from peakatlas.engine.dna.genome import SequenceSource
    from peakatlas.engine.embedder import Embedder
    from peakatlas.engine.embeddings import PeakEmbeddings
    from peakatlas.engine.intervals.table import Intervals

    from .inputs import Inputs, Peaks

PATIENCE_S = 600.0
"""Least time to wait for other ranks without news; ten times the longest pause so far if more."""
_POLL_S = (0.2, 10.0)
"""First and longest pause of a rank that waits; a tenth of what it has waited between them."""


def build_atlas(
    genome: str | Path | SequenceSource,
    peaks: Peaks,
    out: str | Path,
    embedder: Embedder,
    *,
    match_contigs: bool = False,
    shard_rows: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Atlas:
    """Embed peaks into an atlas; the same call again finishes one that was interrupted.

    Parameters
    ----------
    genome : str, Path or SequenceSource
        FASTA of a genome or of peaks.
    peaks : str, Path, Intervals or PeakList
        BED file or table, in any order. Rows of the atlas are in genome order; repeats collapse
        and are counted in its provenance.
    out : str or Path
        Folder of the atlas, or its URL in an object store: ``s3://``.
    embedder : Embedder
    match_contigs : bool
        Whether to rename the contigs of the peaks by style (``chr1``, ``1``) to fit the genome.
    shard_rows : int, optional
        Rows of a shard: 16384, or fewer for a small atlas. An atlas already begun keeps its own.
    progress : callable, optional
        Called with the number of peaks done since its last call, perhaps from another thread;
        peaks that were done before, repeats, and those of other ranks are counted as they are met.

    Returns
    -------
    Atlas
        Finished and open, on every rank.

    Raises
    ------
    IntervalError, GenomeError, ContigError
        If the peaks or the genome cannot be used, or the genome is another build than before.
    SpecMismatchError
        If `out` was begun with another model or setting.
    AtlasError
        If `out` was begun with other peaks or is something else, or the disk refuses.
    IncompleteAtlasError
        If another process holds a shard and does not finish it; names it.

    Examples
    --------
    >>> import peakatlas
    >>> embedder = peakatlas.Embedder.load("peaklm-v3")
    >>> atlas = peakatlas.build_atlas("hg38.fa.gz", "others.bed", "small.zarr", embedder)
    >>> len(atlas), atlas.dim
    (10, 64)
    """
    inputs = read_inputs(genome, peaks, match_contigs=match_contigs)
    writer = _write(inputs, out, embedder, Partition(), shard_rows, progress or (lambda _: None))
    _finalise(writer)
    return warned_if_empty(Atlas.open(out))


def build_partition(  # noqa: PLR0913 (the options of build_atlas)
    genome: str | Path | SequenceSource,
    peaks: Peaks,
    out: str | Path,
    embedder: Embedder,
    partition: Partition,
    *,
    match_contigs: bool = False,
    shard_rows: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Embed one share of the peaks; the partition that completes the atlas also finishes it.

    Partitions are independent processes, such as the tasks of a SLURM array, in any order and at
    any time. Each may itself be started on several ranks.

    Parameters
    ----------
    genome, peaks, out, embedder
        As in `build_atlas`, the same for all partitions.
    partition : Partition
        Which share of the shards, balanced by bp.
    match_contigs, shard_rows, progress
        As in `build_atlas`.

    Returns
    -------
    int
        Shards of other partitions that are still missing; 0 when the atlas is finished.

    Raises
    ------
    PeakAtlasError
        As `build_atlas`.
    """
    inputs = read_inputs(genome, peaks, match_contigs=match_contigs)
    writer = _write(inputs, out, embedder, partition, shard_rows, progress or (lambda _: None))
    missing = len(writer.segment.missing_shards())
    if not missing:
        _finalise(writer)
    return missing


def warned_if_empty(atlas: Atlas) -> Atlas:
    """The same atlas, with a warning where none of its rows has an embedding."""
    if (atlas.state == MASKED).all():
        warnings.warn(
            f"{atlas.name} has no embedding: none of its {len(atlas):,} windows holds enough known "
            "DNA. Check that the genome is DNA and not hard-masked, and see --max-n-fraction.",
            stacklevel=3,
        )
    return atlas


def begin_atlas(
    inputs: Inputs,
    out: str | Path | WritableStorage,
    embedder: Embedder,
    *,
    shard_rows: int | None = None,
) -> AtlasWriter:
    """Lay an atlas out, or check that the one that is there is the same.

    Parameters
    ----------
    inputs : Inputs
    out, embedder, shard_rows
        As in `build_atlas`.

    Raises
    ------
    SpecMismatchError, GenomeError, AtlasError
        If `out` was begun as another atlas or is something else, or the disk refuses.
    """
    return AtlasWriter.create(
        out,
        inputs.rows,
        embedder.spec,
        genome=genome_provenance(inputs.source, inputs.rows.contigs),
        model=model_provenance(embedder),
        peaks=inputs.peaks_provenance(),
        shard_rows=shard_rows or default_shard_rows(len(inputs.rows)),
    )


def write_free_shards(
    writer: AtlasWriter,
    shards: Iterable[int],
    rows: Intervals,
    source: SequenceSource,
    embedder: Embedder,
    report: Callable[[int], None],
) -> list[int]:
    """Write the shards that nobody has written and nobody holds.

    The model does not stop between shards: one is written while the next is computed.

    Parameters
    ----------
    writer : AtlasWriter
    shards : iterable of int
    rows : Intervals
        All rows of the segment.
    source : SequenceSource
    embedder : Embedder
    report : callable
        Called with the number of peaks done since its last call, perhaps from another thread.

    Returns
    -------
    list of int
        Shards that another process holds.

    Raises
    ------
    AtlasError
        If the disk refuses.
    """
    left: list[int] = []
    claims: dict[int, ExitStack] = {}

    def free() -> Iterator[tuple[int, Intervals]]:
        for shard in shards:
            at, claim = writer.shard_rows_of(shard), ExitStack()
            if not writer.segment.is_done(shard):
                with suppress(ShardOwnershipError):
                    claim.enter_context(writer.claim(shard))
                    claims[shard] = claim
            if writer.segment.is_done(shard):
                claims.pop(shard, claim).close()
                report(at.stop - at.start)
            elif shard in claims:
                yield shard, rows.take(np.arange(at.start, at.stop))
            else:
                left.append(shard)

    def write(shard: int, embeddings: PeakEmbeddings) -> None:
        write_rows(writer, shard, embeddings)
        claims.pop(shard).close()

    try:
        embedder.embed_many(free(), source, write, report)
    finally:
        for claim in claims.values():
            claim.close()
    return left


def _write(
    inputs: Inputs,
    out: str | Path,
    embedder: Embedder,
    partition: Partition,
    shard_rows: int | None,
    report: Callable[[int], None],
) -> AtlasWriter:
    """Lay the atlas out and write the shards of a partition, all of them done at the end."""
    state, rows, storage = rank_state(), inputs.rows, writable_storage(out)
    heart = Heartbeat(storage.local_path(), state)
    report(inputs.n_repeats // partition.count)
    if state.is_main:
        refuse_foreign(storage)
        heart.beat()
        begin_atlas(inputs, storage, embedder, shard_rows=shard_rows)
    writer = _join(storage, rows, embedder, heart)
    shards = _in_turn(writer, rows, state, partition)
    writer.made_with = hardware_provenance(embedder)
    _write_shards(writer, shards, inputs, embedder, heart, report)
    heart.end()
    return writer


def _join(
    storage: WritableStorage, rows: Intervals, embedder: Embedder, heart: Heartbeat
) -> AtlasWriter:
    segment = Segment(storage, first_segment(storage))
    began = time.monotonic()
    while not storage.exists(f"{segment.name}/{PLAN_NAME}"):
        waited = time.monotonic() - began
        if waited > PATIENCE_S:
            raise IncompleteAtlasError(
                f"rank 0 did not lay out {storage.name} in {waited:.0f} s{_silent(heart)}. See "
                "that rank's output, then run the same command again; it goes on where it stopped."
            )
        time.sleep(_pause(waited))
    writer = AtlasWriter(segment)
    writer.check_fits(embedder.spec, rows)
    return writer


def _in_turn(
    writer: AtlasWriter, rows: Intervals, state: RankState, partition: Partition
) -> list[int]:
    """Shards of a partition: first those of this rank, then the others', from their ends."""
    costs = _window_bp(writer, rows)
    every = RankState(rank=0, world_size=1, device=state.device)
    mine, all_ranks = (
        [int(shard) for shard in owned_units(len(costs), who, costs=costs, partition=partition)]
        for who in (state, every)
    )
    return mine + sorted(set(all_ranks) - set(mine), reverse=True)


def _window_bp(writer: AtlasWriter, rows: Intervals) -> NDArray[np.float64]:
    """Letters that the model reads for each shard, in bp: what it costs, without reading DNA."""
    cut = parse_window(writer.plan.spec.window).cut(rows)
    shard = cut.owner // writer.plan.shard_rows
    return np.bincount(shard, cut.intervals.widths, writer.n_shards).astype(np.float64)


def _write_shards(
    writer: AtlasWriter,
    shards: list[int],
    inputs: Inputs,
    embedder: Embedder,
    heart: Heartbeat,
    report: Callable[[int], None],
) -> None:
    """Write the shards that nobody has written; return when all of them are done."""
    last_news, longest, counted = time.monotonic(), 0.0, heart.counted(report)

    def heard(n_peaks: int) -> None:
        nonlocal last_news, longest
        longest = max(longest, time.monotonic() - last_news)
        last_news = time.monotonic()
        counted(n_peaks)

    def taken_up(shards: list[int]) -> Iterator[int]:
        for shard in shards:
            heart.beat(shard)
            yield shard

    while shards:
        shards = write_free_shards(
            writer, taken_up(shards), inputs.rows, inputs.source, embedder, heard
        )
        if shards and time.monotonic() > last_news + max(PATIENCE_S, 10 * longest):
            raise _not_delivered(writer, shards[0], time.monotonic() - last_news, heart)
        if shards:
            time.sleep(_pause(time.monotonic() - last_news))


def _not_delivered(
    writer: AtlasWriter, shard: int, waited: float, heart: Heartbeat
) -> IncompleteAtlasError:
    held, where = writer.storage.holder(claim_name(writer.segment, shard)), writer.storage.name
    return IncompleteAtlasError(
        f"another process holds shard {shard} of {where}{f' ({held})' if held else ''} and "
        f"has not written it for {waited:.0f} s{_silent(heart)}. See that process's output, then "
        "run the same command again; it goes on where it stopped."
    )


def _silent(heart: Heartbeat) -> str:
    found = heart.silent()
    return f": {found}" if found else ""


def _pause(waited_s: float) -> float:
    """How long to wait before the next look: the longer it took so far, the longer."""
    shortest, longest = _POLL_S
    return min(max(shortest, waited_s / 10), longest)


def _finalise(writer: AtlasWriter) -> None:
    """List the shards in the manifest; of several ranks the first does, the others find it done."""
    with writer.storage.locked(LOCK_NAME, wait=True):
        writer.finalise()
        root = writer.storage.local_path()
        if root is not None:
            clear_signs(root)
