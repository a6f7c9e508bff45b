"""What is known of a whole query after one pass over its cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from peakatlas.classifier.counts.sparse import rarity

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from peakatlas.classifier.counts.rows import CountRows

MOST_DRAWN = 20_000
"""Cells that a query is adapted to by, at most."""
MOST_DRAWN_COUNTS = 64_000_000
"""Nonzero counts of these cells, at most."""
FEWEST_DRAWN = 1_000
"""Cells that are drawn however deep they are, if there are as many."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Survey:
    """A query as a whole, and some of its cells."""

    totals: NDArray[np.float64]
    """Counts of each peak over all cells, shape (n_peaks,)."""
    idf: NDArray[np.float32]
    """Inverse document frequency of each peak over all cells, shape (n_peaks,)."""
    depth: NDArray[np.float32]
    """Counts of each cell, shape (n_cells,)."""
    drawn: NDArray[np.int64]
    """Cells that stand for all, in ascending order, shape (n_drawn,)."""
    cells: sp.csr_matrix
    """Their counts, shape (n_drawn, n_peaks)."""

    @property
    def complete(self) -> bool:
        """Whether every cell was drawn."""
        return len(self.drawn) == len(self.depth)


def draw(n_cells: int, n_counts: int, seed: int) -> NDArray[np.int64]:
    """Cells that stand for all of a query, in ascending order.

    All of them, if they are at most 20,000 with at most 64 million nonzero counts; else as many as
    that allows, but 1,000.

    Parameters
    ----------
    n_cells, n_counts : int
        Cells and nonzero counts of the query.
    seed : int

    Examples
    --------
    >>> draw(3, 10, seed=0), len(draw(10**6, 10**9, seed=0)), len(draw(10**6, 10**10, seed=0))
    (array([0, 1, 2]), 20000, 6400)
    """
    allowed = int(MOST_DRAWN_COUNTS * n_cells / max(n_counts, 1))
    n_drawn = min(n_cells, MOST_DRAWN, max(allowed, FEWEST_DRAWN))
    if n_drawn == n_cells:
        return np.arange(n_cells)
    chosen = np.random.default_rng(seed).choice(n_cells, n_drawn, replace=False)
    return np.sort(chosen).astype(np.int64)


def survey(rows: CountRows, *, seed: int = 0, count: Callable[[int, int], None]) -> Survey:
    """Read all cells once.

    Parameters
    ----------
    rows : CountRows
    seed : int
        Of the draw.
    count : callable
        Called with the number of cells read, and of all.

    Raises
    ------
    CountsError
        If a count in a file is no count.
    """
    n_cells, n_peaks = rows.shape
    drawn = draw(n_cells, int(rows.ends[-1]), seed)
    totals, open_in = np.zeros(n_peaks), np.zeros(n_peaks, np.int64)
    depth = np.empty(n_cells, np.float32)
    kept = []
    for start, block in rows.blocks():
        stop = start + block.shape[0]
        totals += np.bincount(block.indices, weights=block.data, minlength=n_peaks)
        open_in += np.bincount(block.indices, minlength=n_peaks)
        depth[start:stop] = np.asarray(block.sum(axis=1), np.float32).ravel()
        first, last = np.searchsorted(drawn, (start, stop))
        if rows.stored or len(drawn) < n_cells:
            kept.append(block[drawn[first:last] - start])
        count(stop, n_cells)
    cells = sp.csr_matrix(sp.vstack(kept, format="csr")) if kept else rows.read()
    return Survey(
        totals=totals, idf=rarity(open_in, n_cells), depth=depth, drawn=drawn, cells=cells
    )
