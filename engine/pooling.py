"""From token vectors to one vector a sequence, in float32."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


def segment_mean(hidden: Tensor, real: Tensor, groups: Sequence[tuple[int, int]]) -> Tensor:
    """Mean over the real tokens of each sequence.

    Parameters
    ----------
    hidden : float32, shape (n_tokens, dim)
        Token vectors of packed sequences. Not modified.
    real : bool, shape (n_tokens,)
        Tokens that count: k-mers and single bases, neither special tokens nor N.
    groups : sequence of (int, int)
        Number of sequences and their length in tokens, for each run of equal lengths.

    Returns
    -------
    float32, shape (n, dim)
        NaN for a sequence without a real token.
    """
    weight = real.to(torch.float32)
    pooled, first = [], 0
    for n, length in groups:
        past = first + n * length
        share = weight[first:past].view(n, length, 1)
        rows = hidden[first:past].view(n, length, -1)
        pooled.append((rows * share).sum(1) / share.sum(1))
        first = past
    return torch.cat(pooled)


def first_token(hidden: Tensor, groups: Sequence[tuple[int, int]]) -> Tensor:
    """Vector of the CLS token of each sequence, float32, shape (n, dim)."""
    picked, first = [], 0
    for n, length in groups:
        past = first + n * length
        picked.append(hidden[first:past:length])
        first = past
    return torch.cat(picked)
