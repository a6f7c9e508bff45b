"""Everything that is learnt from a query, so that a chunk is labelled as the whole would be."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from peakatlas.classifier.models.protocol import Cells, DnaInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from peakatlas.classifier.models.protocol import Floats, Matrix

MATRIX_PARTS = ("data", "indices", "indptr", "shape")


@dataclass(frozen=True, kw_only=True, eq=False)
class QueryStatistics:
    """Cells of a query that the labeller learns from, and the size of the whole."""

    sample: Cells
    """All cells of the query, or a seeded choice of them."""
    n_cells: int
    """Cells of the whole query."""

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Plain arrays, for a file."""
        cells = self.sample
        found = {"n_cells": np.array(self.n_cells), **_packed("counts", cells.counts)}
        if cells.measured is not None:
            found["measured"] = cells.measured
        if cells.dna is not None:
            found |= _packed("dna_counts", cells.dna.counts)
            found |= {"dna_embeddings": cells.dna.embeddings, "dna_column": cells.dna.column}
            if cells.dna.kind == "terms":
                found["dna_is_terms"] = np.ones(1, np.uint8)
            if cells.dna.n_fraction is not None:
                found["dna_n_fraction"] = cells.dna.n_fraction
        return found

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> QueryStatistics:
        """Inverse of `arrays`.

        Raises
        ------
        KeyError, ValueError
            If an array is missing or does not fit.
        """
        dna = None
        if "dna_column" in arrays:
            dna = DnaInput(
                counts=_unpacked("dna_counts", arrays),
                embeddings=arrays["dna_embeddings"],
                column=arrays["dna_column"],
                n_fraction=arrays.get("dna_n_fraction"),
                kind="terms" if "dna_is_terms" in arrays else "dna",
            )
        measured = arrays.get("measured")
        cells = Cells(counts=_unpacked("counts", arrays), measured=measured, dna=dna)
        return cls(sample=cells, n_cells=int(arrays["n_cells"]))


def query_statistics(query: Cells, max_cells: int, seed: int) -> QueryStatistics:
    """Statistics of a query that is held in memory."""
    builder = StatisticsBuilder(max_cells, seed)
    builder.add(query)
    return builder.finish()


class StatisticsBuilder:
    """`QueryStatistics` of a query that is read in blocks; keeps no more than `max_cells` cells.

    Which cells are kept depends on their number and the seed, not on the blocks.

    Parameters
    ----------
    max_cells : int
    seed : int
    """

    def __init__(self, max_cells: int, seed: int) -> None:
        self._max, self._n = max_cells, 0
        self._seed = seed
        self._kept: list[tuple[Floats, Cells]] = []

    def add(self, block: Cells) -> None:
        """The next cells of the query."""
        keys = _keys(self._seed, self._n, block.n_cells)
        self._n += block.n_cells
        self._kept.append((keys, block))
        self._shrink(2 * self._max)

    def finish(self) -> QueryStatistics:
        """Statistics of all cells added."""
        self._shrink(self._max)
        return QueryStatistics(sample=joined([c for _, c in self._kept]), n_cells=self._n)

    def _shrink(self, limit: int) -> None:
        if sum(len(keys) for keys, _ in self._kept) <= limit:
            return
        every = np.concatenate([keys for keys, _ in self._kept])
        highest = np.sort(every)[self._max - 1]
        kept = []
        for keys, cells in self._kept:
            rows = np.flatnonzero(keys <= highest)
            if len(rows):
                kept.append((keys[rows], cells.take(rows)))
        self._kept = kept


def joined(parts: list[Cells]) -> Cells:
    """Cells of several blocks of one query, on the same peaks."""
    if len(parts) == 1:
        return parts[0]
    first, dna = parts[0], None
    if first.dna is not None:
        own = _stacked([p.dna.counts for p in parts if p.dna is not None])
        dna = replace(first.dna, counts=own)
    return Cells(counts=_stacked([p.counts for p in parts]), measured=first.measured, dna=dna)


def _stacked(parts: list[Matrix]) -> Matrix:
    return sp.csr_matrix(sp.vstack(parts), dtype=np.float32)


def _keys(seed: int, start: int, n: int) -> Floats:
    """Random numbers of cells `start`, `start` + 1, …: the same however these are cut in blocks."""
    bits = np.random.PCG64(seed)
    bits.advance(start)
    return np.random.Generator(bits).random(n)


def _packed(name: str, matrix: Matrix) -> dict[str, NDArray[Any]]:
    return {
        f"{name}_data": matrix.data.astype(np.float32),
        f"{name}_indices": matrix.indices.astype(np.int32),
        f"{name}_indptr": matrix.indptr.astype(np.int64),
        f"{name}_shape": np.array(matrix.shape, np.int64),
    }


def _unpacked(name: str, arrays: Mapping[str, NDArray[Any]]) -> Matrix:
    data, indices, indptr, shape = (arrays[f"{name}_{part}"] for part in MATRIX_PARTS)
    ends = indptr.astype(np.int64)  # SciPy does not see that unsigned ones go down
    matrix = sp.csr_matrix((data, indices, ends), shape=tuple(shape.tolist()))
    matrix.check_format(full_check=True)
    return matrix
