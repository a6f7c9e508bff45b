"""What each cell type opens, as a function of the DNA: profiles that reach unseen peaks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from peakatlas.classifier.counts.sparse import binary

from .whitening import whitening

if TYPE_CHECKING:
    import scipy.sparse as sp
    from numpy.typing import NDArray

FOLDS = 3
MAX_AXES = 100
PENALTY = 0.1
PRIOR_CELLS = 4.0


@dataclass(frozen=True, eq=False)
class TypeProfiles:
    """Linear maps from a peak's embedding to how much more each type opens it than the others.

    One map for each third of the reference's peaks, learnt from the other two thirds: a peak of
    the reference is always judged by a map that has not seen it, as a new peak is, so that cells
    of the reference and of a query with other peaks are described in the same way. A new peak
    gets the mean of the maps.

    The accessibility of new peaks is predicted from their sequence as in scBasset (Yuan and
    Kelley 2022, doi:10.1038/s41592-022-01562-8), for types instead of cells and with a ridge
    regression on frozen embeddings; learning in folds to keep what was fitted comparable with what
    was not is the cross-fitting of Wolpert (1992), doi:10.1016/S0893-6080(05)80023-1.

    Parameters
    ----------
    mean : float32, shape (dim,)
        Of the embeddings of the reference's peaks.
    maps : float32, shape (3, dim, n_types)
    """

    mean: NDArray[np.float32]
    maps: NDArray[np.float32]

    @classmethod
    def fit(
        cls,
        counts: sp.csr_matrix,
        values: NDArray[np.float32],
        fold: NDArray[np.int64],
        types: NDArray[np.int64],
        could: NDArray[np.int64] | None = None,
    ) -> TypeProfiles:
        """Fit on labelled cells.

        Parameters
        ----------
        counts : csr_matrix of float32, shape (n_cells, n_peaks)
        values : float32, shape (n_peaks, dim)
            Embeddings, without NaN.
        fold : int64, shape (n_peaks,)
            0, 1 or 2: the map that does not see the peak.
        types : int64, shape (n_cells,)
        could : int64, shape (n_types, n_peaks), optional
            See `type_log_odds`.
        """
        mean, axes = whitening(values, MAX_AXES)
        white = (values - mean).astype(np.float64) @ axes
        wanted = type_log_odds(counts, types, could)
        maps = [axes @ _ridge(white[fold != k], wanted[fold != k]) for k in range(FOLDS)]
        return cls(mean, np.ascontiguousarray(np.stack(maps), np.float32))

    def predict(self, values: NDArray[np.float32], fold: NDArray[np.int64]) -> NDArray[np.float32]:
        """How much more each type opens each peak, float32, shape (n_peaks, n_types).

        Parameters
        ----------
        values : float32, shape (n_peaks, dim)
            Embeddings, without NaN.
        fold : int64, shape (n_peaks,)
            The map that does not know a peak; -1 where none does.
        """
        centred = values - self.mean
        predicted = centred @ self.maps.mean(axis=0)
        for k in range(FOLDS):
            predicted[fold == k] = centred[fold == k] @ self.maps[k]
        return np.asarray(predicted, np.float32)


def type_log_odds(
    counts: sp.csr_matrix, types: NDArray[np.int64], could: NDArray[np.int64] | None = None
) -> NDArray[np.float64]:
    """Log-odds that a type opens a peak, less the mean over types, shape (n_peaks, n_types).

    Shares are drawn towards that of all cells by four cells' worth.

    Parameters
    ----------
    counts : csr_matrix of float32, shape (n_cells, n_peaks)
    types : int64, shape (n_cells,)
    could : int64, shape (n_types, n_peaks), optional
        Cells of a type whose experiment could show a peak; all of the type if not given.
    """
    opened = binary(counts)
    if could is None:
        could = np.repeat(np.bincount(types)[:, None], counts.shape[1], axis=1)
    seen = could.sum(axis=0)
    overall = (np.asarray(opened.sum(axis=0), np.float64).ravel() + 0.5) / (seen + 1)
    columns = []
    for code, cells in enumerate(could):
        total = np.asarray(opened[np.flatnonzero(types == code)].sum(axis=0), np.float64).ravel()
        share = (total + PRIOR_CELLS * overall) / (cells + PRIOR_CELLS)
        columns.append(np.log(share / (1 - share)))
    odds = np.stack(columns, axis=1)
    centred: NDArray[np.float64] = odds - odds.mean(axis=1, keepdims=True)
    return centred


def _ridge(white: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    gram = white.T @ white + PENALTY * len(white) * np.eye(white.shape[1])
    solved: NDArray[np.float64] = np.linalg.solve(gram, white.T @ (wanted - wanted.mean(axis=0)))
    return solved
