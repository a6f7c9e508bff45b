"""Which peaks the experiment of each cell could show: what it could not is not closed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Measured:
    """Cells of several experiments over the union of their peaks.

    Parameters
    ----------
    experiment : int64, shape (n_cells,)
    peaks : bool, shape (n_experiments, n_peaks)
        Peaks that an experiment counted.
    """

    experiment: NDArray[np.int64]
    peaks: NDArray[np.bool_]

    def take(self, cells: NDArray[np.int64]) -> Measured:
        """Some of the cells."""
        return Measured(self.experiment[cells], self.peaks)

    def cells_by_peak(
        self, types: NDArray[np.int64] | None = None, n_types: int = 1
    ) -> NDArray[np.int64]:
        """How many cells of each type could show each peak, int64, shape (n_types, n_peaks).

        Parameters
        ----------
        types : int64, shape (n_cells,), optional
            All of one type if not given.
        n_types : int
        """
        codes = np.zeros(len(self.experiment), np.int64) if types is None else types
        cells = np.zeros((n_types, len(self.peaks)), np.int64)
        np.add.at(cells, (codes, self.experiment), 1)
        return cells @ self.peaks.astype(np.int64)

    def cells_by_row(
        self, peak_rows: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """How many cells could show each registry row, int64, shape (n_rows,).

        Parameters
        ----------
        peak_rows : int64, shape (n_peaks,)
            Row of each peak, -1 if none.
        rows : int64, shape (n_rows,)
            Sorted rows wanted.
        """
        sizes = np.bincount(self.experiment, minlength=len(self.peaks))
        found = np.zeros(len(rows), np.int64)
        for size, counted in zip(sizes, self.peaks, strict=True):
            found += size * np.isin(rows, peak_rows[counted])
        return found
