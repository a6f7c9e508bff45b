"""Drive the engine over a genome's peaks, shard by shard, on any number of ranks.

Ranks meet only on the disk: rank 0 lays the atlas out, each rank writes the shards that it owns,
and rank 0 lists them in the manifest when the log entries of all are there. Run again after any
crash, the same command writes what is missing.
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from peakatlas.engine.contig_names import match_contigs as rename_contigs
from peakatlas.engine.distributed import rank_state
from peakatlas.engine.errors import IncompleteAtlasError
from peakatlas.engine.genome import open_genome
from peakatlas.engine.interval_readers import read_bed

from .append import write_rows
from .ordering import sorted_unique
from .provenance import genome_provenance, model_provenance, peaks_provenance
from .reader import Atlas
from .schema import PLAN_NAME
from .segment import Segment, segment_name
from .writer import CHUNK_ROWS, SHARD_ROWS, AtlasWriter

if TYPE_CHECKING:
    from collections.abc import Callable

    from peakatlas.engine.distributed import RankState
    from peakatlas.engine.embedder import Embedder
    from peakatlas.engine.genome import SequenceSource
    from peakatlas.engine.intervals import Intervals

SHARDS_WANTED = 16
"""A small atlas gets smaller shards, so that a crash costs a share of the work, not all of it."""
PATIENCE_S = 600.0
"""Least time to wait for other ranks without news of them; ten times the longest shard if more."""
_POLL_S = 0.2


def build_atlas(
    genome: str | Path | SequenceSource,
    peaks: str | Path | Intervals,
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
    peaks : str, Path or Intervals
        BED file or table, in any order. Rows of the atlas are in genome order; repeats collapse
        and are counted in its provenance.
    out : str or Path
        Folder of the atlas.
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
        If other ranks stop without finishing their shards; names them.
    """
    state = rank_state()
    source = open_genome(genome) if isinstance(genome, str | Path) else genome
    given = read_bed(peaks) if isinstance(peaks, str | Path) else peaks
    if match_contigs:
        given = rename_contigs(given, source.contig_sizes)
    source.check(given)
    rows, _ = sorted_unique(given, source.contig_sizes)
    report = progress or _no_progress
    report(len(given) - len(rows))
    if state.is_main:
        AtlasWriter.create(
            out,
            rows,
            embedder.spec,
            genome=genome_provenance(source, rows.contigs),
            model=model_provenance(embedder),
            peaks=peaks_provenance(
                Path(peaks) if isinstance(peaks, str | Path) else None, len(given) - len(rows)
            ),
            shard_rows=shard_rows or default_shard_rows(len(rows)),
        )
    writer = _join(Path(out), rows, embedder, state)
    longest = _write_shards(writer, rows, source, embedder, report)
    _finish(writer, state, max(PATIENCE_S, 10 * longest), report)
    return Atlas.open(out)


def default_shard_rows(n_rows: int) -> int:
    """Rows of a shard: a power of two from 1024 to 16384, for about 16 shards or more."""
    rows = CHUNK_ROWS
    while rows < SHARD_ROWS and rows * 2 * SHARDS_WANTED <= n_rows:
        rows *= 2
    return rows


def _join(root: Path, rows: Intervals, embedder: Embedder, state: RankState) -> AtlasWriter:
    segment = Segment(root, segment_name(0))
    plan_path = segment.folder / PLAN_NAME
    _wait_for(plan_path.exists, PATIENCE_S, f"rank 0 did not lay out {root}")
    writer = AtlasWriter(segment, rank=state.rank, world_size=state.world_size)
    writer.check_fits(embedder.spec, rows)
    return writer


def _write_shards(
    writer: AtlasWriter,
    rows: Intervals,
    source: SequenceSource,
    embedder: Embedder,
    report: Callable[[int], None],
) -> float:
    """Write what this rank owns and is missing; the longest shard's time in s."""
    longest = 0.0
    for shard in writer.owned_shards():
        at = writer.shard_rows_of(shard)
        if writer.segment.is_done(shard):
            report(at.stop - at.start)
            continue
        began = time.monotonic()
        block = rows.take(np.arange(at.start, at.stop))
        embeddings = embedder.embed(block, source, progress=report)
        write_rows(writer, shard, embeddings, np.arange(len(block)))
        longest = max(longest, time.monotonic() - began)
    return longest


def _finish(
    writer: AtlasWriter, state: RankState, patience_s: float, report: Callable[[int], None]
) -> None:
    for shard in sorted(set(range(writer.n_shards)) - set(writer.owned_shards())):
        _wait_for(
            partial(writer.segment.is_done, shard),
            patience_s,
            f"rank {shard % state.world_size} has not written shard {shard} of {writer.root}",
        )
        report(writer.shard_rows_of(shard).stop - writer.shard_rows_of(shard).start)
    if state.is_main:
        writer.finalise()
    else:
        _wait_for(writer.is_finished, patience_s, f"rank 0 did not finish {writer.root}")


def _wait_for(true: Callable[[], bool], patience_s: float, text: str) -> None:
    limit = time.monotonic() + patience_s
    while not true():
        if time.monotonic() > limit:
            raise IncompleteAtlasError(
                f"{text} in {patience_s:.0f} s. See that rank's output, then run the same command "
                "again; it goes on where it stopped."
            )
        time.sleep(_POLL_S)


def _no_progress(n_peaks: int) -> None:
    """Ignore progress."""
