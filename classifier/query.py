"""A query as the labeller reads it: blocks of cells on the peaks of the reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from peakatlas.classifier.counts.registry import registry_rows
from peakatlas.classifier.counts.sparse import carry
from peakatlas.classifier.models.protocol import Cells, DnaInput
from peakatlas.classifier.training.query_statistics import QueryStatistics, StatisticsBuilder
from peakatlas.engine.errors import CountsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import scipy.sparse as sp
    from numpy.typing import NDArray

    from peakatlas.classifier.bundle.bundle import Bundle
    from peakatlas.classifier.counts.matrix import CellCounts
    from peakatlas.engine.intervals.table import Intervals

LEAST_SHARED = 2
"""Peaks with counts that reference and query must share; fewer say nothing of a type."""
MOST_CONTIGS = 3


@dataclass(frozen=True, eq=False, kw_only=True)
class Query:
    """Cells of a query, read in blocks; they may stay in their file."""

    counts: CellCounts
    column: NDArray[np.int64]
    """Peak of the reference that each peak is carried to, -1 if none, shape (n_own,)."""
    measured: NDArray[np.bool_]
    """Peaks of the reference that some peak is carried to, shape (n_peaks,)."""
    embeddings: NDArray[np.float32] | None
    """Of the query's peaks, shape (n_own, dim); None where DNA is not read."""
    kind: Literal["dna", "terms"]
    """What the embeddings are made of."""
    usable: NDArray[np.float32]
    """1 for peaks of the query that say something of a cell, shape (n_own,)."""

    @classmethod
    def match(
        cls,
        counts: CellCounts,
        named: Intervals,
        embeddings: NDArray[np.float32],
        bundle: Bundle,
        *,
        same_build: bool = True,
    ) -> Query:
        """Carry the peaks of a query to those of a bundle.

        Parameters
        ----------
        counts : CellCounts
        named : Intervals
            Its peaks, by the names of the bundle.
        embeddings : float32, shape (n_own, dim)
            NaN where there is none; dim may be 0.
        bundle : Bundle
        same_build : bool
            Whether coordinates mean the same places; else no peak is carried.
        """
        column = registry_rows(named, bundle.peaks)
        if not same_build:
            column[:] = -1
        reference = bundle.reference
        measured = np.zeros(len(bundle.peaks), np.bool_)
        measured[column[column >= 0]] = True
        shared = measured & (np.bincount(reference.counts.indices, minlength=len(measured)) > 0)
        if reference.measured is not None:
            shared &= reference.measured
        if shared.sum() < LEAST_SHARED:
            measured, shared = np.zeros_like(measured), np.zeros_like(shared)
        usable = (column >= 0) & shared[column]
        known = np.isfinite(embeddings).all(axis=1) & (embeddings.shape[1] > 0)
        reads_dna = reference.dna is not None and bool(known.any())
        return cls(
            counts=counts,
            column=column,
            measured=measured,
            embeddings=embeddings.astype(np.float16).astype(np.float32) if reads_dna else None,
            kind="dna" if bundle.elements is None else "terms",
            usable=(usable | known if reads_dna else usable).astype(np.float32),
        )

    def blocks(self) -> Iterator[tuple[sp.csr_matrix, Cells]]:
        """Counts on the query's own peaks, and the same cells for the labeller; in order."""
        for _, own in self.counts.rows.blocks():
            dna = None
            if self.embeddings is not None:
                dna = DnaInput(
                    counts=own, embeddings=self.embeddings, column=self.column, kind=self.kind
                )
            carried = carry(own, self.column, np.arange(len(self.measured)))
            yield own, Cells(counts=carried, measured=self.measured, dna=dna)

    def statistics(self, most_cells: int, seed: int) -> QueryStatistics:
        """What the labeller learns from the whole query."""
        builder = StatisticsBuilder(most_cells, seed)
        for _, cells in self.blocks():
            builder.add(cells)
        return builder.finish()


def check_readable(query: Query, learnt: QueryStatistics, named: Intervals, bundle: Bundle) -> None:
    """Refuse a query of which nothing can be read.

    Parameters
    ----------
    query : Query
    learnt : QueryStatistics
        Of this query, or of a whole of which it is a part.
    named : Intervals
        Its peaks, by the names of the bundle.
    bundle : Bundle

    Raises
    ------
    CountsError
        If no count lies in peaks of the reference, and DNA is not read.
    """
    if query.embeddings is not None or (query.measured.any() and learnt.sample.counts.nnz):
        return
    raise CountsError(
        f"{query.counts.source}: no cell has counts in peaks that the reference has counts in "
        f"(two or more), and DNA is not read. Its peaks lie on {_contigs(named)}; those of the "
        f"reference on {_contigs(bundle.peaks)}. Check names of contigs (--match-contigs) and "
        "genome builds (--chain), count the query on the reference's peaks, or train and annotate "
        "with an atlas."
    )


def _contigs(peaks: Intervals) -> str:
    used = [peaks.contigs[i] for i in np.unique(peaks.contig_ids)]
    more = ", …" if len(used) > MOST_CONTIGS else ""
    return ", ".join(used[:MOST_CONTIGS]) + more
