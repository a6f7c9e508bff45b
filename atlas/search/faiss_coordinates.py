"""The overlap join inside a FAISS index, bit-identical to `overlap.OverlapIndex`.

Genome coordinates do not fit float32 (spacing 16 bp at 200 Mb), so nothing global goes into the
index. Every interval is cut at bin borders (2^16 bp) and each piece is stored in the inverted list
of its (contig, bin), in coordinates from the middle of the bin: integers within ±2^15, exact in
float32. Two pieces ``[s, e)`` and ``[q, p)`` of one bin share a bp iff ``(s - p)(e - q) < 0``,
which is the inner product of ``(s·e, s, e, 1)`` and ``(1, -q, -p, q·p)``. One range search with a
margin above the worst rounding error gives every true pair and few others; integer arithmetic on
the uncut coordinates drops the others. A pair that meets in several bins counts in the bin where
its overlap begins.

FAISS has no range search on a GPU. There the `GPU_NEAREST` greatest products of each piece are
found instead, and a piece that has still more above the margin is searched again on the CPU; the
integer filter is the same. (FAISS's own ``contrib.exhaustive_search`` does the same for range
searches.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from peakatlas.engine.errors import MissingDependencyError
from peakatlas.engine.intervals.overlap import OverlapPairs, contig_codes

from .faiss_tools import import_faiss

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from numpy.typing import NDArray

    from peakatlas.engine.intervals.table import Intervals

IndexIVF: TypeAlias = Any  # faiss ships no types
BIN_BITS = 16
MARGIN = 2048.0
"""Above the rounding error of the inner product: four terms of at most 2^32, float32."""
PIECES_PER_SEARCH = 1 << 18
GPU_NEAREST = 64
"""Products that a GPU returns for each piece; FAISS takes up to 2048."""


@dataclass(frozen=True, kw_only=True)
class _Pieces:
    """Intervals cut at bin borders."""

    owner: NDArray[np.int64]
    """Row that each piece comes from, shape (n_pieces,)."""
    bin: NDArray[np.int64]
    """Bin on the axis of all contigs, shape (n_pieces,)."""
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    """Bounds in bp from the middle of the bin, shape (n_pieces,)."""

    def __getitem__(self, rows: slice | NDArray[Any]) -> _Pieces:
        return _Pieces(
            owner=self.owner[rows], bin=self.bin[rows], start=self.start[rows], end=self.end[rows]
        )


class FaissCoordinateIndex:
    """Exact overlap join by a FAISS range search over preassigned inverted lists.

    Parameters
    ----------
    intervals : Intervals
        Indexed table, in any order; duplicates and nesting are fine.
    gpu : int, optional
        Number of the GPU that searches; the index stays on the CPU as well. None for the CPU.

    Raises
    ------
    MissingDependencyError
        If faiss is not installed, or `gpu` is given and FAISS sees no such GPU.
    """

    def __init__(self, intervals: Intervals, *, gpu: int | None = None) -> None:
        self._faiss = import_faiss()
        self.contigs = intervals.contigs
        self._intervals = intervals
        extent = np.zeros(len(self.contigs), np.int64)
        np.maximum.at(extent, intervals.contig_ids, intervals.end)
        self._extent = extent
        bins = -(-extent >> BIN_BITS) + 1
        self._first_bin = np.concatenate([[0], np.cumsum(bins)[:-1]]).astype(np.int64)
        pieces = self._cut(
            intervals.contig_ids.astype(np.int64),
            intervals.start,
            intervals.end,
            np.arange(len(intervals), dtype=np.int64),
        )
        self._occupied, lists = np.unique(pieces.bin, return_inverse=True)
        self._index = self._build(pieces, lists.astype(np.int64))
        self._on_gpu = None if gpu is None else _to_gpu(self._faiss, self._index, gpu)

    def overlap_pairs(self, queries: Intervals) -> OverlapPairs:
        """All pairs of a query and an indexed interval that share at least one bp.

        Parameters
        ----------
        queries : Intervals
            In any order; contigs that the index does not have give no pairs.

        Returns
        -------
        OverlapPairs
            The same arrays as `overlap.OverlapIndex.overlap_pairs` returns.
        """
        contig = contig_codes(queries, self.contigs)
        rows = np.flatnonzero(contig >= 0)
        rows = rows[queries.start[rows] < self._extent[contig[rows]]]
        end = np.minimum(queries.end[rows], self._extent[contig[rows]])
        pieces = self._cut(contig[rows], queries.start[rows], end, rows)
        lists = np.searchsorted(self._occupied, pieces.bin)
        known = lists < len(self._occupied)
        known[known] = self._occupied[lists[known]] == pieces.bin[known]
        pieces, lists = pieces[known], lists[known]
        found = [
            self._search(pieces[at], lists[at], queries)
            for at in _blocks(len(lists), PIECES_PER_SEARCH)
        ]
        empty = np.empty(0, np.int64)
        return OverlapPairs.sorted(
            np.concatenate([empty, *(query for query, _ in found)]),
            np.concatenate([empty, *(row for _, row in found)]),
        )

    def pair_blocks(self, queries: Intervals, most: int) -> Iterator[OverlapPairs]:
        """The same pairs in blocks of `PIECES_PER_SEARCH` queries, whatever `most` says."""
        for at in _blocks(len(queries), PIECES_PER_SEARCH):
            pairs = self.overlap_pairs(queries.take(np.arange(len(queries))[at]))
            yield OverlapPairs(query=pairs.query + at.start, row=pairs.row)

    def _cut(
        self,
        contig: NDArray[np.int64],
        start: NDArray[np.int64],
        end: NDArray[np.int64],
        owner: NDArray[np.int64],
    ) -> _Pieces:
        first, last = start >> BIN_BITS, (end - 1) >> BIN_BITS
        counts = last - first + 1
        at = np.repeat(np.arange(len(owner)), counts)
        local = np.arange(len(at)) - np.repeat(np.cumsum(counts) - counts, counts) + first[at]
        low = local << BIN_BITS
        middle = low + (1 << (BIN_BITS - 1))
        return _Pieces(
            owner=owner[at],
            bin=self._first_bin[contig[at]] + local,
            start=np.maximum(start[at], low) - middle,
            end=np.minimum(end[at], low + (1 << BIN_BITS)) - middle,
        )

    def _build(self, pieces: _Pieces, lists: NDArray[np.int64]) -> IndexIVF:
        faiss = self._faiss
        n_lists = max(len(self._occupied), 1)
        quantizer = faiss.IndexFlatIP(4)
        # Lists are always given, so the centroids are never read; a GPU wants one for each.
        quantizer.add(np.zeros((n_lists, 4), np.float32))
        index = faiss.IndexIVFFlat(quantizer, 4, n_lists, faiss.METRIC_INNER_PRODUCT)
        index.is_trained = True
        index.nprobe = 1
        start, end = pieces.start, pieces.end
        vectors = np.stack([start * end, start, end, np.ones_like(start)], axis=1)
        vectors = np.ascontiguousarray(vectors, np.float32)
        owner = np.ascontiguousarray(pieces.owner)
        pointers = [faiss.swig_ptr(array) for array in (vectors, owner, lists)]
        index.add_core(len(lists), *pointers)
        return index

    def _search(
        self, pieces: _Pieces, lists: NDArray[np.int64], queries: Intervals
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        start, end = -pieces.start, -pieces.end
        vectors = np.stack([-np.ones_like(start), -start, -end, -(start * end)], axis=1)
        vectors = np.ascontiguousarray(vectors, np.float32)
        if self._on_gpu is None:
            piece, row = _range_candidates(self._index, vectors, lists)
        else:
            piece, row = _nearest_candidates(self._on_gpu, self._index, vectors, lists)
        query, kept = pieces.owner[piece], self._intervals
        begin = np.maximum(kept.start[row], queries.start[query])
        true = begin < np.minimum(kept.end[row], queries.end[query])
        contig_bin = pieces.bin[piece] - self._first_bin[kept.contig_ids[row]]
        true &= (begin >> BIN_BITS) == contig_bin
        return query[true], row[true]


def _range_candidates(
    index: IndexIVF, vectors: NDArray[np.float32], lists: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of a query piece, ascending, and a row, shape (n_pairs,): products above the margin.

    `vectors` are float32, shape (n, 4); `lists` holds the inverted list of each.
    """
    bounds, _, row = index.range_search_preassigned(
        vectors, -MARGIN, lists[:, None], np.zeros((len(lists), 1), np.float32)
    )
    return np.repeat(np.arange(len(lists)), np.diff(bounds.astype(np.int64))), row


