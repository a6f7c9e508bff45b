"""The forward pass on a CPU: a sequence's vectors are the same bytes whatever its company.

Packs are small, so that intermediates stay in the caches; attention is computed for each sequence;
kernels are given shapes in which the summation of a row does not depend on the other rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from .attention import attend_in_pieces, packed_attention, rotate
from .blocks import Affine
from .linear import has_onednn, make_cpu_linear
from .pooling import segment_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from .blocks import EncoderLayer, EncoderShape
    from .linear import Linear
    from .plan import PackPlan

# Rows of the matrix products: below 256, kernels may choose another order of summation for the
# same row; whole vectors of rows keep kernels off their tails.
_LEAST_ROWS, _ROW_STEP, _PLAIN_ROW_STEP = 256, 16, 64
# One intermediate of the feed-forward of a pack: two of them lie in the last-level cache.
_INTERMEDIATE_BYTES = 10 << 20
_LEAST_TOKENS = 1024


@dataclass(frozen=True, kw_only=True)
class CpuBlock:
    """An `EncoderLayer` with its matrices in the layout of the kernel."""

    attention_norm: Affine
    qkv: Linear
    attention_out: Linear
    mlp_norm: Affine
    gate: Linear
    """The whole of `EncoderLayer.up` for ``gelu``, its first half for ``swiglu``."""
    value: Linear | None
    down: Linear


class CpuForward:
    """Runs packed layers on a CPU."""

    same_bytes = True

    def linear(self, layer: Affine) -> Linear:
        """Lay a linear layer out for oneDNN, where there is one."""
        return make_cpu_linear(layer.weight, layer.bias)

    def block(self, layer: EncoderLayer, shape: EncoderShape) -> CpuBlock:
        """Lay a layer's matrices out; gate and value apart, halves of rotated heads together."""
        up, ffn = layer.up, layer.down.weight.shape[1]
        gate, value = (
            Affine(weight=up.weight[rows], bias=None if up.bias is None else up.bias[rows])
            for rows in (slice(0, ffn), slice(ffn, None))
        )
        return CpuBlock(
            attention_norm=layer.attention_norm,
            qkv=self.linear(_arranged(layer.qkv, shape)),
            attention_out=self.linear(layer.attention_out),
            mlp_norm=layer.mlp_norm,
            gate=self.linear(gate),
            value=self.linear(value) if shape.gated else None,
            down=self.linear(layer.down),
        )

    def rows(self, n_tokens: int, shape: EncoderShape) -> int:
        """Rows of a pack with its filler: enough, and whole vectors."""
        step = _ROW_STEP if has_onednn(shape.dtype) else _PLAIN_ROW_STEP
        return max(_LEAST_ROWS, -(-n_tokens // step) * step)

    def pads(self, shape: EncoderShape) -> bool:
        """Never."""
        return False

    def pack_tokens(self, shape: EncoderShape) -> int:
        """Tokens whose intermediates stay in the last-level cache."""
        return max(_LEAST_TOKENS, _INTERMEDIATE_BYTES // (shape.ffn * shape.dtype.itemsize))

    def layers(
        self, x: Tensor, blocks: Sequence[CpuBlock], plan: PackPlan, shape: EncoderShape
    ) -> Tensor:
        """Residual stream after some layers, float32, shape (n_rows, width); changes `x`."""
        rotary = _rotary(plan.position, shape)
        for block in blocks:
            x.add_(_attend(x, block, plan, shape, rotary))
            x.add_(_mlp(x, block, shape))
        return x

    def mean(self, hidden: Tensor, plan: PackPlan) -> Tensor:
        """Mean over the real tokens of each sequence, NaN without any; shape (n, dim)."""
        return segment_mean(hidden, plan.real, plan.groups)


def _operand(x: Tensor, norm: Affine, shape: EncoderShape) -> Tensor:
    normed = functional.layer_norm(x, (shape.width,), norm.weight, norm.bias, shape.eps)
    return normed.to(shape.dtype)


def _mlp(x: Tensor, block: CpuBlock, shape: EncoderShape) -> Tensor:
    normed = _operand(x, block.mlp_norm, shape)
    if block.value is None:
        return block.down(block.gate(normed, "gelu"))
    return block.down(block.gate(normed, "swish").mul_(block.value(normed)))


def _attend(
    x: Tensor,
    block: CpuBlock,
    plan: PackPlan,
    shape: EncoderShape,
    rotary: tuple[Tensor, Tensor] | None,
) -> Tensor:
    width, by_head = shape.width, (len(x), shape.n_heads, -1)
    qkv = block.qkv(_operand(x, block.attention_norm, shape))
    first, second, value = qkv[:, :width], qkv[:, width : 2 * width], qkv[:, 2 * width :]
    value = value.view(by_head)
    if rotary is None:
        mixed = packed_attention(first.view(by_head), second.view(by_head), value, plan.groups)
        return block.attention_out(mixed.view(len(x), width))

    def turned(rows: slice, alike: slice) -> tuple[Tensor, Tensor]:
        halves = rotate(first[rows], second[rows], rotary[0][alike], rotary[1][alike])
        by_part = halves.view(2, rows.stop - rows.start, 2, shape.n_heads, -1)
        query, key = by_part.permute(2, 1, 3, 0, 4)
        return query, key

    mixed = attend_in_pieces(turned, value, plan.groups)
    return block.attention_out(mixed.view(len(x), width))


def _rotary(position: Tensor, shape: EncoderShape) -> tuple[Tensor, Tensor] | None:
    """Cosine and sine of each row's angles for query and key, shape (n_rows, width).

    Those of the query are scaled, as the query is to be.
    """
    if shape.rope_base is None:
        return None
    exponent = torch.arange(0, shape.head_dim, 2, dtype=torch.float32) / shape.head_dim
    angle = position[:, None].float() / shape.rope_base**exponent
    return _tables(angle.cos(), shape), _tables(angle.sin(), shape)


def _tables(values: Tensor, shape: EncoderShape) -> Tensor:
    both = torch.stack([values * shape.scale, values], 1).to(shape.dtype)
    return both[:, :, None].expand(-1, -1, shape.n_heads, -1).reshape(len(values), shape.width)


def _arranged(qkv: Affine, shape: EncoderShape) -> Affine:
    """Query, key, value; with rotary positions the halves of all heads are put together.

    Their order is then: query and key, first halves of the heads; query and key, second halves;
    value. Without, the query is scaled here.
    """
    dim = qkv.weight.shape[1]
    order = torch.arange(3 * dim)
    scale = torch.ones(3 * dim)
    if shape.rope_base is not None:
        halves = order[: 2 * dim].view(2, shape.n_heads, 2, -1)
        order[: 2 * dim] = halves.permute(2, 0, 1, 3).flatten()
    else:
        scale[:dim] = shape.scale
    weight = (qkv.weight[order] * scale[:, None]).to(qkv.weight.dtype)
    if qkv.bias is None:
        return Affine(weight=weight)
    return Affine(weight=weight, bias=(qkv.bias[order] * scale).to(qkv.bias.dtype))
