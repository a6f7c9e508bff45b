"""Attention of packed sequences on a CPU: within each one, without padding.

The result of a sequence does not depend, bit for bit, on the others of the pack.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from .linear import has_onednn

if TYPE_CHECKING:
    from collections.abc import Sequence

# Short sequences: fewer matrices than this in one batched product may take another kernel.
_SHORT, _LEAST_MATRICES = 16, 16
# Sequences of equal length whose attention is computed by one call.
_TOGETHER = 4


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
    if has_onednn(scores.dtype):
        probability: Tensor = scores.to_mkldnn().softmax(-1).to_dense()
        return probability
    return torch.softmax(scores, -1, dtype=torch.float32).to(scores.dtype)


def rotate(low: Tensor, high: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions: (low cos - high sin, high cos + low sin), stacked."""
    turned = low.new_empty(2, *low.shape)
    torch.mul(low, cos, out=turned[0]).addcmul_(high, sin, value=-1)
    torch.mul(high, cos, out=turned[1]).addcmul_(low, sin)
    return turned
