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
    from collections.abc import Callable, Sequence

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
    return attend_in_pieces(lambda rows, _: (query[rows], key[rows]), value, groups)


def attend_in_pieces(
    query_and_key: Callable[[slice, slice], tuple[Tensor, Tensor]],
    value: Tensor,
    groups: Sequence[tuple[int, int]],
) -> Tensor:
    """The same, with query and key made for some rows at a time: all of these stay in the caches.

    Parameters
    ----------
    query_and_key : callable
        Those of some rows, as `packed_attention` takes them; given as well rows at the same
        positions, which are the same ones for all sequences of a length.
    value, groups
        As in `packed_attention`.
    """
    mixed, first = torch.empty_like(value, memory_format=torch.contiguous_format), 0
    n_heads = value.shape[1]
    for n, length in groups:
        for begin, end in _pieces(n, length):
            m = end - begin
            rows = slice(first + begin * length, first + end * length)
            alike = slice(first, first + m * length)
            q, k, v = (_by_head(x, m, length) for x in (*query_and_key(rows, alike), value[rows]))
            weight = _softmax(torch.bmm(q, k.transpose(1, 2)))
            out = torch.bmm(weight, v)[: m * n_heads].view(m, n_heads, length, -1)
            mixed[rows].view(m, length, *value.shape[1:]).copy_(out.transpose(1, 2))
        first += n * length
    mixed[first:] = 0
    return mixed


def _by_head(rows: Tensor, n: int, length: int) -> Tensor:
    """Rows of some sequences as (n * n_heads, length, head_dim), filled up when there are few."""
    parts = rows if rows.dim() == 4 else rows[:, :, None]
    split = parts.view(n, length, *parts.shape[1:]).transpose(1, 2)
    matrices = torch.empty(split.shape, dtype=rows.dtype)
    for part in range(split.shape[3]):  # one by one: a copy of all of them has tiny inner loops
        matrices[:, :, :, part] = split[:, :, :, part]
    matrices = matrices.view(n * rows.shape[1], length, -1)
    lack = _LEAST_MATRICES - len(matrices) if length < _SHORT else 0
    return matrices if lack <= 0 else functional.pad(matrices, (0, 0, 0, 0, 0, lack))


def _pieces(n: int, length: int) -> list[tuple[int, int]]:
    """First sequence and the one past the last of those that go together.

    They are `_TOGETHER`, then one at a time: kernels are compiled for each shape and a limited
    number of them is kept, so there must be few. Short sequences stay together, as there must be
    many matrices.
    """
    if length < _SHORT:
        return [(0, n)]
    whole = n - n % _TOGETHER
    return [*pairwise(range(0, whole + 1, _TOGETHER)), *pairwise(range(whole, n + 1))]


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
