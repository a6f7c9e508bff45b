"""Types are trusted, merged or refused by what held-out cells say."""

import numpy as np
import pytest

from peakatlas.classifier.trust.verdicts import type_verdicts

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
