"""Contigs of several lists in one order: as the plain way gives it, and soon enough for many."""

import time
from itertools import pairwise

import numpy as np
import pytest

from peakatlas.atlas.derive.contig_order import _natural, joint_contigs


def plain(lists):
    """Again and again the first by name of those whose predecessors are all placed."""
    behind = {name: set() for names in lists for name in names}
    for names in lists:
        for ahead, name in pairwise(names):
            behind[name].add(ahead)
    order = []
    waiting = sorted(behind, key=_natural)
    while waiting:
        free = next((name for name in waiting if behind[name] <= set(order)), None)
        if free is None:
            return list(dict.fromkeys(name for names in lists for name in names))
        order.append(free)
        waiting.remove(free)
    return order


@pytest.mark.parametrize("seed", range(60))
def test_the_order_is_that_of_the_plain_way(seed):
    rng = np.random.default_rng(seed)
    names = [f"chr{number}" for number in range(12)] + ["chrX", "chrUn_1", "2", "MT"]
    if seed % 2:
        names = sorted(names, key=_natural)  # lists that agree
    shuffled = seed % 4 == 0
    lists = []
    for _ in range(int(rng.integers(0, 5))):
        kept = np.flatnonzero(rng.random(len(names)) < 0.5)
        lists.append([names[at] for at in (rng.permutation(kept) if shuffled else kept)])
    assert joint_contigs(lists) == plain(lists)


def test_lists_that_contradict_each_other_follow_the_first():
    assert joint_contigs([["b", "a"], ["a", "b", "c"]]) == ["b", "a", "c"]
    assert joint_contigs([]) == []


def test_sixteen_thousand_scaffolds_take_seconds_of_a_core_at_most():
    names = [f"scaffold_{number}" for number in range(16_000)]
    began = time.process_time()
    assert joint_contigs([names[::2], names[1::2], names]) == names
    assert time.process_time() - began < 10
