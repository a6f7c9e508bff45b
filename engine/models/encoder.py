"""What the embedder needs of a model, whatever its family."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import Tensor

    from peakatlas.engine.dna.sequences import Sequences
    from peakatlas.engine.tokens.kmer import Tokens


class Encoder(Protocol):
    """Token ids in, token vectors out; `forward.PackedEncoder` and `padded.PaddedEncoder`."""

    @property
    def dim(self) -> int:
        """Length of a token vector at the end."""

    @property
    def width(self) -> int:
        """Length of a token vector within the layers."""

    @property
    def device(self) -> torch.device:
        """Device that holds the weights."""

    @property
    def pack_tokens(self) -> int:
        """Tokens of a pack for which the encoder is fastest."""

    def hidden(self, ids: Tensor, groups: Sequence[tuple[int, int]], *, layer: int = -1) -> Tensor:
        """Token vectors of sequences that follow one another.

        Parameters
        ----------
        ids : int32 or int64, shape (n_tokens,)
        groups : sequence of (int, int)
            Number of sequences and their length in tokens, for each run of equal lengths.
        layer : int
            -1: the last, after the final norm; k >= 0: after k layers.

        Returns
        -------
        float32, shape (n_tokens, dim), or (n_tokens, width) for k >= 0
        """


class Tokenizer(Protocol):
    """DNA in, token ids out; `tokens.KmerTokenizer` and those of `vocabulary`."""

    vocab: list[str]
    """Token of each id."""

    @property
    def digest(self) -> str:
        """SHA-256 of all that decides the ids, hex."""

    def encode(self, sequences: Sequences) -> Tokens:
        """Token ids of each sequence, with the special tokens that the model expects."""


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A model that is ready to embed, and what is known of it."""

    encoder: Encoder
    tokenizer: Tokenizer
    real: NDArray[np.bool_]
    """Whether each token id is DNA that counts in a mean, not a special token or N; (vocab,)."""
    n_layers: int
    """Transformer layers."""
    linear_weights: int
    """Weights of the linear layers that every token goes through."""
    learnt_positions: bool
    """Whether positions end at the context (a learnt table), or go on (rotary and others)."""
    leading_cls: bool
    """Whether every sequence begins with a token that stands for the whole."""

    def flops(self, lengths: NDArray[np.int64]) -> float:
        """Floating-point operations of a forward pass: matrix products, two an addend.

        Parameters
        ----------
        lengths : int64, shape (n,)
            Tokens of each sequence.
        """
        tokens, pairs = float(lengths.sum()), float((lengths.astype(float) ** 2).sum())
        return 2 * self.linear_weights * tokens + 4 * self.n_layers * self.encoder.width * pairs
