"""Cells are left open where they should be, and keep a coarse label where that is sure."""

from __future__ import annotations

import numpy as np
import pytest

from peakatlas.classifier.counts.levels import Levels
from peakatlas.classifier.trust.rejection import (
    Limits,
    Rejection,
    label_levels,
    reasons,
    set_names,
    uncertainty,
)

FINE = np.array(["B", "NK", "T4", "T8", "B"])
MIDDLE = np.array(["B", "NK", "T", "T", "B"])
COARSE = np.array(["B", "TNK", "TNK", "TNK", "B"])


@pytest.fixture
def levels() -> Levels:
    return Levels.find(["fine", "coarse", "middle"], [FINE, COARSE, MIDDLE])


def test_a_limit_gives_up_one_per_cent_of_right_cells(levels):
    rng = np.random.default_rng(0)
    types = rng.integers(0, 4, 2000)
    chance = rng.dirichlet(np.ones(4), 2000) * 0.3
    chance[np.arange(2000), types] += 0.7
    wrong = np.arange(2000) % 10 == 0
    chance[wrong] = np.roll(chance[wrong], 1, axis=1)
    confidence = chance.max(axis=1)
    limits = Limits.fit(levels, types, chance, confidence)
    assert limits.finest == np.quantile(confidence[~wrong], 0.01)
    assert len(limits.coarser) == 2 and limits.coarser[0] > limits.finest
    none = Limits.fit(levels, types[:0], chance[:0], confidence[:0])
    assert none.finest == 1


def test_reasons_by_rule():
    facts = {
        "empty": np.array([False, False, False, True]),
        "confidence": np.array([0.9, 0.2, 0.9, 0.9]),
        "novelty_p": np.array([0.5, 0.5, 0.001, 0.001]),
        "sets": np.array([[1, 1], [1, 0], [1, 0], [0, 0]], bool),
        "limits": Limits(finest=0.4, coarser=()),
    }
    assert reasons(**facts, rule="limits").tolist() == ["", "uncertain", "novel", "empty"]
    assert reasons(**facts, rule="sets").tolist() == ["uncertain", "", "novel", "empty"]
    assert reasons(**facts, rule="none").tolist() == ["", "", "", "empty"]


def test_an_uncertain_cell_keeps_a_sure_coarse_label(levels):
    chance = np.array([[0.35, 0, 0.33, 0.32], [0.5, 0.5, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0]])
    reason = np.array(["uncertain", "uncertain", "", "novel"])
    limits = Limits(finest=0.9, coarser=(0.6, 0.6))
    found = label_levels(levels, limits, chance, chance.argmax(axis=1), reason)
    assert list(found) == ["coarse", "middle", "fine"]
    assert found["coarse"].labels.tolist() == ["TNK", "Unassigned", "TNK", "Unassigned"]
    assert found["middle"].labels.tolist() == ["T", "Unassigned", "T", "Unassigned"]
    assert found["fine"].labels.tolist() == ["Unassigned", "Unassigned", "T4", "Unassigned"]
    np.testing.assert_allclose(found["coarse"].confidence, [0.65, 0.5, 1, 1])


def test_one_level_needs_no_columns_of_its_own():
    one = Levels.find(["fine"], [FINE])
    assert label_levels(one, Limits(finest=1, coarser=()), np.eye(4), np.arange(4), FINE) == {}


def test_sets_and_uncertainty_in_words_and_numbers():
    assert set_names(np.eye(2, dtype=bool), ["a", "b"]).tolist() == ["a", "b"]
    assert uncertainty(np.array([[0.9, 0.1]]))[0] == pytest.approx(0.468996, abs=1e-6)


@pytest.mark.parametrize("wrong", [{"alpha": 0.0}, {"alpha": 0.6}, {"rule": "x"}])
def test_rules_are_checked(wrong):
    with pytest.raises(ValueError, match="must be"):
        Rejection(**wrong)
