"""Windows that are more like regulatory elements than most of a genome is, found without labels.

They hold hardly any repeats, and those rich in CG dinucleotides are drawn as often as poor ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from peakatlas.engine.tokens.letters import letter_codes

from .repeats import Repeats

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .windows import WindowSampler

_DRAWN = 20
"""Windows that are drawn for one that is chosen."""
_REPEATED = 0.1
"""Share of repeated 12-mers that a window may have, if enough have no more."""
_BLOCK = 512


class VariedWindows:
    """Draws windows of few repeats and of all compositions.

    Parameters
    ----------
    sampler : WindowSampler
        Of random windows; its DNA says what is repeated.
    """

    def __init__(self, sampler: WindowSampler) -> None:
        self.sampler = sampler
        self._repeats = Repeats.count(sampler.data)

    def draw(self, n: int, rng: np.random.Generator) -> NDArray[np.uint8]:
        """Letter codes of `n` windows, uint8, shape (n, bp)."""
        sizes = [min(_BLOCK, n - first) for first in range(0, n, _BLOCK)]
        return np.concatenate([self._block(size, rng) for size in sizes])

    def _block(self, n: int, rng: np.random.Generator) -> NDArray[np.uint8]:
        drawn = letter_codes(self.sampler.draw(_DRAWN * n, rng))
        share = self._repeats.share(drawn)
        n_kept = max(n, int((share <= _REPEATED).sum()))
        kept = np.argsort(share, kind="stable")[:n_kept]
        return by_composition(drawn[kept], n, rng)


def by_composition(codes: NDArray[np.uint8], n: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw windows so that all densities of CG dinucleotides are there alike.

    Most of a genome is poor in them; regulatory elements are not.

    Parameters
    ----------
    codes : uint8, shape (m, bp)
        Letter codes, m much greater than `n`.
    """
    level = np.floor(2 * np.log2(1 + cpg_counts(codes))).astype(np.int64)
    weight = 1 / np.bincount(level)[level]
    return codes[rng.choice(len(codes), n, replace=False, p=weight / weight.sum())]


def cpg_counts(codes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """CG dinucleotides of each window, shape (n,)."""
    return np.asarray(((codes[:, :-1] == 1) & (codes[:, 1:] == 2)).sum(axis=1))
