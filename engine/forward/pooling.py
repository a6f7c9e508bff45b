"""From token vectors to one vector a sequence, and from those to one a peak, in float32."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from .plan import PackPlan


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


def reduced_mean(hidden: Tensor, plan: PackPlan) -> Tensor:
    """The same as `segment_mean` by one kernel for all lengths, to rounding.

    Parameters
    ----------
    hidden : float32, shape (n_rows, dim)
        Token vectors of a pack with its filler. Not modified.
    plan : PackPlan
        On the same device.

    Returns
    -------
    float32, shape (n, dim)
        NaN for a sequence without a real token.
    """
    weighted = torch.cat([hidden, hidden.new_ones(len(hidden), 1)], 1)
    kept = weighted.masked_fill(~plan.real[:, None], 0)  # not a product: filler may hold NaN
    sums = torch.segment_reduce(kept, "sum", offsets=plan.bounds, axis=0, unsafe=True)
    return sums[:, :-1] / sums[:, -1:]


def first_token(hidden: Tensor, plan: PackPlan) -> Tensor:
    """Vector of the CLS token of each sequence, float32, shape (n, dim)."""
    return hidden.index_select(0, plan.bounds[:-1])


def mean_by_owner(
    values: NDArray[np.float32], weights: NDArray[np.int64], owner: NDArray[np.int64], n: int
) -> NDArray[np.float32]:
    """Weighted mean of the vectors of each row; a row with one vector keeps it to the bit.

    Parameters
    ----------
    values : float32, shape (m, dim)
    weights : int64, shape (m,)
        Real tokens behind each vector; a vector of 0 is left out.
    owner : int64, shape (m,)
        Output row of each vector.
    n : int
        Output rows.

    Returns
    -------
    float32, shape (n, dim)
        NaN where a row has no vector of positive weight.
    """
    known = weights > 0
    counts = np.bincount(owner[known], minlength=n)
    out = np.full((n, values.shape[1]), np.nan, np.float32)
    single = known & (counts[owner] == 1)
    out[owner[single]] = values[single]
    several = np.flatnonzero(known & ~single)
    sums = np.zeros_like(out)
    np.add.at(sums, owner[several], values[several] * weights[several, None].astype(np.float32))
    total = np.bincount(owner[several], weights[several], n)
    averaged = counts > 1
    out[averaged] = sums[averaged] / total[averaged, None].astype(np.float32)
    return out


def mean_of_strands(
    values: Sequence[NDArray[np.float32]], weights: Sequence[NDArray[np.int64]]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Mean vector of each sequence over its strands, and the real tokens behind it.

    Parameters
    ----------
    values : one or two of float32, shape (m, dim)
        Vectors by strand.
    weights : as many of int64, shape (m,)
        Real tokens behind each; a vector of 0 is left out, as N may leave the tokens of one strand
        without a known base and not those of the other.

    Returns
    -------
    float32, shape (m, dim)
        Of no meaning where the weight is 0.
    int64, shape (m,)
    """
    if len(values) == 1:
        return values[0], weights[0]
    (first, second), (of_first, of_second) = values, weights
    mean = (first + second) * np.float32(0.5)
    mean = np.where((of_second == 0)[:, None], first, mean)
    return np.where((of_first == 0)[:, None], second, mean), of_first + of_second


def rows_without_tokens(
    weights: NDArray[np.int64], owner: NDArray[np.int64], n: int
) -> NDArray[np.bool_]:
    """Which of n rows have no sequence with a real token, shape (n,)."""
    return np.asarray(np.bincount(owner[weights > 0], minlength=n) == 0, np.bool_)
