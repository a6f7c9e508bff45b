"""What the embedder needs of a model, whatever its family."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import ArrayLike, NDArray
    from torch import Tensor

    from peakatlas.engine.forward.plan import PackPlan
    from peakatlas.engine.tokens.token_ids import Tokenizer


class Encoder(Protocol):
    """Token ids in, token vectors out: `forward.encoder.PackedEncoder`, `hf_encoder.HfEncoder`."""

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

    def plan(
        self,
        ids: NDArray[Any],
        lengths: ArrayLike,
        *,
        real: NDArray[np.bool_] | None = None,
        owner: NDArray[np.int64] | None = None,
    ) -> PackPlan:
        """Work out a pack for this encoder, on the host; see `forward.plan.make_plan`."""

    def hidden(self, plan: PackPlan, *, layer: int = -1) -> Tensor:
        """Token vectors of packed sequences.

        Parameters
        ----------
        plan : PackPlan
            On the device of the encoder.
        layer : int
            -1: the last, after the final norm; k >= 0: after k layers.

        Returns
        -------
        float32, shape (n_rows, dim), or (n_rows, width) for k >= 0
        """

    def mean(self, hidden: Tensor, plan: PackPlan) -> Tensor:
        """Mean over the real tokens of each sequence, NaN without any; shape (n, dim)."""


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
