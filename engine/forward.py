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
from functools import cache, cached_property
from inspect import signature
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from .linear import has_onednn, make_linear

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .linear import Linear
    from .spec import Precision

# Rows of the matrix products: below 256, kernels may choose another order of summation for the
# same row; whole vectors of rows keep kernels off their tails.
_LEAST_ROWS, _ROW_STEP, _PLAIN_ROW_STEP = 256, 16, 64
# Rows (a thread) that go through the feed-forward together: its wide intermediate stays in cache.
_MLP_ROWS = 512
# Short sequences: fewer matrices than this in one batched product may take another kernel.
_SHORT, _LEAST_MATRICES = 16, 16
# Sequences of equal length whose attention is computed by one call.
_TOGETHER = 4
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
class _Block:
    """An `EncoderLayer` with its matrices in the layout of the kernel."""

    attention_norm: Affine
    qkv: Linear
    attention_out: Linear
    mlp_norm: Affine
    gate: Linear
    """The whole of `EncoderLayer.up` for ``gelu``, its first half for ``swiglu``."""
    value: Linear | None
    down: Linear


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
        x = functional.pad(self._embed(ids, position), (0, 0, 0, self._filler(n_tokens)))
        rotary = self._rotary(position, len(x))
        parts = len(x) // (_MLP_ROWS * torch.get_num_threads()) if self._has_onednn else 1
        for block in self._blocks if layer < 0 else self._blocks[:layer]:
            x.add_(self._attend(x, block, groups, rotary))
            for rows in torch.tensor_split(x, max(parts, 1)):
                rows.add_(self._mlp(rows, block))
        return (self._norm(x, self.final_norm) if layer < 0 else x)[:n_tokens]

    @cached_property
    def _has_onednn(self) -> bool:
        return has_onednn(self.layers[0].qkv.weight)

    @cached_property
    def _blocks(self) -> tuple[_Block, ...]:
        return tuple(self._block(layer) for layer in self.layers)

    def _block(self, layer: EncoderLayer) -> _Block:
        up, ffn = layer.up, layer.down.weight.shape[1]
        bias = None if up.bias is None else up.bias[:ffn]
        gated = self.activation == "swiglu"
        return _Block(
            attention_norm=layer.attention_norm,
            qkv=self._qkv(layer.qkv),
            attention_out=make_linear(layer.attention_out.weight, layer.attention_out.bias),
            mlp_norm=layer.mlp_norm,
            gate=make_linear(up.weight[:ffn], bias),
            value=make_linear(up.weight[ffn:], None if up.bias is None else up.bias[ffn:])
            if gated
            else None,
            down=make_linear(layer.down.weight, layer.down.bias),
        )

    def _qkv(self, layer: Affine) -> Linear:
        """Query, key, value; with rotary positions the halves of all heads are put together.

        Their order is then: query and key, first halves of the heads; query and key, second
        halves; value. Without, the query is scaled here.
        """
        order = torch.arange(3 * self.dim, device=self.device)
        scale = torch.ones(3 * self.dim, device=self.device)
        if self.rope_base is None:
            scale[: self.dim] = self._scale
        else:
            halves = order[: 2 * self.dim].view(2, self.n_heads, 2, -1)
            order[: 2 * self.dim] = halves.permute(2, 0, 1, 3).flatten()
        weight = (layer.weight[order] * scale[:, None]).to(layer.weight.dtype)
        if layer.bias is None:
            return make_linear(weight, None)
        return make_linear(weight, (layer.bias[order] * scale).to(layer.bias.dtype))

    @property
    def _scale(self) -> float:
        return float((self.dim // self.n_heads) ** -0.5)

    def _embed(self, ids: Tensor, position: Tensor) -> Tensor:
        x = self.words[ids.long()]
        if self.positions is not None:
            x = x + self.positions[position]
        return x if self.embedding_norm is None else self._norm(x, self.embedding_norm)

    def _norm(self, x: Tensor, norm: Affine) -> Tensor:
        return functional.layer_norm(x, (self.dim,), norm.weight, norm.bias, self.eps)

    def _operand(self, x: Tensor, norm: Affine) -> Tensor:
        return self._norm(x, norm).to(self.layers[0].qkv.weight.dtype)

    def _mlp(self, x: Tensor, block: _Block) -> Tensor:
        normed = self._operand(x, block.mlp_norm)
        if block.value is None:
            return block.down(block.gate(normed, "gelu"))
        return block.down(block.gate(normed, "swish").mul_(block.value(normed)))

    def _attend(
        self,
        x: Tensor,
        block: _Block,
        groups: Sequence[tuple[int, int]],
        rotary: tuple[Tensor, Tensor] | None,
    ) -> Tensor:
        qkv = block.qkv(self._operand(x, block.attention_norm))
        shape = (len(x), self.n_heads, -1)
        if rotary is None:
            query, key = (part.reshape(shape) for part in qkv[:, : 2 * self.dim].chunk(2, dim=-1))
        else:
            turned = _rotate(qkv[:, : self.dim], qkv[:, self.dim : 2 * self.dim], *rotary)
            halves = turned.view(2, len(x), 2, self.n_heads, -1)
            query, key = halves.permute(2, 1, 3, 0, 4)
        attention = packed_attention if x.device.type == "cpu" else cuda_attention
        mixed = attention(query, key, qkv[:, 2 * self.dim :].view(shape), groups)
        return block.attention_out(mixed.view(len(x), self.dim))

    def _rotary(self, position: Tensor, n_rows: int) -> tuple[Tensor, Tensor] | None:
        """Cosine and sine of each row's angles for query and key, shape (n_rows, dim).

        Those of the query are scaled, as the query is to be.
        """
        if self.rope_base is None:
            return None
        head = self.dim // self.n_heads
        exponent = torch.arange(0, head, 2, dtype=torch.float32, device=self.device) / head
        angle = position[:, None].float() / self.rope_base**exponent
        angle = functional.pad(angle, (0, 0, 0, n_rows - len(angle)))
        return self._tables(angle.cos()), self._tables(angle.sin())

    def _tables(self, values: Tensor) -> Tensor:
        both = torch.stack([values * self._scale, values], 1).to(self.layers[0].qkv.weight.dtype)
        return both[:, :, None].expand(-1, -1, self.n_heads, -1).reshape(len(values), self.dim)

    def _filler(self, n_tokens: int) -> int:
        step = _ROW_STEP if self._has_onednn else _PLAIN_ROW_STEP
        return max(_LEAST_ROWS, -(-n_tokens // step) * step) - n_tokens


def packed_attention(
    query: Tensor, key: Tensor, value: Tensor, groups: Sequence[tuple[int, int]]
) -> Tensor:
    """Attention within each sequence, without padding.

    Parameters
    ----------
    query, key : shape (n_rows, n_heads, head_dim) or (n_rows, n_heads, parts, head_dim / parts)
        Rows of packed sequences, then filler; the query is scaled already. Not modified.
    value : shape (n_rows, n_heads, head_dim)
    groups : sequence of (int, int)
        Number of sequences and their length in tokens, for each run of equal lengths.

    Returns
    -------
    shape (n_rows, n_heads, head_dim)
        Zero in filler rows.
    """
    mixed, first = torch.empty_like(value, memory_format=torch.contiguous_format), 0
    for n, length in groups:
        past = first + n * length
        q, k, v = (_by_head(rows[first:past], n, length) for rows in (query, key, value))
        out = torch.empty_like(v)
        for piece in _pieces(n, value.shape[1], length):
            weight = _softmax(torch.bmm(q[piece], k[piece].transpose(1, 2)))
            torch.bmm(weight, v[piece], out=out[piece])
        mixed[first:past].view(n, length, *value.shape[1:]).copy_(
            out[: n * value.shape[1]].view(n, value.shape[1], length, -1).transpose(1, 2)
        )
        first = past
    mixed[first:] = 0
    return mixed


def cuda_attention(
    query: Tensor, key: Tensor, value: Tensor, groups: Sequence[tuple[int, int]]
) -> Tensor:
    """The same as `packed_attention` with a fused kernel, to rounding.

    Without padding where PyTorch has a kernel for that and the dtype, padded elsewhere.
    """
    kernel = varlen_kernel() if value.dtype == torch.bfloat16 else None
    if kernel is None:
        return padded_attention(query, key, value, groups)
    lengths = [length for n, length in groups for _ in range(n)]
    bounds = torch.tensor([0, *accumulate(lengths)], dtype=torch.int32, device=value.device)
    n_tokens, longest = sum(lengths), max(lengths)
    q, k, v = (rows.flatten(2)[:n_tokens].contiguous() for rows in (query, key, value))
    mixed = torch.zeros_like(value, memory_format=torch.contiguous_format)
    mixed[:n_tokens] = kernel(q, k, v, bounds, bounds, longest, longest, scale=1.0)
    return mixed


@cache
def varlen_kernel() -> Callable[..., Any] | None:
    """`torch.nn.attention.varlen.varlen_attn` if this PyTorch has it and it takes a scale."""
    try:
        from torch.nn.attention.varlen import varlen_attn  # noqa: PLC0415 (since PyTorch 2.10)
    except ImportError:
        return None
    kernel: Callable[..., Any] = varlen_attn
    return kernel if "scale" in signature(kernel).parameters else None


def padded_attention(
    query: Tensor, key: Tensor, value: Tensor, groups: Sequence[tuple[int, int]]
) -> Tensor:
    """The same as `packed_attention` by padding to the longest sequence, to rounding."""
    lengths = torch.tensor([length for n, length in groups for _ in range(n)], device=query.device)
    real = torch.arange(int(lengths.max()), device=query.device) < lengths[:, None]
    n_tokens = int(lengths.sum())

    def spread(rows: Tensor) -> Tensor:
        padded = rows.new_zeros((*real.shape, *rows.shape[1:]))
        padded[real] = rows[:n_tokens]
        return padded.transpose(1, 2)

    mask = None if len(groups) == 1 else real[:, None, None, :]
    out = functional.scaled_dot_product_attention(
        spread(query.flatten(2)), spread(key.flatten(2)), spread(value), attn_mask=mask, scale=1.0
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
    parts = rows if rows.dim() == 4 else rows[:, :, None]
    split = parts.view(n, length, *parts.shape[1:]).transpose(1, 2)
    matrices = torch.empty(split.shape, dtype=rows.dtype)
    for part in range(split.shape[3]):  # one by one: a copy of all of them has tiny inner loops
        matrices[:, :, :, part] = split[:, :, :, part]
    matrices = matrices.view(n * rows.shape[1], length, -1)
    lack = _LEAST_MATRICES - len(matrices) if length < _SHORT else 0
    return matrices if lack <= 0 else functional.pad(matrices, (0, 0, 0, 0, 0, lack))


def _pieces(n: int, n_heads: int, length: int) -> list[slice]:
    """Matrices that go together: those of `_TOGETHER` sequences, then of one at a time.

    Kernels are compiled for each shape and a limited number of them is kept, so there must be few.
    Short sequences stay together, as there must be many matrices.
    """
    if length < _SHORT:
        return [slice(None)]
    whole = n - n % _TOGETHER
    bounds = [*range(0, whole, _TOGETHER), *range(whole, n + 1)]
    return [slice(a * n_heads, b * n_heads) for a, b in pairwise(bounds)]


def _softmax(scores: Tensor) -> Tensor:
    """Softmax of each row, computed in float32."""
    if has_onednn(scores):
        probability: Tensor = scores.to_mkldnn().softmax(-1).to_dense()
        return probability
    return torch.softmax(scores, -1, dtype=torch.float32).to(scores.dtype)


def _rotate(low: Tensor, high: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions: (low cos - high sin, high cos + low sin), stacked."""
    turned = low.new_empty(2, *low.shape)
    torch.mul(low, cos, out=turned[0]).addcmul_(high, sin, value=-1)
    torch.mul(high, cos, out=turned[1]).addcmul_(low, sin)
    return turned


def _positions(groups: Sequence[tuple[int, int]]) -> Tensor:
    return torch.cat([torch.arange(length).repeat(n) for n, length in groups])
