"""Peaks of any count matrix, carried to the intervals that the reference was fitted on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from peakatlas.atlas.atlas import Atlas
from peakatlas.atlas.build.lookup_or_embed import resolve_peaks
from peakatlas.atlas.build.model_of_atlas import own_embedder
from peakatlas.atlas.search.lookup import TIERS, check_naming
from peakatlas.engine.dna.genome import open_genome
from peakatlas.engine.errors import IntervalError
from peakatlas.engine.intervals.contig_names import match_contigs
from peakatlas.engine.intervals.liftover import ChainFile
from peakatlas.engine.intervals.overlap import OverlapIndex
from peakatlas.engine.intervals.table import Intervals

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from peakatlas.atlas.search.lookup import LookupResult
    from peakatlas.engine.dna.genome import SequenceSource
    from peakatlas.engine.embedder import Embedder

MIN_SHARED = 0.25
N_NAMED = 5


@dataclass(frozen=True, eq=False)
class ResolvedValues:
    """Embeddings of peaks and how they were come by.

    Parameters
    ----------
    values : float32, shape (n_peaks, dim)
        NaN rows where there is none; `dim` is 0 without an atlas.
    lookup : LookupResult or None
        None without an atlas.
    """

    values: NDArray[np.float32]
    lookup: LookupResult | None

    def tiers(self) -> dict[str, int]:
        """Peaks by tier of the lookup."""
        if self.lookup is None:
            return {"missing": len(self.values)}
        return self.lookup.counts()

    def tier_names(self) -> NDArray[np.str_]:
        """Tier of each peak, str, shape (n_peaks,)."""
        if self.lookup is None:
            return np.full(len(self.values), "missing")
        return np.asarray(TIERS)[self.lookup.tier]

    def describe(self, peaks: Intervals) -> str:
        """Peaks by tier in words, with the names of the first that are missing."""
        if self.lookup is None:
            return f"{len(peaks):,}, by coordinates only"
        counted = ", ".join(f"{n:,} {tier}" for tier, n in self.tiers().items() if n)
        missing = np.flatnonzero(self.tier_names() == "missing")
        if not len(missing):
            return counted
        names = ", ".join(peaks.take(missing[:N_NAMED]).names())
        more = ", …" if len(missing) > N_NAMED else ""
        return f"{counted} ({names}{more})"


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Where embeddings may come from beside the atlas."""

    genome: str | Path | SequenceSource | None = None
    """FASTA of the genome or of peaks; without it, peaks that miss the atlas have no embedding."""
    embedder: Embedder | None = None
    """Model of the atlas; without it, the one that the atlas names is loaded when needed."""
    max_offset: int | None = None
    """Largest offset of centres (bp) at which an overlapping row may stand in; None for never."""
    append: bool = False
    """Whether new embeddings are kept in the atlas."""
    match_contigs: bool = False
    """Whether contigs of the peaks are renamed by style (``chr1``, ``1``) to those of the atlas."""
    chain: str | Path | ChainFile | None = None
    """Chain file by which the peaks are first lifted to the genome build of the atlas."""
    report: Callable[[str], None] | None = None
    """Called with what became of the peaks that were to be lifted."""

    def named(
        self, peaks: Intervals, atlas: Atlas | None, registry: Intervals | None = None
    ) -> Intervals:
        """Peaks lifted, and with their contigs named as in the atlas, if that was asked for.

        Parameters
        ----------
        peaks : Intervals
        atlas : Atlas or None
        registry : Intervals, optional
            Stands in for the rows of an atlas where there is none.

        Raises
        ------
        ContigError, IntervalError
            If the chain file cannot be used, or lifts none of the peaks; if the registry names
            all of their contigs in another style.
        """
        if self.chain is not None:
            peaks = self._lifted(peaks, self.chain)
        known = registry if atlas is None else atlas.intervals
        if known is None:
            return peaks
        if self.match_contigs:
            return match_contigs(peaks, known.contigs)
        if atlas is None:
            check_naming(peaks, known.contigs, "the reference")
        return peaks

    def _lifted(self, peaks: Intervals, chain: str | Path | ChainFile) -> Intervals:
        file = chain if isinstance(chain, ChainFile) else ChainFile(chain)
        found = file.lift(peaks, match_contigs=self.match_contigs)
        if not found.lifted.any():
            raise IntervalError(
                f"{file.name}: {found.describe()}. Give the chain file that leads from the build "
                "of the peaks to that of the atlas."
            )
        if self.report is not None:
            self.report(f"{file.name}: {found.describe()}")
        return found.intervals


def resolve(
    peaks: Intervals,
    atlas: Atlas | None,
    sources: Sources,
    progress: Callable[[int, int], None] | None = None,
) -> ResolvedValues:
    """Embeddings of peaks, looked up or computed.

    Parameters
    ----------
    peaks : Intervals
    atlas : Atlas or None
    sources : Sources
    progress : callable, optional
        Called with how many peaks are newly embedded, and how many there are to embed.

    Raises
    ------
    SpecMismatchError
        If the embedder is not the atlas's.
    GenomeError
        If the genome cannot be read or lacks a contig.
    """
    if atlas is None:
        return ResolvedValues(np.zeros((len(peaks), 0), np.float32), None)
    genome = sources.genome
    source = open_genome(genome) if isinstance(genome, str | Path) else genome
    embedder = sources.embedder or partial(own_embedder, atlas.spec, atlas.provenance["model"])
    found = resolve_peaks(
        atlas,
        peaks,
        source=source,
        embedder=None if source is None else embedder,
        max_offset=sources.max_offset,
        append=sources.append,
        progress=progress,
    )
    return ResolvedValues(np.asarray(found.values, np.float32), found.lookup)


def shared_registry(named: Sequence[Intervals]) -> Intervals:
    """Peaks of the first reference, and those of each later one that are carried to none so far.

    Parameters
    ----------
    named : sequence of Intervals
        Peaks of each reference.
    """
    registry = named[0]
    for peaks in named[1:]:
        new = np.flatnonzero(registry_rows(peaks, registry) < 0)
        registry = Intervals.concatenate([registry, peaks.take(new)])
    return registry


def registry_rows(peaks: Intervals, registry: Intervals) -> NDArray[np.int64]:
    """Registry interval that each peak is carried to.

    Parameters
    ----------
    peaks, registry : Intervals

    Returns
    -------
    int64, shape (n_peaks,)
        The one with the nearest centre among those that share at least a quarter of the shorter
        of the two; the lower row where two are as near; -1 where there is none.

    Examples
    --------
    >>> registry = Intervals.from_columns(["chr1", "chr1"], [0, 500], [500, 1000])
    >>> registry_rows(Intervals.from_columns(["chr1", "chr1"], [450, 990], [950, 1500]), registry)
    array([ 1, -1])
    """
    pairs = OverlapIndex(registry).overlap_pairs(peaks)
    query, row = pairs.query, pairs.row
    shared = np.minimum(peaks.end[query], registry.end[row]) - np.maximum(
        peaks.start[query], registry.start[row]
    )
    shorter = np.minimum(peaks.widths[query], registry.widths[row])
    enough = shared >= MIN_SHARED * shorter
    query, row = query[enough], row[enough]
    offset = np.abs(peaks.centres[query] - registry.centres[row])
    order = np.lexsort((row, offset, query))
    first = order[np.unique(query[order], return_index=True)[1]]
    rows = np.full(len(peaks), -1, np.int64)
    rows[query[first]] = row[first]
    return rows
