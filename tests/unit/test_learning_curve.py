"""Shares of a reference, and what is counted as taken for one another."""

import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def learning_curve():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import learning_curve  # noqa: PLC0415 - found by the path above

        yield learning_curve
    finally:
        sys.path.remove(str(BENCHMARKS))


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
