"""Forward pass over packed sequences: no padding, and the same bytes whatever the company.

Tokens of all sequences of a pack go through the linear layers as one matrix; attention is computed
per sequence, sequences of equal length together. On a CPU the vectors of a sequence do not depend,
bit for bit, on what else is in the pack, nor on the number of threads.

Precision ``bf16`` keeps the matrices of the linear layers and the operands of their products in
bfloat16 with float32 accumulation; the residual stream, layer norms, softmax and pooling are
float32. Precision ``fp32`` is float32 throughout.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .spec import Precision

# Rows of the matrix products: below 256, kernels may choose another order of summation for the
# same row; a multiple of 64 keeps element-wise kernels off their scalar tails.
_LEAST_ROWS, _ROW_STEP = 256, 64
# Elements below which an element-wise CPU kernel stays on one thread (at::internal::GRAIN_SIZE).
_GRAIN = 32_768
# Short sequences: fewer matrices than this in one batched product may take another kernel.
_SHORT, _LEAST_MATRICES = 16, 16
DTYPES: dict[Precision, torch.dtype] = {"bf16": torch.bfloat16, "fp32": torch.float32}


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
class PackedEncoder:
    """A pre-norm transformer encoder (ESM family) that reads packed tokens."""

    words: Tensor
    """Token embeddings, float32, shape (vocab, dim), scaled as at inference."""
    positions: Tensor | None
    """Learnt position embeddings, float32, shape (context, dim); None with rotary positions."""
    embedding_norm: Affine | None
    layers: tuple[EncoderLayer, ...]
    final_norm: Affine
    n_heads: int
    eps: float
    activation: Literal["gelu", "swiglu"]
    rope_base: float | None
    """Base period of the rotary positions; None with learnt positions."""

    @property
    def dim(self) -> int:
        """Length of a token vector."""
        return self.words.shape[1]

    @property
    def device(self) -> torch.device:
        """Device that holds the weights."""
        return self.words.device

    @torch.inference_mode()
    def hidden(self, ids: Tensor, groups: Sequence[tuple[int, int]], *, layer: int = -1) -> Tensor:
        """Token vectors of packed sequences.

        Parameters
        ----------
        ids : int32 or int64, shape (n_tokens,)
            Tokens of the sequences one after the other.
        groups : sequence of (int, int)
            Number of sequences and their length in tokens, for each run of equal lengths.
        layer : int
            -1: after the last layer and the final norm; k >= 0: after k layers, without it.

        Returns
        -------
        float32, shape (n_tokens, dim)
        """
        n_tokens = len(ids)
        position = _positions(groups).to(self.device)
        x = functional.pad(self._embed(ids, position), (0, 0, 0, _filler(n_tokens)))
        rotary = self._rotary(position, len(x))
        for weights in self.layers if layer < 0 else self.layers[:layer]:
            x = x + self._attend(x, weights, groups, rotary)
            x = x + self._mlp(x, weights)
        return (self._norm(x, self.final_norm) if layer < 0 else x)[:n_tokens]

    def _embed(self, ids: Tensor, position: Tensor) -> Tensor:
        x = self.words[ids.long()]
        if self.positions is not None:
            x = x + self.positions[position]
        return x if self.embedding_norm is None else self._norm(x, self.embedding_norm)

    def _norm(self, x: Tensor, norm: Affine) -> Tensor:
        return functional.layer_norm(x, (self.dim,), norm.weight, norm.bias, self.eps)

    def _linear(self, x: Tensor, layer: Affine) -> Tensor:
        return functional.linear(x.to(layer.weight.dtype), layer.weight, layer.bias)

    def _mlp(self, x: Tensor, weights: EncoderLayer) -> Tensor:
        up = self._linear(self._norm(x, weights.mlp_norm), weights.up)
        if self.activation == "gelu":
            return self._linear(_in_place(torch.ops.aten.gelu_, up), weights.down)
        gate, value = up.chunk(2, dim=-1)
        gated = _in_place(torch.ops.aten.silu_, gate.contiguous()) * value
        return self._linear(gated, weights.down)

    def _attend(
        self,
        x: Tensor,
        weights: EncoderLayer,
        groups: Sequence[tuple[int, int]],
        rotary: tuple[Tensor, Tensor] | None,
    ) -> Tensor:
        qkv = self._linear(self._norm(x, weights.attention_norm), weights.qkv)
        heads = qkv.view(len(x), 3, self.n_heads, -1)
        query = heads[:, 0] * heads.shape[-1] ** -0.5
        key = heads[:, 1]
        if rotary is not None:
            query, key = _rotate(query, *rotary), _rotate(key, *rotary)
        attention = packed_attention if x.device.type == "cpu" else padded_attention
        mixed = attention(query, key, heads[:, 2], groups)
        return self._linear(mixed.reshape(len(x), self.dim), weights.attention_out)

    def _rotary(self, position: Tensor, n_rows: int) -> tuple[Tensor, Tensor] | None:
        """Cosine and sine of each row's angles, shape (n_rows, 1, head_dim / 2)."""
        if self.rope_base is None:
            return None
        head = self.dim // self.n_heads
        exponent = torch.arange(0, head, 2, dtype=torch.float32, device=self.device) / head
        angle = position[:, None].float() / self.rope_base**exponent
        angle = functional.pad(angle, (0, 0, 0, n_rows - len(angle)))[:, None]
        dtype = self.layers[0].qkv.weight.dtype
        return angle.cos().to(dtype), angle.sin().to(dtype)


