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

from peakatlas.engine.errors import LabelsError
from peakatlas.engine.intervals.contig_names import match_contigs
from peakatlas.engine.intervals.table import Intervals

from .levels import Levels
from .matrix import CellCounts, check_labels, column_of, read_counts
from .measured_peaks import Measured
from .peak_table import PeakTable
from .registry import registry_rows, shared_registry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from peakatlas.atlas.atlas import Atlas

    from .registry import ResolvedValues, Sources

Reference: TypeAlias = str | Path | ad.AnnData | CellCounts


@dataclass(frozen=True, eq=False, kw_only=True)
class LabelledCells:
    """One reference."""

    counts: CellCounts
    labels: tuple[NDArray[np.str_], ...]
    """One a label column, shape (n_cells,)."""
    batches: NDArray[np.str_]
    """Name of the batch of each cell, shape (n_cells,)."""


@dataclass(frozen=True, eq=False, kw_only=True)
class LabelledSet:
    """All reference cells as one table; arrays have one row a cell."""

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
            If labels are absent, too few, or not nested; if a reference lacks a column.
        """
        given = [data] if isinstance(data, str | Path | ad.AnnData | CellCounts) else list(data)
        if not given:
            raise LabelsError("no reference was given. Give at least one labelled data set.")
        counts = _distinct([read_counts(each, layer=layer, use_raw=use_raw) for each in given])
        parts = tuple(_labelled(each, columns, batch_key, len(counts) > 1) for each in counts)
        stacked = [np.concatenate([p.labels[i] for p in parts]) for i in range(len(columns))]
        where = ", ".join(each.source for each in counts)
        for column, labels in zip(columns, stacked, strict=True):
            check_labels(labels, f"{where}: obs[{column!r}]")
        levels = Levels.find(columns, stacked)
        names, batches = np.unique(np.concatenate([p.batches for p in parts]), return_inverse=True)
        finest = stacked[list(columns).index(levels.columns[-1])]
        return cls(
            parts=parts,
            levels=levels,
            types=np.searchsorted(np.asarray(levels.finest), finest).astype(np.int64),
            batch_names=tuple(map(str, names)),
            batches=batches.astype(np.int64),
        )

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return len(self.types)

    def named(self, sources: Sources, atlas: Atlas | None) -> list[Intervals]:
        """Peaks of each reference, lifted and renamed as asked for; see `Sources.named`."""
        named = [sources.named(part.counts.peaks, atlas) for part in self.parts]
        if atlas is None and sources.match_contigs:
            return [named[0], *(match_contigs(peaks, named[0].contigs) for peaks in named[1:])]
        return named

    def cells_by_batch(self) -> dict[str, dict[str, int]]:
        """Cells by batch and finest type; types that a batch lacks are left out."""
        return {
            name: dict(Counter(np.asarray(self.levels.finest)[self.types[self.batches == b]]))
            for b, name in enumerate(self.batch_names)
        }

    def record(self, found: Sequence[ResolvedValues]) -> list[dict[str, Any]]:
        """What each reference is, for provenance."""
        return [
            {
                "source": part.counts.source,
                "cells": part.counts.n_cells,
                "peaks": part.counts.n_peaks,
                "median_depth": float(np.median(part.counts.depth)),
                "tiers": each.tiers(),
                "types": sorted({str(name) for labels in part.labels[-1:] for name in labels}),
            }
            for part, each in zip(self.parts, found, strict=True)
        ]


@dataclass(frozen=True, eq=False, kw_only=True)
class JoinedCounts:
    """Counts of all references over the union of their peaks."""

    matrix: sp.csr_matrix
    """Float32, shape (n_cells, n_peaks)."""
    peaks: PeakTable
    registry: Intervals
    measured: Measured | None
    """None where all references counted the same peaks."""


def join(
    counts: Sequence[CellCounts],
    named: Sequence[Intervals],
    found: Sequence[ResolvedValues],
    atlas: Atlas | None,
) -> JoinedCounts:
    """Carry references to one set of peaks and one registry.

    A peak that several references have, to the base, is one column; others stay apart, and meet
    in the registry where they overlap.

    Parameters
    ----------
    counts : sequence of CellCounts
    named : sequence of Intervals
        Their peaks by the names of the atlas.
    found : sequence of ResolvedValues
        Of these peaks.
    atlas : Atlas or None
    """
    registry = shared_registry(named, found, atlas)
    if len(counts) == 1:
        table = PeakTable(found[0].values, registry_rows(named[0], registry))
        return JoinedCounts(matrix=counts[0].matrix, peaks=table, registry=registry, measured=None)
    every = Intervals.concatenate(named)
    first, column = _columns(every)
    union = every.take(first)
    bounds = np.cumsum([0, *(len(peaks) for peaks in named)])
    own = [column[a:b] for a, b in pairwise(bounds)]
    values = np.concatenate([each.values for each in found])[first]
    shown = np.zeros((len(counts), len(union)), np.bool_)
    for row, columns in zip(shown, own, strict=True):
        row[columns] = True
    experiment = np.repeat(np.arange(len(counts)), [each.n_cells for each in counts])
    return JoinedCounts(
        matrix=sp.vstack(
            [_spread(each.matrix, c, len(union)) for each, c in zip(counts, own, strict=True)],
            format="csr",
        ),
        peaks=PeakTable(values, registry_rows(union, registry)),
        registry=registry,
        measured=None if shown.all() else Measured(experiment.astype(np.int64), shown),
    )


def _labelled(
    counts: CellCounts, columns: Sequence[str], batch_key: str | None, several: bool
) -> LabelledCells:
    batches = np.full(counts.n_cells, counts.source)
    if batch_key is not None:
        batches = column_of(counts, batch_key, "--batch-key")
        if several:
            batches = np.asarray([f"{counts.source}: {name}" for name in batches])
    labels = tuple(column_of(counts, column, "--labels") for column in columns)
    return LabelledCells(counts=counts, labels=labels, batches=batches)


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


def _columns(every: Intervals) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First row of each distinct interval, in order of first occurrence; column of each row."""
    keys = np.stack([every.contig_ids.astype(np.int64), every.start, every.end])
    _, first, inverse = np.unique(keys, axis=1, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return first[order], rank[inverse.ravel()]


def _spread(matrix: sp.csr_matrix, columns: NDArray[np.int64], n_columns: int) -> sp.csr_matrix:
    """Columns moved to their places among all; two that fall together are summed."""
    shape = (matrix.shape[1], n_columns)
    ones = np.ones(len(columns), np.float32)
    move = sp.csr_matrix((ones, (np.arange(len(columns)), columns)), shape=shape)
    moved = sp.csr_matrix(matrix @ move, dtype=np.float32)
    moved.sort_indices()
    return moved
