"""Whether confidences mean what they say: shares of right cells by confidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BINS = 10


def reliability(confidence: NDArray[np.floating[Any]], right: NDArray[np.bool_]) -> dict[str, Any]:
    """Share of right cells by confidence, in ten bins of equal width, and the mean gap.

    Parameters
    ----------
    confidence : float, shape (n_cells,)
        In [0, 1].
    right : bool, shape (n_cells,)

    Returns
    -------
    dict
        ``ece`` over these bins, and ``bins``: cells, mean confidence and share right of each bin
        that holds a cell.

    Examples
    --------
    >>> reliability(np.array([0.25, 0.95]), np.array([True, True]))["ece"]
    0.4
    """
    at = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    cells = np.bincount(at, minlength=BINS)
    told = np.bincount(at, confidence, minlength=BINS)
    hits = np.bincount(at, right, minlength=BINS)
    filled = np.flatnonzero(cells)
    return {
        "ece": round(float(np.abs(told - hits).sum() / max(len(confidence), 1)), 4),
        "bins": [
            {
                "cells": int(cells[b]),
                "confidence": round(float(told[b] / cells[b]), 4),
                "right": round(float(hits[b] / cells[b]), 4),
            }
            for b in filled
        ],
    }
