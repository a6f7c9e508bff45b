"""One pack on the host: where each sequence lies, with filler and with padding."""

import numpy as np
import torch

from peakatlas.engine.forward.plan import group_lengths, make_plan

LENGTHS = [3, 3, 1, 2]
IDS = [5, 6, 7, 8, 9, 10, 11, 12, 13]


def test_a_plan_says_where_each_token_lies():
    real = np.array(IDS) > 6
    plan = make_plan(IDS, LENGTHS, real=real, owner=np.array([4, 2, 9, 0]), n_rows=12)
    assert plan.ids.dtype == torch.int32
    assert plan.ids.tolist() == [*IDS, 0, 0, 0]
    assert plan.position.tolist() == [0, 1, 2, 0, 1, 2, 0, 0, 1, 0, 0, 0]
    assert plan.real.tolist() == [*real.tolist(), False, False, False]
    assert plan.bounds.tolist() == [0, 3, 6, 7, 9]
    assert plan.groups == group_lengths(LENGTHS) == ((2, 3), (1, 1), (1, 2))
    assert (plan.n_tokens, plan.longest, plan.owner.tolist()) == (9, 3, [4, 2, 9, 0])
    assert plan.grid is None
    assert plan.place is None


def test_padding_by_indices_and_back_gives_each_token_back():
    plan = make_plan(IDS, LENGTHS, n_rows=12, padded=True)
    padded = plan.ids[plan.grid]
    assert plan.inside.tolist() == [
        [True] * 3,
        [True] * 3,
        [True, False, False],
        [True, True, False],
    ]
    assert make_plan(IDS, [3, 3, 3], padded=True).inside is None
    assert padded.tolist() == [[5, 6, 7], [8, 9, 10], [11, 11, 11], [12, 13, 12]]
    assert padded.flatten()[plan.place][:9].tolist() == IDS


def test_a_change_reaches_every_tensor_and_nothing_else():
    plan = make_plan(IDS, LENGTHS, padded=True)
    there = plan.map(lambda tensor: tensor.to("meta"))
    tensors = (there.ids, there.position, there.real, there.bounds, there.grid, there.place,
               there.inside)  # fmt: skip
    assert all(tensor.is_meta for tensor in tensors)
    assert there.groups is plan.groups
    assert there.owner is plan.owner
