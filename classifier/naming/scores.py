"""How much more of a term's peaks a cell opens than chance has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

RIDGE = 0.3
"""Added to the correlation of terms before it is inverted: terms share many peaks, and a score of
one must not be that of its neighbour."""


def term_scores(
    opened: sp.csr_matrix, peak_terms: sp.csr_matrix, wanted: Sequence[int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scores of terms for each cell, of unit variance by chance, each apart from the others.

    A peak weighs one over the root of its number of terms. By chance a cell opens peaks at a rate
    that depends on their breadth only: the mean frequency of the peaks with as many terms. So a
    sample of one lineage, whose own peaks are frequent throughout, is no exception to itself.

    Parameters
    ----------
    opened : csr_matrix
        Binary, shape (n_cells, n_peaks).
    peak_terms : csr_matrix
        Binary, shape (n_peaks, number of all terms).
    wanted : sequence of int
        Columns of the terms to score.

    Returns
    -------
    scores : float64, shape (n_cells, number of wanted terms)
    depth : float64, shape (n_cells,)
        Open peaks with any term, at least 1.
    """
    breadth = np.asarray(peak_terms.sum(axis=1)).ravel().astype(np.int64)
    chance = _chance(opened, breadth)
    weight = 1 / np.sqrt(np.maximum(breadth, 1))
    weighted = sp.csr_matrix(sp.diags(weight) @ peak_terms[:, list(wanted)], dtype=np.float64)
    depth = np.maximum(opened @ (breadth > 0).astype(np.float64), 1)
    mean = np.asarray(weighted.T @ chance).ravel()
    spread = (weighted.T @ sp.diags(chance) @ weighted).toarray() - np.outer(mean, mean)
    scale = np.sqrt(np.maximum(np.diag(spread), 1e-12))
    excess = (opened @ weighted).toarray() - depth[:, None] * mean
    scores = excess / np.sqrt(depth)[:, None] / scale
    return _apart(scores, spread / np.outer(scale, scale)), depth


def _chance(opened: sp.csr_matrix, breadth: NDArray[np.int64]) -> NDArray[np.float64]:
    """Chance that an open peak with a term is this one, shape (n_peaks,)."""
    frequency = np.bincount(opened.indices, minlength=opened.shape[1]) / max(opened.shape[0], 1)
    peaks = np.maximum(np.bincount(breadth), 1)
    chance = (np.bincount(breadth, frequency) / peaks)[breadth] * (breadth > 0)
    return np.asarray(chance / max(float(chance.sum()), 1e-12))


def _apart(scores: NDArray[np.float64], correlation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores of correlated terms with what they share taken out, of unit variance again."""
    inverse = np.linalg.inv(correlation + RIDGE * np.eye(len(correlation)))
    scale = np.sqrt(np.maximum(np.diag(inverse @ correlation @ inverse), 1e-12))
    return np.asarray(scores @ inverse / scale)
