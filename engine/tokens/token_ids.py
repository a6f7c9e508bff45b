"""Token ids of many sequences as one flat array, and what makes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from peakatlas.engine.dna.sequences import Sequences


@dataclass(frozen=True)
class Tokens:
    """Token ids of several sequences, one after the other without padding."""

    ids: NDArray[np.int32]
    """Shape (n_tokens,); each sequence starts with ``<cls>``."""
    offsets: NDArray[np.int64]
    """Shape (n + 1,); tokens of sequence i are ``ids[offsets[i]:offsets[i + 1]]``."""

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> NDArray[np.int32]:
        return self.ids[self.offsets[row] : self.offsets[row + 1]]

    def take(self, rows: NDArray[np.int64]) -> NDArray[np.int32]:
        """Token ids of some sequences, one after the other."""
        if len(rows) and np.array_equal(rows, np.arange(rows[0], rows[0] + len(rows))):
            return self.ids[self.offsets[rows[0]] : self.offsets[rows[-1] + 1]]
        starts, lengths = self.offsets[rows], self.lengths[rows]
        past = np.cumsum(lengths)
        shift = np.repeat(starts - (past - lengths), lengths)
        taken: NDArray[np.int32] = self.ids[np.arange(past[-1] if len(past) else 0) + shift]
        return taken

    def repeat(self, n: int) -> Tokens:
        """All sequences n times."""
        return Tokens(
            np.tile(self.ids, n), np.concatenate([[0], np.cumsum(np.tile(self.lengths, n))])
        )

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each sequence, ``<cls>`` included, shape (n,)."""
        return np.diff(self.offsets)


class Tokenizer(Protocol):
    """DNA in, token ids out: those of `kmer`, `letters` and `hub`."""

    vocab: list[str]
    """Token of each id."""

    @property
    def digest(self) -> str:
        """SHA-256 of all that decides the ids, hex."""

    def encode(self, sequences: Sequences) -> Tokens:
        """Token ids of each sequence, with the special tokens that the model expects."""
