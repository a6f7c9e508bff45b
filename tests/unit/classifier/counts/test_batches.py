"""Batches are balanced within a type and held out whole."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.model_selection import StratifiedKFold

from peakatlas.classifier.counts.batches import batch_weights, fold_of, folds


def test_weights_grow_with_the_root_of_a_batch_and_types_stay_equal():
    types = np.array([0] * 104 + [1] * 10)
    batches = np.array([0] * 100 + [1] * 4 + [1] * 10)
    weights = batch_weights(types, batches)
    assert weights[:100].sum() / weights[100:104].sum() == pytest.approx(10 / 2)
    assert weights[:104].mean() == pytest.approx(1) and weights[104:].tolist() == [1] * 10
    assert batch_weights(types, np.zeros(114, np.int64)) is None


def test_without_batches_folds_are_stratified():
    types = np.repeat([0, 1], [12, 6])
    naive = StratifiedKFold(3, shuffle=True, random_state=5).split(types, types)
    for (seen, held), (also_seen, also_held) in zip(folds(types, 5), naive, strict=True):
        assert seen.tolist() == also_seen.tolist() and held.tolist() == also_held.tolist()


def test_whole_batches_are_held_out_but_no_type_is_lost():
    types = np.repeat([0, 1, 2], [40, 40, 9])
    batches = np.concatenate([np.arange(80) % 4, np.full(9, 3)])
    fold = fold_of(types, 0, batches)
    assert fold.max() == 2
    for batch in range(4):
        assert len(set(fold[:80][batches[:80] == batch])) == 1
    for k in range(3):
        assert set(types[fold != k]) == {0, 1, 2}
    assert sorted(np.bincount(fold[80:]).tolist()) == [3, 3, 3]
    both = fold_of(types, 0, np.minimum(batches, 1))
    assert both.max() == 1 and len(set(both[80:])) == 2