def packed_attention(
    query: Tensor, key: Tensor, value: Tensor, groups: Sequence[tuple[int, int]]
) -> Tensor:
    """Attention within each sequence, without padding.

    Parameters
    ----------
    query, key, value : shape (n_rows, n_heads, head_dim)
        Rows of packed sequences, then filler; the query is scaled already. Not modified.
    groups : sequence of (int, int)
        Number of sequences and their length in tokens, for each run of equal lengths.

    Returns
    -------
    shape (n_rows, n_heads, head_dim)
        Zero in filler rows.
    """
    mixed, first = torch.zeros_like(value, memory_format=torch.contiguous_format), 0
    for n, length in groups:
        past = first + n * length
        q, k, v = (_by_head(rows[first:past], n, length) for rows in (query, key, value))
        weight = torch.softmax(torch.bmm(q, k.transpose(1, 2)), -1, dtype=torch.float32)
        out = torch.bmm(weight.to(v.dtype), v)[: n * value.shape[1]]
        mixed[first:past] = out.view(n, value.shape[1], length, -1).transpose(1, 2).flatten(0, 1)
        first = past
    return mixed


def padded_attention(
    query: Tensor, key: Tensor, value: Tensor, groups: Sequence[tuple[int, int]]
) -> Tensor:
    """The same as `packed_attention` by padding to the longest sequence, for CUDA.

    One fused kernel for the whole pack; agrees with the packed path to rounding, not to the bit.
    """
    lengths = torch.tensor([length for n, length in groups for _ in range(n)], device=query.device)
    real = torch.arange(int(lengths.max()), device=query.device) < lengths[:, None]
    n_tokens = int(lengths.sum())

    def spread(rows: Tensor) -> Tensor:
        padded = rows.new_zeros((*real.shape, *rows.shape[1:]))
        padded[real] = rows[:n_tokens]
        return padded.transpose(1, 2)

    mask = None if len(groups) == 1 else real[:, None, None, :]
    out = functional.scaled_dot_product_attention(
        spread(query), spread(key), spread(value), attn_mask=mask, scale=1.0
    )
    mixed = torch.zeros_like(value, memory_format=torch.contiguous_format)
    mixed[:n_tokens] = out.transpose(1, 2)[real]
    return mixed


def group_lengths(lengths: Sequence[int]) -> list[tuple[int, int]]:
    """Runs of equal lengths as (number of sequences, length in tokens).

    Examples
    --------
    >>> group_lengths([9, 9, 3])
    [(2, 9), (1, 3)]
    """
    groups: list[tuple[int, int]] = []
    for length in lengths:
        if groups and groups[-1][1] == length:
            groups[-1] = (groups[-1][0] + 1, length)
        else:
            groups.append((1, length))
    return groups


def _by_head(rows: Tensor, n: int, length: int) -> Tensor:
    """Rows of one group as (n * n_heads, length, head_dim), filled up when there are few."""
    _, n_heads, head = rows.shape
    split = rows.reshape(n, length, n_heads, head).transpose(1, 2).reshape(-1, length, head)
    lack = _LEAST_MATRICES - len(split) if length < _SHORT else 0
    return split if lack <= 0 else functional.pad(split, (0, 0, 0, 0, 0, lack))


def _in_place(activation: Callable[[Tensor], object], x: Tensor) -> Tensor:
    """Apply an activation so that no thread's share ends in elements that do not fill a vector.

    Kernels compute those with another formula, whose last bit differs. A piece of `threads` whole
    grains is split evenly; a smaller piece of at most one grain is not split at all.
    """
    threads = torch.get_num_threads()
    for piece in torch.split(x.view(-1), threads * _GRAIN):
        whole = len(piece) == threads * _GRAIN
        for part in (piece,) if whole else torch.split(piece, _GRAIN):
            activation(part)
    return x


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions, halves of a head paired, as in ESM."""
    first, second = x.chunk(2, dim=-1)
    rotated = torch.empty_like(x, memory_format=torch.contiguous_format)
    low, high = rotated.chunk(2, dim=-1)
    torch.addcmul(first * cos, second, sin, value=-1, out=low)
    torch.addcmul(second * cos, first, sin, out=high)
    return rotated


def _positions(groups: Sequence[tuple[int, int]]) -> Tensor:
    return torch.cat([torch.arange(length).repeat(n) for n, length in groups])


def _filler(n_tokens: int) -> int:
    rows = max(_LEAST_ROWS, -(-n_tokens // _ROW_STEP) * _ROW_STEP)
    return rows - n_tokens
