"""Rows of an atlas whose embeddings are nearest to a query, by centred cosine.

All embeddings of a model point much the same way: raw cosines of any two are close to 1 and say
little. So the mean of the atlas's embedded rows is taken off first, from rows and queries alike.

``exact`` compares with every row, block by block, in bounded memory. ``ivf`` looks into the lists
of a trained FAISS index (8 bits a dimension) that are nearest to the query, fetches the candidates
from the atlas and gives their exact cosines: it may miss neighbours, never misstates one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from peakatlas.atlas.format.schema import EMBEDDED, SHOWN
from peakatlas.engine.errors import AtlasError, ContigError, IntervalError
from peakatlas.engine.summary import Summary

from .faiss_tools import FaissSelector, import_faiss, on_gpu

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from peakatlas.engine.intervals.table import Intervals

    from .targets import AtlasRows

    Floats = NDArray[np.float32]
    Rows = NDArray[np.int64]

IndexName = Literal["exact", "ivf"]
ROWS_PER_BLOCK = 1 << 15
N_PROBE = 16
"""Lists that an approximate search looks into."""
CANDIDATES = 4
"""An approximate search fetches so many times k candidates and keeps the best k."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Neighbours(Summary):
    """Nearest rows of each query, best first; queries in the order given."""

    query: NDArray[np.int64]
    """Number of the query that each hit belongs to, shape (n_hits,), ascending."""
    row: NDArray[np.int64]
    """Row of the atlas, shape (n_hits,)."""
    cosine: NDArray[np.float32]
    """Centred cosine of the two, shape (n_hits,), descending within a query."""
    intervals: Intervals
    """Interval of each hit."""

    def __len__(self) -> int:
        return len(self.row)

    def _summary(self) -> tuple[str, dict[str, object]]:
        best = float(self.cosine.max()) if len(self) else None
        cosine = None if best is None else f"{best:.3f}"
        facts: dict[str, object] = {"queries": len(np.unique(self.query)), "highest cosine": cosine}
        return f"Neighbours ({len(self):,} rows)", facts

    def to_frame(self) -> pd.DataFrame:
        """One row a hit.

        Returns
        -------
        pandas.DataFrame
            ``query, row, chrom, start, end, cosine``.
        """
        frame = self.intervals.to_frame()
        frame.insert(0, "query", self.query)
        frame.insert(1, "row", self.row)
        return frame.assign(cosine=self.cosine)


def nearest_rows(
    atlas: AtlasRows,
    queries: Floats,
    *,
    k: int = 10,
    region: Intervals | None = None,
    index: IndexName = "exact",
    n_probe: int = N_PROBE,
    leave_out: NDArray[np.int64] | None = None,
) -> Neighbours:
    """Find the rows nearest to embeddings by centred cosine.

    Parameters
    ----------
    atlas : AtlasRows
    queries : float32, shape (n, dim)
        Embeddings of the spec of the atlas, not centred.
    k : int
        Hits a query; fewer where fewer rows are to be had.
    region : Intervals, optional
        Only rows that overlap one of these.
    index : {"exact", "ivf"}
        Compare with every row, or with those in the nearest lists of a trained index.
    n_probe : int
        Lists that ``ivf`` looks into.
    leave_out : int64, shape (n,), optional
        A row of the atlas to leave out for each query, such as its own; -1 for none.

    Returns
    -------
    Neighbours
        Ties go to the lower row. Masked rows are never among them.

    Raises
    ------
    AtlasError
        If a query is not finite or has another dimension, or a shard is damaged.
    IntervalError
        If `k` or `n_probe` is below 1, or no embedded row lies in the region.
    ContigError
        If the region lies on contigs that the atlas does not have.
    MissingDependencyError
        If faiss is not installed.
    """
    _check(atlas, queries, k, n_probe)
    own = np.full(len(queries), -1, np.int64) if leave_out is None else leave_out
    allowed = _rows_in(atlas, region)
    moved = centred(queries, atlas.centre)
    if index == "exact":
        cosine, row = _exact(atlas, moved, k + 1, allowed)
    else:
        cosine, row = _approximate(atlas, moved, k + 1, allowed, n_probe)
    return _table(atlas, cosine, np.where(row == own[:, None], -1, row), k)


