"""Labelled references: read and checked one by one, then put together over all their peaks."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import anndata as ad
import numpy as np
import scipy.sparse as sp

from peakatlas.atlas.search.lookup import check_naming
from peakatlas.engine.errors import CountsError, LabelsError
from peakatlas.engine.intervals.contig_names import match_contigs

from .labels import check_labels, clean_labels, n_stripped, tidy
from .levels import Levels
from .matrix import CellCounts, column_of, is_mudata, read_counts
from .registry import registry_rows, shared_registry
from .sparse import carry

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from peakatlas.atlas.atlas import Atlas
    from peakatlas.engine.intervals.table import Intervals

    from .registry import Sources

Reference: TypeAlias = str | Path | ad.AnnData | CellCounts
LEAST_SHARED = 0.25
"""Share of the counts that must lie in peaks of all references for the others to be left out."""
LEAST_OF_A_TYPE = 200


@dataclass(frozen=True, eq=False, kw_only=True)
class LabelledCells:
    """One reference; arrays have one row for each cell that has counts."""

    counts: CellCounts
    rows: NDArray[np.int64]
    """Rows of `counts` that have counts, ascending."""
    depth: NDArray[np.float64]
    """Counts a cell."""
    labels: tuple[NDArray[np.str_], ...]
    """One a label column."""
    batches: NDArray[np.str_]
    """Name of the batch of each cell."""
    stripped: int
    """Labels that had blanks around them."""

    @property
    def empty(self) -> int:
        """Cells of the file without counts."""
        return self.counts.n_cells - len(self.rows)


@dataclass(frozen=True, eq=False, kw_only=True)
class LabelledSet:
    """All reference cells that have counts; arrays have one row a cell."""

    parts: tuple[LabelledCells, ...]
    levels: Levels
    types: NDArray[np.int64]
    """Codes of the finest types."""
    batch_names: tuple[str, ...]
    batches: NDArray[np.int64]
    """Codes of `batch_names`."""

    @classmethod
    def read(
        cls,
        data: Reference | Sequence[Reference],
        columns: Sequence[str],
        batch_key: str | None,
        *,
        layer: str | None = None,
        use_raw: bool = False,
    ) -> LabelledSet:
        """Read references and check their labels.

        Cells without counts are left out.

        Parameters
        ----------
        data : one or several of path, AnnData
        columns : sequence of str
            Columns of `obs` with the types, one a level.
        batch_key : str or None
            Column of `obs` with the batch; each reference is a batch by itself as well.
        layer : str, optional
            Layer with the counts of each reference; `X` if not given.
        use_raw : bool
            Take counts and peaks from `raw`.

        Raises
        ------
        CountsError, IntervalError
            If a reference cannot be used.
        LabelsError
            If labels are absent, too few, not nested or called like peakatlas's own; if a
            reference lacks a column.
        """
        return cls.of(read_references(data, columns, batch_key, layer, use_raw), columns)

    @classmethod
    def of(cls, parts: Sequence[LabelledCells], columns: Sequence[str]) -> LabelledSet:
        """References that were read, their labels checked and put together.

        Parameters
        ----------
        parts : sequence of LabelledCells
        columns : sequence of str
            What the labels of each part stand for, one a level.

        Raises
        ------
        LabelsError
            If labels are too few, not nested or called like peakatlas's own.
        """
        stacked = [np.concatenate([p.labels[i] for p in parts]) for i in range(len(columns))]
        where = ", ".join(part.counts.source for part in parts)
        for column, labels in zip(columns, stacked, strict=True):
            check_labels(labels, f"{where}: obs[{column!r}]")
        levels = Levels.find(columns, stacked)
        names, batches = np.unique(np.concatenate([p.batches for p in parts]), return_inverse=True)
        finest = stacked[list(columns).index(levels.columns[-1])]
        return cls(
            parts=tuple(parts),
            levels=levels,
            types=np.searchsorted(np.asarray(levels.finest), finest).astype(np.int64),
            batch_names=tuple(map(str, names)),
            batches=batches.astype(np.int64),
        )

    @property
    def n_cells(self) -> int:
        """Number of cells that have counts."""
        return len(self.types)

    @property
    def depth(self) -> NDArray[np.float64]:
        """Counts a cell, shape (n_cells,)."""
        return np.concatenate([part.depth for part in self.parts])

    def named(self, sources: Sources, atlas: Atlas | None) -> list[Intervals]:
        """Peaks of each reference, lifted and renamed as asked for; see `Sources.named`.

        Raises
        ------
        ContigError
            If there is no atlas, and a reference names contigs of the first in another style.
        """
        named = [sources.named(part.counts.peaks, atlas) for part in self.parts]
        if atlas is None and sources.match_contigs:
            return [named[0], *(match_contigs(peaks, named[0].contigs) for peaks in named[1:])]
        if atlas is None:
            for peaks in named[1:]:
                check_naming(peaks, named[0].contigs, self.parts[0].counts.source)
        return named

    def sample(self, most: int, seed: int) -> NDArray[np.int64]:
        """Rows of at most `most` cells, ascending.

        Of each type at least 200 where there are so many (fewer of each where there are many
        types), beyond that in proportion.
        """
        if self.n_cells <= most:
            return np.arange(self.n_cells)
        sizes = np.bincount(self.types)
        least = np.minimum(sizes, min(LEAST_OF_A_TYPE, most // (2 * len(sizes))))
        share = (most - least.sum()) / (sizes - least).sum()
        wanted = least + np.floor((sizes - least) * share).astype(np.int64)
        order = np.random.default_rng(seed).permutation(self.n_cells)
        by_type = order[np.argsort(self.types[order], kind="stable")]
        place = np.arange(self.n_cells) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        return np.sort(by_type[place < np.repeat(wanted, sizes)])

    def cells_by_batch(self) -> dict[str, dict[str, int]]:
        """Cells by batch and finest type; types that a batch lacks are left out."""
        return {
            name: dict(Counter(np.asarray(self.levels.finest)[self.types[self.batches == b]]))
            for b, name in enumerate(self.batch_names)
        }

    def record(self) -> list[dict[str, Any]]:
        """What each reference is, for provenance."""
        return [
            {
                "source": part.counts.source,
                "cells": len(part.rows),
                "empty_cells": part.empty,
                "peaks": part.counts.n_peaks,
                "median_depth": float(np.median(part.depth)),
                "types": sorted(set(part.labels[-1].tolist())),
            }
            for part in self.parts
        ]


def read_references(
    data: Reference | Sequence[Reference],
    columns: Sequence[str],
    batch_key: str | None,
    layer: str | None = None,
    use_raw: bool = False,
    mod: str | None = None,
) -> tuple[LabelledCells, ...]:
    """Read references one by one; takes and raises the same as `LabelledSet.read`."""
    one = isinstance(data, str | Path | ad.AnnData | CellCounts) or is_mudata(data)
    given: list[Reference] = [data] if one else list(data)  # type: ignore[arg-type]
    if not given:
        raise LabelsError("no reference was given. Give at least one labelled data set.")
    counts = _distinct([read_counts(each, layer=layer, use_raw=use_raw, mod=mod) for each in given])
    return tuple(_labelled(each, columns, batch_key, len(counts) > 1) for each in counts)


@dataclass(frozen=True, eq=False, kw_only=True)
class JoinedCounts:
    """Counts of some cells of all references over one set of peaks."""

    matrix: sp.csr_matrix
    """Float32, shape (n_cells, n_peaks)."""
    peaks: Intervals
    measured: NDArray[np.bool_] | None
    """Peaks that every reference counted, shape (n_peaks,); None where all are to be used."""


def join(
    labelled: LabelledSet, named: Sequence[Intervals], rows: NDArray[np.int64]
) -> JoinedCounts:
    """Carry cells of all references to the peaks of the first, and those that it lacks.

    What only some references counted is left out of use, unless the peaks that all have hold less
    than a quarter of the counts.

    Parameters
    ----------
    labelled : LabelledSet
    named : sequence of Intervals
        Peaks of each reference, by the names of the atlas.
    rows : int64
        Cells wanted, ascending.
    """
    peaks = shared_registry(named)
    columns = [registry_rows(each, peaks) for each in named]
    ends = np.cumsum([0, *(len(part.rows) for part in labelled.parts)])
    blocks: list[sp.csr_matrix] = []
    for part, column, (start, stop) in zip(labelled.parts, columns, pairwise(ends), strict=True):
        inside = rows[(rows >= start) & (rows < stop)] - start
        blocks += _carried(part.counts, part.rows[inside], column, len(peaks))
    matrix = sp.csr_matrix(sp.vstack(blocks), dtype=np.float32)
    return JoinedCounts(matrix=matrix, peaks=peaks, measured=_in_all(columns, matrix))


def _carried(
    counts: CellCounts, rows: NDArray[np.int64], column: NDArray[np.int64], n_peaks: int
) -> Iterator[sp.csr_matrix]:
    """Counts of some cells of a reference, over all peaks, block by block."""
    for start, block in counts.rows.blocks():
        inside = rows[(rows >= start) & (rows < start + block.shape[0])] - start
        if len(inside):
            yield carry(sp.csr_matrix(block[inside]), column, np.arange(n_peaks))


def _in_all(
    columns: Sequence[NDArray[np.int64]], matrix: sp.csr_matrix
) -> NDArray[np.bool_] | None:
    every = np.ones(matrix.shape[1], np.bool_)
    for column in columns:
        every &= np.isin(np.arange(matrix.shape[1]), column)
    if every.all():
        return None
    counts = np.asarray(matrix.sum(axis=0)).ravel()
    return every if counts[every].sum() >= LEAST_SHARED * counts.sum() else None


def _labelled(
    counts: CellCounts, columns: Sequence[str], batch_key: str | None, several: bool
) -> LabelledCells:
    batches = np.full(counts.n_cells, counts.source)
    if batch_key is not None:
        batches = tidy(column_of(counts, batch_key, "--batch-key"))
        if several:
            batches = np.asarray([f"{counts.source}: {name}" for name in batches])
    raw = [column_of(counts, column, "--labels") for column in columns]
    labels = [
        clean_labels(values, f"{counts.source}: obs[{column!r}]")
        for column, values in zip(columns, raw, strict=True)
    ]
    depth = np.concatenate(
        [np.asarray(block.sum(axis=1), np.float64).ravel() for _, block in counts.rows.blocks()]
    )
    rows = np.flatnonzero(depth)
    if not len(rows):
        raise CountsError(f"{counts.source}: no cell has a count. Give the raw counts.")
    return LabelledCells(
        counts=counts,
        rows=rows,
        depth=depth[rows],
        labels=tuple(values[rows] for values in labels),
        batches=batches[rows],
        stripped=sum(n_stripped(values) for values in raw),
    )


def _distinct(counts: list[CellCounts]) -> list[CellCounts]:
    """The same with a number after names that several have."""
    times = Counter(each.source for each in counts)
    seen: Counter[str] = Counter()
    found = []
    for each in counts:
        seen[each.source] += 1
        many = times[each.source] > 1
        name = f"{each.source} ({seen[each.source]})" if many else each.source
        found.append(replace(each, source=name))
    return found
