"""From the DNA of windows to what the model reads: strands, the rule for N, the context."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from peakatlas.engine.dna.sequences import Sequences
from peakatlas.engine.errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from peakatlas.engine.spec import Strand

    from .token_ids import Tokenizer, Tokens


@dataclass(frozen=True, kw_only=True)
class Reader:
    """Turns sequences into tokens and leaves out what cannot or should not be read.

    A sequence that is left out becomes an empty one: it has special tokens only, and so no weight
    in any mean.
    """

    tokenizer: Tokenizer
    model: str
    """Name of the model, for the text of an error."""
    context_tokens: int
    """Longest input in tokens."""
    learnt_positions: bool
    """Whether nothing can be read past the context, whatever the tokens are."""
    strand: Strand
    max_n_fraction: float
    """Greatest share of letters that are not A, C, G or T; a sequence with more is left out."""

    def read(
        self, sequences: Sequences, unknown: NDArray[np.float32] | None = None
    ) -> tuple[Tokens, ...]:
        """Tokens of the forward strand and, if asked for, of the reverse strand.

        Parameters
        ----------
        sequences : Sequences
        unknown : float32, shape (n,), optional
            What `Sequences.n_fraction` gives, if it has been worked out already.

        Returns
        -------
        tuple of Tokens
            One a strand, with the same rows.

        Raises
        ------
        ModelError
            If a sequence is longer than the context. One that only its N make too long (each may
            be a token) is left out where positions are learnt, and read where they are not.
        """
        unknown = sequences.n_fraction() if unknown is None else unknown
        kept = _blanked(sequences, unknown > self.max_n_fraction)
        strands = self._encode(kept)
        over = np.maximum.reduce([strand.lengths for strand in strands]) > self.context_tokens
        if not over.any():
            return strands
        self._refuse(kept, strands[0], over & ~(self._within(kept) & (unknown > 0)))
        return self._encode(_blanked(kept, over)) if self.learnt_positions else strands

    def _encode(self, sequences: Sequences) -> tuple[Tokens, ...]:
        forward = self.tokenizer.encode(sequences)
        if self.strand == "forward":
            return (forward,)
        return forward, self.tokenizer.encode(sequences.reverse_complement())

    def _within(self, sequences: Sequences) -> NDArray[np.bool_]:
        """Whether a sequence would fit if it had no N; always so for tokens of any length."""
        k = getattr(self.tokenizer, "k", None)
        most = (self.context_tokens - 1) * k if k else np.iinfo(np.int64).max
        return np.asarray(sequences.lengths <= most, np.bool_)

    def _refuse(self, sequences: Sequences, tokens: Tokens, wrong: NDArray[np.bool_]) -> None:
        rows = np.flatnonzero(wrong)
        if len(rows):
            row = rows[0]
            raise ModelError(
                f"{len(rows)} sequence(s) are longer than {self.model} reads: one of "
                f"{sequences.lengths[row]} bp is {tokens.lengths[row]} tokens, the most are "
                f"{self.context_tokens}. Ask for shorter windows, such as peak:510:60."
            )


def _blanked(sequences: Sequences, rows: NDArray[np.bool_]) -> Sequences:
    """The same sequences, those of `rows` empty."""
    if not rows.any():
        return sequences
    kept = np.repeat(~rows, sequences.lengths)
    return Sequences.from_lengths(sequences.data[kept], sequences.lengths * ~rows)
