"""Scores equal scikit-learn's where it has them."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    precision_recall_fscore_support,
)

from peakatlas.classifier.trust.metrics import (
    confusion,
    per_type,
    score,
)


@pytest.fixture
def called():
    rng = np.random.default_rng(0)
    truth = rng.choice(list("abcd"), 300)
    return truth, np.where(rng.random(300) < 0.7, truth, rng.choice(list("abc"), 300))


def test_accuracy_and_macro_f1_equal_scikit_learn(called):
    truth, predicted = called
    found = score(truth, predicted)
    assert found.accuracy == pytest.approx(accuracy_score(truth, predicted))
    assert found.macro_f1 == pytest.approx(f1_score(truth, predicted, average="macro"))
    assert found.coverage == 1 and np.isnan(found.rejected_unknown)


def test_per_type_equals_scikit_learn(called):
    table = per_type(*called)
    expected = precision_recall_fscore_support(*called, zero_division=0)
    for column, values in zip(("precision", "recall", "f1", "n_cells"), expected, strict=True):
        assert table[column].tolist() == pytest.approx(values.tolist())


def test_confusion_equals_scikit_learn(called):
    labels = sorted(set(called[0]))
    table = confusion(*called).reindex(index=labels, columns=labels, fill_value=0)
    assert table.to_numpy().tolist() == confusion_matrix(*called, labels=labels).tolist()


def test_unassigned_is_wrong_for_known_and_right_for_unknown_types():
    truth = ["a", "a", "b", "new", "new", "new"]
    predicted = ["a", "Unassigned", "b", "Unassigned", "a", "Unassigned"]
    found = score(truth, predicted, known=["a", "b"])
    assert found.accuracy == pytest.approx(2 / 3)
    assert found.coverage == pytest.approx(2 / 3)
    assert found.rejected_unknown == pytest.approx(2 / 3)
    assert found.macro_f1 == pytest.approx((2 / 3 + 1) / 2)


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="truth has 2 cells, predicted has 1"):
        score(["a", "b"], ["a"])
