"""Whether cells are told better by cells of their own query than by any type of the reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from sklearn.cluster import KMeans

from peakatlas.classifier.counts.sparse import binary, inverse_document_frequency

from .query_graph import OwnAxes, unit_places

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEWEST = 50
"""Cells below which groups say nothing."""
GROUPS_A_ROOT = 0.35
"""Groups for each unit of the square root of the cells."""
LEADING = 10
"""Axes on which groups are sought."""
ALL_AXES = 30
"""Axes on which neighbours are sought."""
BORROWED = 300
"""Counts that a group borrows from the types that its cells look like."""
BACKGROUND = 2000
"""Counts that a type borrows from all cells together."""
BLOCK_CELLS = 2048


@dataclass(frozen=True, eq=False)
class TypeShares:
    """Where the counts of each type fall.

    Parameters
    ----------
    logs : float32, shape (n_types, n_rows)
        Logarithm of the share of a type's open peaks that each row makes up.
    """

    logs: NDArray[np.float32]

    @classmethod
    def fit(
        cls,
        features: sp.csr_matrix,
        types: NDArray[np.int64],
        n_types: int,
        weights: NDArray[np.float32] | None = None,
    ) -> TypeShares:
        """Fit on reference cells.

        Parameters
        ----------
        features : csr_matrix, shape (n_cells, n_rows)
            Above 0 where a cell is open.
        types : int64, shape (n_cells,)
        n_types : int
        weights : float32, shape (n_cells,), optional
            Of each cell among those of its type.
        """
        share = np.ones(len(types), np.float32) if weights is None else weights
        member = sp.csr_matrix((share, (types, np.arange(len(types)))), (n_types, len(types)))
        opened = np.asarray((member @ binary(features)).todense(), np.float64)
        background = opened.sum(axis=0) + 1
        opened += BACKGROUND * background / background.sum()
        return cls(np.log(opened / opened.sum(axis=1, keepdims=True)).astype(np.float32))


@dataclass(frozen=True, eq=False, kw_only=True)
class Groups:
    """Groups of a query's cells, and where the counts of each group fall."""

    axes: OwnAxes
    centres: NDArray[np.float32]
    """On the leading axes, shape (n_groups, n_axes)."""
    open_in: NDArray[np.float32]
    """Open peaks of a group's cells by row, with what is borrowed, shape (n_groups, n_rows)."""
    types: TypeShares

    @classmethod
    def fit(cls, features: sp.csr_matrix, types: TypeShares, *, seed: int) -> Groups | None:
        """Find groups; None for fewer than 50 cells.

        Parameters
        ----------
        features : csr_matrix of float32, shape (n_cells, n_rows)
            Above 0 where a cell is open.
        types : TypeShares
        seed : int
            Of the axes and the groups.
        """
        n_cells = features.shape[0]
        if n_cells < FEWEST or features.shape[1] < LEADING:
            return None
        opened = binary(features)
        weights = inverse_document_frequency(opened)
        axes = OwnAxes.fit(opened, weights, n_axes=ALL_AXES, seed=seed)
        n_groups = max(2, round(GROUPS_A_ROOT * n_cells**0.5))
        found = KMeans(n_groups, n_init=2, random_state=seed).fit(_leading(axes.fitted))
        member = sp.csr_matrix(
            (np.ones(n_cells, np.float32), (found.labels_, np.arange(n_cells))), (n_groups, n_cells)
        )
        called = np.asarray(opened @ types.logs.T).argmax(axis=1)
        mix = np.asarray((member @ np.eye(len(types.logs), dtype=np.float32)[called]), np.float32)
        mix /= mix.sum(axis=1, keepdims=True)
        open_in = np.asarray((member @ opened).todense(), np.float32)
        open_in += np.float32(BORROWED) * (mix @ np.exp(types.logs))
        return cls(
            axes=axes,
            centres=found.cluster_centers_.astype(np.float32),
            open_in=open_in,
            types=types,
        )

    def gain(
        self, features: sp.csr_matrix, places: NDArray[np.float32], members: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """By how much a cell's group tells its counts better than the best type does.

        The mean over the open peaks of a cell, in natural logarithms of likelihood; a cell's own
        counts are taken out of its group. It is about 0 or less for cells of a type of the
        reference, however shallow, and positive for cells of a type that only the query has.

        Parameters
        ----------
        features : csr_matrix, shape (n_cells, n_rows)
        places : float32, shape (n_cells, n_axes)
            Of `OwnAxes.places`.
        members : bool, shape (n_cells,)
            Which of them the groups were found on.

        Returns
        -------
        float32, shape (n_cells,)
        """
        nearest, found = self._nearest(places), np.empty(len(places), np.float32)
        for start in range(0, len(places), BLOCK_CELLS):
            part = slice(start, start + BLOCK_CELLS)
            found[part] = self._gain(features[part], nearest[part], members[part])
        return found

    def _nearest(self, places: NDArray[np.float32]) -> NDArray[np.int64]:
        leading = _leading(places)
        squares = (self.centres**2).sum(axis=1) - 2 * leading @ self.centres.T
        return np.asarray(squares.argmin(axis=1))

    def _gain(
        self, features: sp.csr_matrix, group: NDArray[np.int64], members: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        opened = binary(features)
        n_cells, n_open = opened.shape[0], np.diff(opened.indptr)
        cell = np.repeat(np.arange(n_cells), n_open)
        itself = members.astype(np.float32)
        there = self.open_in[group[cell], opened.indices] - itself[cell]
        total = self.open_in.sum(axis=1)[group] - itself * n_open
        own = np.bincount(cell, np.log(np.maximum(there, 1e-9)), minlength=n_cells)
        own -= n_open * np.log(np.maximum(total, 1))
        best = np.asarray(opened @ self.types.logs.T).max(axis=1)
        return np.asarray((own - best) / (n_open + 1), np.float32)


def _leading(places: NDArray[np.float32]) -> NDArray[np.float32]:
    return unit_places(places[:, :LEADING])
