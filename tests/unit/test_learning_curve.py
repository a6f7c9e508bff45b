"""Shares of a reference, and what is counted as taken for one another."""

import numpy as np
import pytest
from benchmark_scripts import benchmark_script


@pytest.fixture(scope="module")
def learning_curve():
    return benchmark_script("learning_curve")


def test_a_share_keeps_every_type_and_the_query(learning_curve):
    truth = np.array(["a"] * 40 + ["b"] * 12 + ["a"] * 5)
    split = learning_curve.Split(reference=np.arange(52), query=np.arange(52, 57))
    part = learning_curve.part_of(split, truth, 0.25, np.random.default_rng(0))
    types, counts = np.unique(truth[part.reference], return_counts=True)
    assert dict(zip(types.tolist(), counts.tolist(), strict=True)) == {"a": 10, "b": 5}
    assert (np.diff(part.reference) > 0).all()
    np.testing.assert_array_equal(part.query, split.query)
    whole = learning_curve.part_of(split, truth, 1.0, np.random.default_rng(0))
    np.testing.assert_array_equal(whole.reference, split.reference)


def test_pairs_are_counted_in_both_directions(learning_curve):
    truth = np.array(["a", "b", "c", "a"])
    by_seed = [np.array(["b", "a", "c", "c"]), np.array(["a", "a", "c", "a"])]
    assert learning_curve.mistakes(truth, by_seed) == {"a / b": 1.5, "a / c": 0.5}
