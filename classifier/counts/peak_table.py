"""What is known of the peaks of one count matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class PeakTable:
    """What is known of the peaks of one count matrix.

    Parameters
    ----------
    values : float32, shape (n_peaks, dim)
        Embeddings; a row of NaN where there is none. `dim` may be 0.
    rows : int64, shape (n_peaks,)
        Registry row that a peak is carried to, -1 if none.
    idf : float32, shape (n_peaks,), optional
        Inverse document frequency over all cells of the matrix, for cells that are read in
        blocks; without it, that of the block is taken.
    said : float32, shape (n_embedded, n), optional
        What one encoder averages over peaks with an embedding (`CellEncoder.prepared`).
    """

    values: NDArray[np.float32]
    rows: NDArray[np.int64]
    idf: NDArray[np.float32] | None = None
    said: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def embedded(self) -> NDArray[np.bool_]:
        """Which peaks have an embedding, shape (n_peaks,)."""
        if self.values.shape[1] == 0:
            return np.zeros(len(self), np.bool_)
        return np.asarray(np.isfinite(self.values[:, 0]))

    def take(self, peaks: NDArray[np.bool_] | NDArray[np.int64]) -> PeakTable:
        """Some of the peaks, without what an encoder makes of them."""
        idf = None if self.idf is None else self.idf[peaks]
        return PeakTable(self.values[peaks], self.rows[peaks], idf)
