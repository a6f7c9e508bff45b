"""Types are trusted, merged or refused by what held-out cells say."""

import numpy as np
import pytest

from peakatlas.classifier.trust.verdicts import cutoff, type_verdicts

TYPES = np.array(["B", "CD4 memory", "CD4 naive", "MAIT", "rare"])


def cells(table):
    """Codes and labels of cells from a table of counts, true types in rows."""
    pairs = [(i, j) for i, row in enumerate(table) for j, n in enumerate(row) for _ in range(n)]
    return np.array(pairs, np.int64).T


@pytest.fixture(scope="module")
def verdicts():
    table = [
        [95, 2, 2, 1, 0],
        [0, 60, 45, 3, 0],
        [0, 55, 70, 5, 0],
        [10, 12, 13, 4, 0],
        [0, 0, 0, 0, 5],
    ]
    codes, best = cells(table)
    confidence = np.where(best == 3, 0.9, 0.7)
    return {v.type: v for v in type_verdicts(TYPES, codes, best, confidence)}


def test_a_type_that_is_found_is_trusted(verdicts):
    assert verdicts["B"].words == "trust"
    assert verdicts["B"].f1 == pytest.approx(2 * 95 / (100 + 105))
    assert verdicts["B"].reason == "held-out F1 0.93 on 100 cells"


def test_two_types_that_are_mixed_up_with_each_other_are_to_be_merged(verdicts):
    assert verdicts["CD4 memory"].words == "merge with CD4 naive"
    assert verdicts["CD4 naive"].words == "merge with CD4 memory"
    assert "most often mixed up with CD4 naive" in verdicts["CD4 memory"].reason


def test_a_type_whose_labels_are_wrong_is_not_to_be_used(verdicts):
    mait = verdicts["MAIT"]
    assert mait.words == "do not use"
    assert mait.precision == pytest.approx(4 / 13)
    assert "31% of its labels are right at a mean confidence of 90%" in mait.reason


def test_few_cells_are_to_be_checked_however_right(verdicts):
    assert verdicts["rare"].f1 == 1
    assert verdicts["rare"].words == "check"
    assert verdicts["rare"].mistaken_for == ""


def test_a_type_without_cells_or_labels_is_not_used():
    found = type_verdicts(TYPES[:2], np.zeros(20, np.int64), np.zeros(20, np.int64), np.ones(20))
    assert [v.words for v in found] == ["trust", "do not use"]
    assert np.isnan(found[1].precision)
    assert found[1].f1 == 0


def test_a_cut_off_keeps_nine_in_ten_labels_right():
    confidence = np.linspace(0.99, 0.5, 50)
    right = np.ones(50, np.bool_)
    right[[5, 20, 21, 22, 23]] = False
    assert cutoff(confidence, right) == pytest.approx(0.5)
    right[30:] = False
    assert cutoff(confidence, right) == pytest.approx(confidence[20])  # 19 of 21


def test_a_cut_off_needs_ten_cells_and_keeps_equal_ones_together():
    assert np.isnan(cutoff(np.full(9, 0.9), np.ones(9, np.bool_)))
    assert np.isnan(cutoff(np.empty(0), np.empty(0, np.bool_)))
    tied = np.full(20, 0.9)
    assert np.isnan(cutoff(tied, np.arange(20) < 15))
    assert cutoff(tied, np.arange(20) < 18) == 0.9


def test_verdicts_hold_the_cut_off(verdicts):
    assert verdicts["B"].cutoff == 0.7
    assert np.isnan(verdicts["MAIT"].cutoff)
    assert verdicts["MAIT"].to_json()["cutoff"] is None
