"""Which DNA of a genome is repeats: its 12-mers are there far more often than chance has it.

Half of a mammalian genome is copies of a few mobile elements; regulatory elements are mostly
unique.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from peakatlas.engine.dna.kmers import kmer_index, reverse_complements
from peakatlas.engine.tokens.letters import letter_codes

if TYPE_CHECKING:
    from numpy.typing import NDArray

K = 12
_LEAST_COPIES = 100
_TIMES_CHANCE = 7
_BLOCK = 1 << 23


@dataclass(frozen=True)
class Repeats:
    """Which 12-mers are repeated: 100 times or more, and seven times as often as the mean one.

    Parameters
    ----------
    repeated : bool, shape (4**12,)
    """

    repeated: NDArray[np.bool_]

    @classmethod
    def count(cls, letters: NDArray[np.uint8]) -> Repeats:
        """Count the 12-mers of both strands of DNA given as ASCII, uint8, shape (n,)."""
        copies = np.zeros(4**K, np.int64)
        for first in range(0, len(letters), _BLOCK):
            codes = letter_codes(letters[first : first + _BLOCK + K - 1])
            index = kmer_index(codes, K)
            copies += np.bincount(index[index >= 0], minlength=4**K)
        copies += copies[reverse_complements(K)]
        return cls(copies >= max(_LEAST_COPIES, _TIMES_CHANCE * copies.mean()))

    def share(self, codes: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Share of repeated 12-mers in windows without unknown bases.

        Parameters
        ----------
        codes : uint8, shape (n, bp)
            Letter codes.

        Returns
        -------
        float64, shape (n,)
        """
        return np.asarray(self.repeated[kmer_index(codes, K)].mean(axis=1))
