"""The budget of tokens that a short measurement chooses."""

import pytest
import torch

from peakatlas.engine.run.token_budget import CANDIDATES, choose_budget


@pytest.mark.parametrize(("overhead", "budget"), [(0.0, 16_384), (1e-3, 65_536), (1e-2, 262_144)])
def test_the_fewest_tokens_that_are_nearly_the_fastest(overhead, budget):
    assert choose_budget(lambda tokens: overhead + tokens * 1e-6) == budget


def test_what_does_not_fit_is_not_taken_nor_tried_twice():
    tried = []

    def seconds(tokens):
        tried.append(tokens)
        if tokens > 40_000:
            raise torch.OutOfMemoryError("full")
        return 1.0

    assert choose_budget(seconds) == 32_768
    assert tried == [16_384, 32_768, 65_536]


def test_where_nothing_fits_the_least_is_left_to_be_halved():
    def seconds(_):
        raise torch.OutOfMemoryError("full")

    assert choose_budget(seconds) == CANDIDATES[0]
