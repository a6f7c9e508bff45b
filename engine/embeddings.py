"""Vectors of a table of peaks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .errors import ModelError
from .summary import Summary

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, repr=False)
class PeakEmbeddings(Summary):
    """Embeddings of a table of peaks, in its order."""

    values: NDArray[np.float32]
    """Shape (n, dim); a row of NaN where `masked`, finite elsewhere."""
    masked: NDArray[np.bool_]
    """Peaks of which every window is richer in N than the spec allows, or holds no token of A, C,
    G, T at all, shape (n,)."""
    digests: NDArray[np.uint8]
    """BLAKE2b-128 of the peak's forward window sequence(s), shape (n, 16)."""
    n_fraction: NDArray[np.float32]
    """Share of the window's letters that are not A, C, G or T, shape (n,)."""

    @classmethod
    def empty(cls, n: int, dim: int) -> PeakEmbeddings:
        """Room for n peaks, to be filled."""
        return cls(
            values=np.empty((n, dim), np.float32),
            masked=np.empty(n, np.bool_),
            digests=np.empty((n, 16), np.uint8),
            n_fraction=np.empty(n, np.float32),
        )

    def _summary(self) -> tuple[str, dict[str, object]]:
        peaks, dim = self.values.shape
        empty = int(self.masked.sum())
        return f"Embeddings of {peaks:,} peaks", {"dimensions": dim, "without a vector": empty}


def require_finite(values: NDArray[np.float32], model: str) -> None:
    """Refuse vectors of known DNA, float32, shape (n, dim), that hold NaN or infinity.

    Raises
    ------
    ModelError
        Names the model.
    """
    wrong = int((~np.isfinite(values).all(axis=1)).sum())
    if wrong:
        raise ModelError(
            f"{model} gave NaN or infinity for {wrong:,} of {len(values):,} sequences of known "
            "DNA: its weights are damaged, or too large for this precision. Use --precision fp32, "
            "or fetch the model again."
        )
