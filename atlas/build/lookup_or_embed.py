"""Give every query peak an embedding: look it up, else embed it, else say that it is missing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from peakatlas.atlas.build.append import append_rows
from peakatlas.atlas.build.compatibility import check_same_genome, check_same_spec
from peakatlas.atlas.build.provenance import genome_provenance
from peakatlas.atlas.format.ordering import sorted_unique
from peakatlas.atlas.search.lookup import (
    EMBEDDED_NOW,
    EXACT,
    MISSING,
    SEQUENCE,
    LookupResult,
    with_rows,
)
from peakatlas.engine.dna.windows import window_digests
from peakatlas.engine.errors import AtlasError
from peakatlas.engine.intervals.overlap import contig_codes
from peakatlas.engine.spec import UNKNOWN_WINDOW

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from peakatlas.atlas.atlas import Atlas
    from peakatlas.engine.dna.genome import SequenceSource
    from peakatlas.engine.embedder import Embedder
    from peakatlas.engine.intervals.overlap import CoordinateIndex, IndexName
    from peakatlas.engine.intervals.table import Intervals


@dataclass(frozen=True, kw_only=True)
class ResolvedPeaks:
    """Embeddings of query peaks, in query order."""

    values: NDArray[np.float32]
    """Shape (n, dim), rounded to float16 as the atlas stores them; a row of NaN where the peak is
    missing or its window is all N."""
    lookup: LookupResult
    """What served each peak; its rows refer to `atlas`."""
    atlas: Atlas
    """The atlas, opened anew if rows were appended."""


def resolve_peaks(
    atlas: Atlas,
    peaks: Intervals,
    *,
    source: SequenceSource | None = None,
    embedder: Embedder | Callable[[], Embedder] | None = None,
    max_offset: int | None = None,
    append: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> ResolvedPeaks:
    """Look peaks up and embed what the atlas does not have.

    Parameters
    ----------
    atlas : Atlas
    peaks : Intervals
        In any order; repeats are fine.
    source : SequenceSource, optional
        Genome, or FASTA of peaks; lets peaks be found by their sequence, and embedded. Peaks on
        contigs that it lacks can still be served by interval or overlap, else they are missing.
    embedder : Embedder, or callable that loads one, optional
        Embeds what was not found; a callable is called only if there is something to embed.
    max_offset : int, optional
        Accept an overlapping row whose centre is at most this far away, in bp (approximate).
    append : bool
        Whether to add what was embedded to the atlas.
    progress : callable, optional
        Called with how many peaks are embedded, and how many there are to embed.

    Returns
    -------
    ResolvedPeaks

    Raises
    ------
    SpecMismatchError
        If the embedder's spec is not that of the atlas; names the fields.
    ContigError
        If no contig of the peaks is in `source`, or in the atlas and only the naming style
        differs.
    GenomeError
        If `source` is another build than the atlas, or a peak ends past its contig.
    AtlasError
        If `embedder` comes without `source`, `append` without `embedder`, or the atlas is damaged.
    """
    _check_options(source, embedder, append)
    if append and source is not None:
        _check_build(atlas, source, peaks, digests=True)
    lookup = find_rows(atlas, peaks, source=source, max_offset=max_offset)
    values = np.full((len(peaks), atlas.dim), np.nan, np.float32)
    served = lookup.row >= 0
    values[served] = atlas.gather(lookup.row[served])
    resolved = ResolvedPeaks(values=values, lookup=lookup, atlas=atlas)
    if source is None or embedder is None:
        return resolved
    rest = np.flatnonzero((lookup.tier == MISSING) & _has_contig(source, peaks))
    if not len(rest):
        return resolved
    loaded = embedder() if callable(embedder) else embedder
    check_same_spec(atlas.spec, loaded.spec, atlas.name)
    return _embed(resolved, rest, source, loaded, append=append, progress=progress)


def find_rows(
    atlas: Atlas,
    peaks: Intervals,
    *,
    source: SequenceSource | None = None,
    max_offset: int | None = None,
    index: IndexName | CoordinateIndex = "ncls",
) -> LookupResult:
    """Look peaks up, by their sequence too if there is a source of it.

    Parameters
    ----------
    atlas, peaks, source, max_offset
        As for `resolve_peaks`.
    index : {"ncls", "faiss"} or CoordinateIndex
        What finds the overlaps; the result is the same.

    Returns
    -------
    LookupResult

    Raises
    ------
    ContigError
        If no contig of the peaks is in `source`, or in the atlas and only the naming style
        differs.
    GenomeError
        If `source` is another build than the atlas, or a peak ends past its contig.
    IntervalError
        If `max_offset` is negative.
    """
    found = atlas.lookup(peaks, max_offset=max_offset, index=index)
    if source is None or atlas.spec.window == UNKNOWN_WINDOW:
        return found
    _check_build(atlas, source, peaks, digests=False)
    rest = np.flatnonzero((found.tier != EXACT) & _has_contig(source, peaks))
    if not len(rest):
        return found
    digests = window_digests(peaks.take(rest), source, atlas.spec.window)
    row = atlas.digest_index.find(digests)
    return with_rows(found, rest[row >= 0], row[row >= 0], SEQUENCE)


def _check_options(source: object, embedder: object, append: bool) -> None:
    if embedder is not None and source is None:
        raise AtlasError("embedding peaks needs their sequence: give the genome (--genome).")
    if append and embedder is None:
        raise AtlasError("appending needs an embedder: there is nothing to append without one.")


def _check_build(atlas: Atlas, source: SequenceSource, peaks: Intervals, *, digests: bool) -> None:
    built_from = atlas.provenance["genome"]
    shared = [name for name in peaks.contigs if name in built_from.get("contigs", {})]
    check_same_genome(built_from, genome_provenance(source, shared, digests=digests), atlas.name)


def _has_contig(source: SequenceSource, peaks: Intervals) -> NDArray[np.bool_]:
    """Which peaks lie on a contig of the source; raise if none does."""
    known = contig_codes(peaks, list(source.contig_sizes)) >= 0
    if not known.any():
        source.check(peaks)
    return known


def _embed(
    resolved: ResolvedPeaks,
    rest: NDArray[np.int64],
    source: SequenceSource,
    embedder: Embedder,
    *,
    append: bool,
    progress: Callable[[int, int], None] | None,
) -> ResolvedPeaks:
    atlas, lookup = resolved.atlas, resolved.lookup
    unique, became = sorted_unique(lookup.peaks.take(rest), atlas.intervals.contigs)
    embedded = embedder.embed(unique, source, progress=_summed(progress, len(unique)))
    values = resolved.values.copy()
    values[rest] = embedded.values.astype(np.float16)[became]
    row = np.full(len(rest), -1, np.int64)
    if append:
        genome = genome_provenance(source, unique.contigs)
        atlas = append_rows(atlas.path, unique, embedded, genome=genome)
        row = atlas.lookup(unique).row[became]
    served = with_rows(lookup, rest, row, EMBEDDED_NOW)
    return ResolvedPeaks(values=values, lookup=served, atlas=atlas)


def _summed(
    progress: Callable[[int, int], None] | None, total: int
) -> Callable[[int], None] | None:
    """What takes newly done peaks, and passes on how many are done of how many."""
    if progress is None:
        return None
    done = 0

    def advance(n: int) -> None:
        nonlocal done
        done += n
        progress(done, total)

    return advance
