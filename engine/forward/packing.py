"""Packs: which sequences go through the model together."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def pack(lengths: ArrayLike, token_budget: int) -> list[NDArray[np.int64]]:
    """Split sequences into as few packs of at most `token_budget` tokens as this order allows.

    Sequences are taken from long to short, so that a pack has few distinct lengths (one matrix
    product a length) and the costliest pack comes first. Packs are filled evenly, as a nearly
    empty one wastes its matrix products. A sequence that is longer than the budget is a pack of
    its own. The caller restores the order: ``out[rows] = values``.

    Parameters
    ----------
    lengths : int, shape (n,)
        Tokens of each sequence.
    token_budget : int
        Upper bound of the sum of lengths in a pack, in tokens.

    Returns
    -------
    list of int64 arrays
        Rows of each pack; every row occurs once.

    Raises
    ------
    ValueError
        If `token_budget` is below 1.

    Examples
    --------
    >>> [rows.tolist() for rows in pack([3, 9, 3, 9, 3], 12)]
    [[1], [3], [0, 2, 4]]
    """
    if token_budget < 1:
        raise ValueError(f"token_budget {token_budget} is below 1 token")
    counts = np.asarray(lengths, np.int64)
    order = np.argsort(-counts, kind="stable")
    cumulative = np.cumsum(counts[order])
    bounds = _fill(cumulative, token_budget)
    low, high = 1, token_budget  # the least budget that needs no more packs lies between
    while low < high:
        middle = (low + high) // 2
        tried = _fill(cumulative, middle)
        if len(tried) > len(bounds):
            low = middle + 1
        else:
            high, bounds = middle, tried
    return [order[first:past] for first, past in pairwise(bounds)]


def _fill(cumulative: NDArray[np.int64], token_budget: int) -> list[int]:
    """Bounds of packs that are each filled up to the budget."""
    bounds = [0]
    while bounds[-1] < len(cumulative):
        first = bounds[-1]
        before = cumulative[first - 1] if first else 0
        past = int(np.searchsorted(cumulative, before + token_budget, side="right"))
        bounds.append(max(past, first + 1))
    return bounds