def query_rows(atlas: AtlasRows, peaks: Intervals) -> NDArray[np.int64]:
    """Row that stands for each peak: the same interval, else the one that overlaps it best.

    Parameters
    ----------
    atlas : AtlasRows
    peaks : Intervals

    Returns
    -------
    int64, shape (n,)

    Raises
    ------
    IntervalError
        If no row overlaps a peak.
    ContigError
        If no contig of the peaks is in the atlas, and only the naming style differs.
    """
    found = atlas.lookup(peaks).overlap_row
    alone = np.flatnonzero(found < 0)
    if len(alone):
        shown = ", ".join(peaks.take(alone[:SHOWN]).names())
        raise IntervalError(
            f"no row of {atlas.name} overlaps {len(alone)} of the peaks ({shown}). Give intervals "
            "that the atlas holds, or embed these with the atlas's model and search by their "
            "embeddings."
        )
    return found


def centred(values: Floats, centre: Floats) -> Floats:
    """Embeddings less `centre`, of length 1.

    Parameters
    ----------
    values : float32, shape (n, dim)
    centre : float32, shape (dim,)

    Returns
    -------
    float32, shape (n, dim)
        0 where a row is the centre itself.
    """
    moved = values - centre
    length = np.linalg.norm(moved, axis=1, keepdims=True)
    unit: Floats = np.divide(moved, length, out=moved, where=length > 0)
    return unit


def mean_row(atlas: AtlasRows) -> Floats:
    """Mean of the embedded rows, summed in float64, block by block.

    Raises
    ------
    AtlasError
        If no row is embedded, or a shard is damaged.
    """
    embedded = np.flatnonzero(atlas.state == EMBEDDED)
    if not len(embedded):
        raise AtlasError(f"{atlas.name} has no embedded row: all are masked.")
    total = np.zeros(atlas.dim, np.float64)
    for rows in _blocks(embedded, ROWS_PER_BLOCK):
        total += atlas.gather(rows).sum(axis=0, dtype=np.float64)
    mean: Floats = (total / len(embedded)).astype(np.float32)
    return mean


def recall(atlas: AtlasRows, *, k: int = 10, n_queries: int = 200, n_probe: int = N_PROBE) -> float:
    """Share of the true k nearest rows that ``ivf`` finds, over rows spread evenly.

    Raises
    ------
    AtlasError
        If a shard is damaged.
    MissingDependencyError
        If faiss is not installed.
    """
    embedded = np.flatnonzero(atlas.state == EMBEDDED)
    at = np.linspace(0, len(embedded) - 1, min(n_queries, len(embedded))).astype(np.int64)
    rows = embedded[at]
    values = atlas.gather(rows)
    true = nearest_rows(atlas, values, k=k, leave_out=rows)
    found = nearest_rows(atlas, values, k=k, leave_out=rows, index="ivf", n_probe=n_probe)
    pairs = [
        set(zip(hits.query.tolist(), hits.row.tolist(), strict=True)) for hits in (true, found)
    ]
    return len(pairs[0] & pairs[1]) / max(1, len(pairs[0]))


def _exact(atlas: AtlasRows, queries: Floats, k: int, allowed: Rows) -> tuple[Floats, Rows]:
    """Best k of the allowed rows, -1 where there are fewer; each row is read once."""
    faiss = import_faiss()
    best = np.full((len(queries), k), -np.inf, np.float32), np.full((len(queries), k), -1, np.int64)
    flat = on_gpu(faiss.IndexFlatIP(atlas.dim))
    for rows in _blocks(allowed, ROWS_PER_BLOCK):
        flat.reset()
        flat.add(centred(atlas.gather(rows), atlas.centre))
        cosine, at = flat.search(queries, min(k, len(rows)))
        best = _best(*best, cosine, rows[at])
    return best


def _approximate(
    atlas: AtlasRows, queries: Floats, k: int, allowed: Rows, n_probe: int
) -> tuple[Floats, Rows]:
    faiss, index = import_faiss(), atlas.ivf_index()
    limits = {"sel": _selector(atlas, allowed)} if len(allowed) < index.ntotal else {}
    wanted = min(CANDIDATES * k, len(allowed))
    settings = faiss.SearchParametersIVF(nprobe=min(n_probe, index.nlist), **limits)
    _, candidates = index.search(queries, wanted, params=settings)
    return _exact_cosines(atlas, queries, candidates, k)


