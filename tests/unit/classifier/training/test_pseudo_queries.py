"""Pseudo-queries: who is held out, and how they are made like the query."""

import numpy as np
import pytest
import scipy.sparse as sp

from peakatlas.classifier.training.pseudo_queries import folds, like_query, thinned_to


def test_folds_spread_every_type():
    codes = np.repeat([0, 1, 2], [9, 4, 2])
    by, pairs = folds(codes, None, 3, 0)
    assert by == "fold"
    assert sorted(np.concatenate([test for _, test in pairs])) == list(range(15))
    for train, test in pairs:
        assert set(train) | set(test) == set(range(15))
        assert (codes[test] == 0).sum() == 3
        assert set(codes[train]) == {0, 1, 2}


def test_batches_are_left_out():
    codes = np.tile([0, 1], 10)
    batches = np.repeat(["a", "b"], 10)
    by, pairs = folds(codes, batches, 3, 0)
    assert by == "batch"
    assert len(pairs) == 2
    assert {frozenset(batches[test]) for _, test in pairs} == {frozenset("a"), frozenset("b")}


def test_batches_of_one_type_each_are_not_left_out():
    codes = np.repeat([0, 1], 10)
    assert folds(codes, np.repeat(["a", "b"], 10), 3, 0)[0] == "fold"


def test_thinning_follows_the_query():
    rng = np.random.default_rng(0)
    counts = sp.csr_matrix(rng.poisson(5, (200, 50)).astype(np.float32))
    thinned, share = thinned_to(counts, np.full(30, 100.0), rng)
    assert thinned.sum(axis=1).mean() == pytest.approx(100, rel=0.05)
    assert share == pytest.approx(0.4, rel=0.1)
    assert thinned_to(counts, np.full(30, 1e6), rng)[1] == 1


def test_like_query_lacks_what_the_query_lacks():
    rng = np.random.default_rng(0)
    counts = sp.csr_matrix(np.full((100, 4), 20, np.float32))
    ratio = np.array([1.0, 1.0, 1.0, 0.1])
    opened = like_query(counts, ratio, np.full(10, 1e6), rng).sum(axis=0).A1
    np.testing.assert_allclose(opened / opened.max(), [1, 1, 1, 0.1], atol=0.02)
