"""Layers of the packed encoder: their weights, laid out once for the kernels that read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .linear import make_linear

if TYPE_CHECKING:
    from .linear import Linear


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
class Block:
    """An `EncoderLayer` with its matrices in the layout of the kernel."""

    attention_norm: Affine
    qkv: Linear
    attention_out: Linear
    mlp_norm: Affine
    gate: Linear
    """The whole of `EncoderLayer.up` for ``gelu``, its first half for ``swiglu``."""
    value: Linear | None
    down: Linear


def make_block(layer: EncoderLayer, *, n_heads: int, rotary: bool, gated: bool) -> Block:
    """Lay a layer's matrices out for the kernel; the copies are all that is kept of them.

    Parameters
    ----------
    layer : EncoderLayer
    n_heads : int
    rotary : bool
        Whether query and key are rotated, see `_arrange`.
    gated : bool
        Whether `EncoderLayer.up` holds a gate and a value (``swiglu``).
    """
    up, ffn = layer.up, layer.down.weight.shape[1]
    gate, value = (
        Affine(weight=up.weight[rows], bias=None if up.bias is None else up.bias[rows])
        for rows in (slice(0, ffn), slice(ffn, None))
    )
    return Block(
        attention_norm=layer.attention_norm,
        qkv=_linear(_arrange(layer.qkv, n_heads, rotary)),
        attention_out=_linear(layer.attention_out),
        mlp_norm=layer.mlp_norm,
        gate=_linear(gate),
        value=_linear(value) if gated else None,
        down=_linear(layer.down),
    )


def _arrange(qkv: Affine, n_heads: int, rotary: bool) -> Affine:
    """Query, key, value; with rotary positions the halves of all heads are put together.

    Their order is then: query and key, first halves of the heads; query and key, second halves;
    value. Without, the query is scaled here.
    """
    dim = qkv.weight.shape[1]
    order = torch.arange(3 * dim, device=qkv.weight.device)
    scale = torch.ones(3 * dim, device=qkv.weight.device)
    if rotary:
        halves = order[: 2 * dim].view(2, n_heads, 2, -1)
        order[: 2 * dim] = halves.permute(2, 0, 1, 3).flatten()
    else:
        scale[:dim] = float((dim // n_heads) ** -0.5)
    weight = (qkv.weight[order] * scale[:, None]).to(qkv.weight.dtype)
    if qkv.bias is None:
        return Affine(weight=weight)
    return Affine(weight=weight, bias=(qkv.bias[order] * scale).to(qkv.bias.dtype))


def _linear(layer: Affine) -> Linear:
    return make_linear(layer.weight, layer.bias)
