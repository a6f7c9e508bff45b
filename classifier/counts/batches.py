"""Batches of reference cells: how much each weighs, and which are held out together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.model_selection import StratifiedKFold

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

N_FOLDS = 3
LEFT_AT_LEAST = 3


def batch_weights(
    types: NDArray[np.int64], batches: NDArray[np.int64]
) -> NDArray[np.float32] | None:
    """Weight of each cell among those of its type, mean 1 a type; None if there is one batch.

    A batch weighs by the square root of the cells of a type that it has: a big donor does not
    drown a small one, and a handful of cells does not stand for half of a type.

    Parameters
    ----------
    types, batches : int64, shape (n_cells,)

    Examples
    --------
    >>> weights = batch_weights(np.array([0, 0, 0, 0, 0]), np.array([0, 0, 0, 0, 1]))
    >>> [f"{weight:.2f}" for weight in weights]
    ['0.83', '0.83', '0.83', '0.83', '1.67']
    """
    if len(np.unique(batches)) < 2:
        return None
    both = types * (batches.max() + 1) + batches
    _, place, sizes = np.unique(both, return_inverse=True, return_counts=True)
    weights = 1 / np.sqrt(sizes[place])
    mean = np.bincount(types, weights) / np.maximum(np.bincount(types), 1)
    return np.asarray(weights / mean[types], np.float32)


def folds(
    types: NDArray[np.int64], seed: int, batches: NDArray[np.int64] | None = None
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Cells that are seen and cells that are held out, each cell held out once.

    With several batches, whole batches are held out together, as a query is a batch that training
    has not seen. Where a type would be left with fewer than 3 cells by that, it is split by
    chance.

    Parameters
    ----------
    types : int64, shape (n_cells,)
        At least 3 cells of each.
    seed : int
    batches : int64, shape (n_cells,), optional

    Yields
    ------
    seen, held : int64
        Rows of the cells, ascending.
    """
    fold = fold_of(types, seed, batches)
    for k in range(int(fold.max()) + 1):
        yield np.flatnonzero(fold != k), np.flatnonzero(fold == k)


def fold_of(
    types: NDArray[np.int64], seed: int, batches: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Fold in which each cell is held out, int64, shape (n_cells,); see `folds`."""
    n_batches = 1 if batches is None else len(np.unique(batches))
    n_folds = N_FOLDS if n_batches == 1 else min(N_FOLDS, n_batches)
    fold = np.zeros(len(types), np.int64)
    by_chance = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
    for k, (_, held) in enumerate(by_chance.split(np.zeros(len(types)), types)):
        fold[held] = k
    if batches is None or n_batches == 1:
        return fold
    whole = _packed(batches, n_folds)[batches]
    for code in np.unique(types):
        cells = types == code
        sizes = np.bincount(whole[cells], minlength=n_folds)
        if sizes.sum() - sizes.max() >= LEFT_AT_LEAST:
            fold[cells] = whole[cells]
    return fold


def _packed(batches: NDArray[np.int64], n_folds: int) -> NDArray[np.int64]:
    """Fold of each batch: the largest first, each into the fold with the fewest cells so far."""
    sizes = np.bincount(batches)
    filled, fold = np.zeros(n_folds, np.int64), np.zeros(len(sizes), np.int64)
    for batch in np.argsort(-sizes, kind="stable"):
        fold[batch] = int(filled.argmin())
        filled[fold[batch]] += sizes[batch]
    return fold