def _selector(atlas: AtlasRows, allowed: Rows) -> FaissSelector:
    """What keeps a search to some rows; a range where they are all there is between two rows."""
    faiss = import_faiss()
    first, stop = int(allowed[0]), int(allowed[-1]) + 1
    if np.count_nonzero(atlas.state[first:stop] == EMBEDDED) == len(allowed):
        return faiss.IDSelectorRange(first, stop)
    inside = np.zeros(len(atlas), np.bool_)
    inside[allowed] = True
    return faiss.IDSelectorBitmap(np.packbits(inside, bitorder="little"))


def _exact_cosines(
    atlas: AtlasRows, queries: Floats, candidates: Rows, k: int
) -> tuple[Floats, Rows]:
    """Best k of each query's candidates (-1 is none) by their cosine as the atlas has it."""
    best = np.full((len(queries), k), -np.inf, np.float32), np.full((len(queries), k), -1, np.int64)
    step = max(1, ROWS_PER_BLOCK // max(1, candidates.shape[1]))
    for at in _blocks(np.arange(len(queries)), step):
        unique, place = np.unique(candidates[at], return_inverse=True)
        known = unique >= 0
        values = np.zeros((len(unique), atlas.dim), np.float32)
        values[known] = centred(atlas.gather(unique[known]), atlas.centre)
        near = values[place.reshape(candidates[at].shape)]
        cosine = np.einsum("qd,qcd->qc", queries[at], near)
        cosine[candidates[at] < 0] = -np.inf
        best[0][at], best[1][at] = _best(best[0][at], best[1][at], cosine, candidates[at])
    return best


def _best(cosine: Floats, row: Rows, more_cosine: Floats, more_row: Rows) -> tuple[Floats, Rows]:
    """As many of both as the first has columns, best first, ties to the lower row."""
    both = np.concatenate([cosine, more_cosine], axis=1)
    rows = np.concatenate([row, more_row], axis=1)
    order = np.lexsort((rows, -both), axis=1)[:, : cosine.shape[1]]
    return np.take_along_axis(both, order, axis=1), np.take_along_axis(rows, order, axis=1)


def _table(atlas: AtlasRows, cosine: Floats, row: Rows, k: int) -> Neighbours:
    hit = row >= 0
    hit &= np.cumsum(hit, axis=1) <= k
    query, column = np.nonzero(hit)
    rows = row[query, column]
    return Neighbours(
        query=query.astype(np.int64),
        row=rows,
        cosine=cosine[query, column],
        intervals=atlas.intervals.take(rows),
    )


def _rows_in(atlas: AtlasRows, region: Intervals | None) -> Rows:
    """Embedded rows that overlap a region, ascending."""
    embedded = atlas.state == EMBEDDED
    if region is None:
        return np.flatnonzero(embedded)
    intervals = atlas.intervals
    absent = sorted(set(region.chrom) - set(intervals.contigs))
    if absent:
        raise ContigError(
            f"{atlas.name} has no contig {', '.join(absent[:SHOWN])}; it has "
            f"{', '.join(intervals.contigs[:SHOWN])} …. Name the region as the atlas does."
        )
    inside = np.unique(atlas.coordinate_index.overlap_pairs(region).row)
    rows: Rows = inside[embedded[inside]]
    if not len(rows):
        raise IntervalError(
            f"no embedded row of {atlas.name} lies in {', '.join(region.names()[:SHOWN])}. Give a "
            "wider region."
        )
    return rows


def _check(atlas: AtlasRows, queries: Floats, k: int, n_probe: int) -> None:
    if k < 1 or n_probe < 1:
        raise IntervalError(f"k is {k} and n_probe {n_probe}; both must be 1 or more.")
    if queries.ndim != 2 or queries.shape[1] != atlas.dim:
        raise AtlasError(f"queries have shape {queries.shape}; they must be (n, {atlas.dim}).")
    wrong = np.flatnonzero(~np.isfinite(queries).all(axis=1))
    if len(wrong):
        raise AtlasError(
            f"{len(wrong)} query embedding(s) are not finite (query {wrong[:SHOWN].tolist()}): "
            "their window is N or they are masked. Leave them out."
        )


def _blocks(values: NDArray[Any], size: int) -> Iterator[NDArray[Any]]:
    for low in range(0, len(values), size):
        yield values[low : low + size]
