"""Packs: budget, order, and pooling against the naive loop."""

import numpy as np
import pytest
import torch

from peakatlas.engine.forward.packing import pack
from peakatlas.engine.forward.plan import group_lengths, make_plan
from peakatlas.engine.forward.pooling import (
    first_token,
    mean_of_strands,
    reduced_mean,
    rows_without_tokens,
    segment_mean,
)


def test_packs_go_from_long_to_short_within_the_budget():
    lengths = np.array([5, 100, 5, 40, 60, 5])
    assert [rows.tolist() for rows in pack(lengths, 100)] == [[1], [4], [3, 0, 2, 5]]


def test_packs_are_filled_evenly():
    assert [len(rows) for rows in pack([10] * 12, 110)] == [6, 6]
    rng = np.random.default_rng(0)
    lengths = rng.integers(90, 170, 400)
    for budget in (1000, 1536, 2600, 10**6):
        packs = pack(lengths, budget)
        tokens = [lengths[rows].sum() for rows in packs]
        assert sorted(np.concatenate(packs).tolist()) == list(range(400))
        assert max(tokens) <= budget
        assert len(packs) <= -(-lengths.sum() // (budget - 170))
        assert min(tokens) >= max(tokens) - 2 * 170


def test_a_sequence_longer_than_the_budget_is_alone():
    assert [rows.tolist() for rows in pack([7, 50, 7], 10)] == [[1], [0], [2]]


def test_no_sequences_no_packs():
    assert pack([], 10) == []


def test_a_budget_below_one_is_refused():
    with pytest.raises(ValueError, match="token_budget 0 is below 1 token"):
        pack([1], 0)


def test_segment_mean_is_the_mean_over_real_tokens_and_nan_without_any():
    lengths = [4, 4, 3, 2]
    hidden = torch.randn(13, 5)
    real = torch.tensor([0, 1, 1, 0, 0, 1, 0, 0, 0, 1, 1, 0, 0], dtype=torch.bool)
    pooled = segment_mean(hidden, real, group_lengths(lengths))
    for i, (rows, keep) in enumerate(zip(hidden.split(lengths), real.split(lengths), strict=True)):
        torch.testing.assert_close(pooled[i], rows[keep].mean(0), equal_nan=True)
    assert pooled[3].isnan().all()
    plan = make_plan(range(13), lengths, real=real.numpy(), n_rows=16)
    filled = torch.cat([hidden, torch.full((3, 5), torch.nan)])
    torch.testing.assert_close(reduced_mean(filled, plan), pooled, equal_nan=True)


def test_first_token_is_the_vector_at_each_start():
    hidden = torch.arange(12.0)[:, None]
    plan = make_plan(range(9), [3, 3, 2, 1], n_rows=12)
    assert first_token(hidden, plan)[:, 0].tolist() == [0, 3, 6, 8]


def test_mean_of_many_tokens_counts_in_float32():
    """In bfloat16 the count 257 would become 256."""
    pooled = segment_mean(torch.ones(257, 1), torch.ones(257, dtype=torch.bool), [(1, 257)])
    assert pooled.item() == 1.0


def test_the_mean_of_strands_leaves_out_one_without_tokens():
    forward, reverse = (np.array([[2.0], [np.nan], [4.0]], np.float32),
                        np.array([[6.0], [8.0], [np.nan]], np.float32))  # fmt: skip
    mean, weights = mean_of_strands([forward, reverse], [np.array([3, 0, 2]), np.array([3, 1, 0])])
    assert (mean[:, 0].tolist(), weights.tolist()) == ([4.0, 8.0, 4.0], [6, 1, 2])
    alone, of_one = mean_of_strands([forward], [np.array([3, 0, 2])])
    assert alone is forward and of_one.tolist() == [3, 0, 2]


def test_rows_without_tokens_are_those_of_which_no_sequence_has_any():
    weights, owner = np.array([0, 3, 0, 0]), np.array([0, 0, 1, 3])
    assert rows_without_tokens(weights, owner, 4).tolist() == [False, True, True, True]