def _nearest_candidates(
    nearest: IndexIVF, fallback: IndexIVF, vectors: NDArray[np.float32], lists: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The same pairs by an index that gives the `GPU_NEAREST` greatest products only.

    Pieces that have more above the margin than that are searched by `fallback`, on the CPU.
    """
    products, rows = nearest.search_preassigned(vectors, GPU_NEAREST, lists[:, None], None)
    near = (rows >= 0) & (products > -MARGIN)
    full = near[:, -1]
    piece, at = np.nonzero(near & ~full[:, None])
    again = np.flatnonzero(full)
    piece_again, row_again = _range_candidates(fallback, vectors[again], lists[again])
    return np.concatenate([piece, again[piece_again]]), np.concatenate([rows[piece, at], row_again])


def _to_gpu(faiss: ModuleType, index: IndexIVF, gpu: int) -> IndexIVF:
    n_gpus = faiss.get_num_gpus()
    if not 0 <= gpu < n_gpus:
        raise MissingDependencyError(
            f"FAISS sees {n_gpus} GPU(s), and GPU {gpu} is not among them. Install peakatlas[gpu] "
            "(without faiss-cpu) on a CUDA machine, or leave the GPU out: the result is the same."
        )
    options = faiss.GpuClonerOptions()
    options.use_cuvs = False  # its IVF indices take no lists from the caller
    options.indicesOptions = faiss.INDICES_64_BIT
    return faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), gpu, index, options)


def _blocks(total: int, size: int) -> list[slice]:
    return [slice(low, low + size) for low in range(0, total, size)]
