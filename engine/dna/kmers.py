"""K-mers as numbers in base 4, in the order A, C, G, T."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

UNKNOWN = 4
"""Code of a letter other than A, C, G, T."""


def kmer_index(codes: NDArray[np.uint8], k: int) -> NDArray[np.int32]:
    """Number of the k-mer that begins at each place, -1 if a base of it is unknown.

    Parameters
    ----------
    codes : uint8, shape (…, bp)
        Letter codes.
    k : int
        From 1 to 15.

    Returns
    -------
    int32, shape (…, bp - k + 1), or (…, 0) if there are fewer than k bases
    """
    n = max(codes.shape[-1] - k + 1, 0)
    index = np.zeros((*codes.shape[:-1], n), np.int32)
    unknown = np.zeros(index.shape, np.bool_)
    for step in range(k):
        letter = codes[..., step : step + n]
        index = index * 4 + np.minimum(letter, 3)
        unknown |= letter == UNKNOWN
    index[unknown] = -1
    return index


def reverse_complements(k: int) -> NDArray[np.int64]:
    """Number of the reverse complement of each k-mer, shape (4**k,).

    Examples
    --------
    >>> reverse_complements(1).tolist()
    [3, 2, 1, 0]
    """
    mirror = np.zeros(1, np.int64)
    for step in range(k):  # a base more at the end is one more where the mirror begins
        mirror = np.add.outer(mirror, (3 - np.arange(4)) * 4**step).ravel()
    return mirror


def canonical_columns(k: int) -> tuple[NDArray[np.int64], int]:
    """Column of each k-mer, the same for its reverse complement, and how many columns there are."""
    least = np.minimum(np.arange(4**k), reverse_complements(k))
    kept, column = np.unique(least, return_inverse=True)
    return column, len(kept)
