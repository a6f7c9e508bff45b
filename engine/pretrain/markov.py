"""Fixed-order Markov model of DNA: the yardstick for a language model's held-out loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from peakatlas.engine.dna.kmers import kmer_index

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CODES = np.full(256, 4, np.uint8)
_CODES[np.frombuffer(b"ACGT", np.uint8)] = np.arange(4, dtype=np.uint8)
_BLOCK_BP = 1 << 24


@dataclass(frozen=True)
class MarkovModel:
    """P(base | the `order` bases before it), fitted to both strands.

    Parameters
    ----------
    order : int
        Bases of left context.
    bits_of : float64, shape (4 ** (order + 1),)
        -log2 P of the last base of each (order + 1)-mer, A C G T order.
    """

    order: int
    bits_of: NDArray[np.float64]

    @classmethod
    def fit(cls, data: NDArray[np.uint8], order: int) -> MarkovModel:
        """Count (order + 1)-mers of ASCII DNA and of its reverse complement, plus one each.

        Parameters
        ----------
        data : uint8, shape (n_bp,)
            ASCII; a k-mer with a letter other than A, C, G, T is not counted.
        """
        k = order + 1
        counts = np.ones(4**k)
        for first in range(0, len(data), _BLOCK_BP):
            codes = _CODES[data[first : first + _BLOCK_BP + order]]
            for strand in (codes, np.where(codes < 4, 3 - codes, 4)[::-1]):
                index = kmer_index(strand, k)
                counts += np.bincount(index[index >= 0], minlength=4**k)
        table = counts.reshape(-1, 4)
        return cls(order, -np.log2(table / table.sum(axis=1, keepdims=True)).ravel())

    def bits(self, windows: NDArray[np.uint8]) -> NDArray[np.float64]:
        """-log2 P of each base given those before it; 2 bits where the context is cut short.

        Parameters
        ----------
        windows : uint8, shape (n, width)
            ASCII of A, C, G, T only.

        Returns
        -------
        float64, shape (n, width)
        """
        result = np.full(windows.shape, 2.0)
        for row, window in enumerate(_CODES[windows]):
            result[row, self.order :] = self.bits_of[kmer_index(window, self.order + 1)]
        return result
