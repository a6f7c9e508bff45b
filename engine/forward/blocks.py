"""Weights of a packed encoder, and what a device's forward has to do with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from torch import Tensor

    from .linear import Linear
    from .plan import PackPlan


@dataclass(frozen=True, kw_only=True)
class Affine:
    """Weight and bias of a linear layer (``y = x Wᵀ + b``) or a layer norm."""

    weight: Tensor
    bias: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class EncoderLayer:
    """Weights of one pre-norm transformer layer."""

    attention_norm: Affine
    qkv: Affine
    """Query, key and value stacked, weight shape (3 dim, dim)."""
    attention_out: Affine
    mlp_norm: Affine
    up: Affine
    """Weight shape (ffn, dim), or (2 ffn, dim) for ``swiglu``: gate, then value."""
    down: Affine


@dataclass(frozen=True, kw_only=True)
class EncoderShape:
    """Sizes and rules that all layers of an encoder share."""

    width: int
    """Length of a token vector within the layers."""
    ffn: int
    """Width of the feed-forward's intermediate."""
    n_heads: int
    gated: bool
    """Whether the feed-forward is a SwiGLU, not a GELU."""
    rope_base: float | None
    """Base period of the rotary positions; None with learnt positions."""
    eps: float
    """Of the layer norms."""
    dtype: torch.dtype
    """Of the operands of the matrix products."""

    @property
    def head_dim(self) -> int:
        """Length of a head's vectors."""
        return self.width // self.n_heads

    @property
    def scale(self) -> float:
        """Factor of the products of query and key."""
        return float(self.head_dim**-0.5)


class Forward(Protocol):
    """How one kind of device runs the layers: `cpu.CpuForward` or `cuda.CudaForward`."""

    same_bytes: bool
    """Whether a sequence's vectors do not depend, bit for bit, on its company."""

    def linear(self, layer: Affine) -> Linear:
        """Lay a linear layer out for the device."""

    def block(self, layer: EncoderLayer, shape: EncoderShape) -> Any:  # noqa: ANN401 (its own)
        """Lay a layer's matrices out for the device; the copies are all that is kept of them."""

    def rows(self, n_tokens: int, shape: EncoderShape) -> int:
        """Rows of a pack with its filler."""

    def pads(self, shape: EncoderShape) -> bool:
        """Whether plans need the indices that pad sequences to the longest."""

    def pack_tokens(self, shape: EncoderShape) -> int:
        """Tokens of a pack for which the device is fastest, as far as that is known unmeasured."""

    def layers(
        self, x: Tensor, blocks: Sequence[Any], plan: PackPlan, shape: EncoderShape
    ) -> Tensor:
        """Residual stream after some layers, float32, shape (n_rows, width); may change `x`."""

    def mean(self, hidden: Tensor, plan: PackPlan) -> Tensor:
        """Mean over the real tokens of each sequence, NaN without any; shape (n, dim)."""
