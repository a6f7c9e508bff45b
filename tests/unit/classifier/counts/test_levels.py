"""Coarse and fine labels: nested, consistent, and a coarse answer where the fine one is open."""

from __future__ import annotations

import numpy as np
import pytest

from peakatlas.classifier.counts.levels import Levels
from peakatlas.classifier.level_rules import LevelRules, label_levels
from peakatlas.engine.errors import LabelsError

FINE = np.array(["B", "NK", "T4", "T8", "B"])
MIDDLE = np.array(["B", "NK", "T", "T", "B"])
COARSE = np.array(["B", "TNK", "TNK", "TNK", "B"])


@pytest.fixture
def levels() -> Levels:
    return Levels.find(["fine", "coarse", "middle"], [FINE, COARSE, MIDDLE])


def test_the_nesting_is_found_whatever_the_order(levels):
    assert levels.columns == ("coarse", "middle", "fine")
    assert levels.finest == ("B", "NK", "T4", "T8")
    assert levels.types[0] == ("B", "TNK")
    assert levels.members == ((0, 1, 1, 1), (0, 1, 2, 2), (0, 1, 2, 3))
    again = Levels.find(["middle", "fine", "coarse"], [MIDDLE, FINE, COARSE])
    assert again == levels == Levels.from_json(levels.to_json())


def test_a_type_under_two_parents_is_refused():
    torn = np.array(["B", "TNK", "TNK", "TNK", "TNK"])
    with pytest.raises(LabelsError) as caught:
        Levels.find(["fine", "coarse"], [FINE, torn])
    assert str(caught.value) == (
        "fine 'B' lies under 'B' (1 cells) and 'TNK' (1 cells) of coarse: levels must be nested. "
        "Relabel these cells, give the types of fine a name for each, or train with one of the "
        "columns."
    )


def test_sums_and_both_orders(levels):
    chance = np.array([[0.4, 0.0, 0.35, 0.25], [0.3, 0.36, 0.34, 0.0]], np.float32)
    np.testing.assert_allclose(levels.sums(chance, 0), [[0.4, 0.6], [0.3, 0.7]], atol=1e-6)
    assert levels.best(chance, "fine").tolist() == [0, 1]
    assert levels.best(chance, "coarse").tolist() == [2, 1]
    zeros = np.array([[0, 0, 0, 1], [1, 0, 0, 0]], np.float32)
    assert levels.best(zeros, "coarse").tolist() == [3, 0]


def test_an_uncertain_cell_keeps_a_sure_coarse_label(levels):
    chance = np.array([[0, 0, 0.5, 0.5], [0.5, 0.5, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0]], np.float32)
    reason = np.array(["uncertain", "uncertain", "", "novel"])
    best = levels.best(chance, "fine")
    said = label_levels(levels, (0.9, 0.9), chance, best, reason)
    assert list(said) == ["coarse", "middle", "fine"]
    assert said["coarse"].labels.tolist() == ["TNK", "Unassigned", "TNK", "Unassigned"]
    assert said["middle"].labels.tolist() == ["T", "Unassigned", "T", "Unassigned"]
    assert said["fine"].labels.tolist() == ["Unassigned", "Unassigned", "T4", "Unassigned"]
    np.testing.assert_allclose(said["coarse"].confidence, [1, 0.5, 1, 1])


def test_rules_take_the_order_that_labels_held_out_cells_best(levels):
    types = np.tile([0, 1, 2, 3], 50)
    sure = np.eye(4, dtype=np.float32)[types]
    assert LevelRules.fit(levels, types, [sure], [sure], 0.01).first == "fine"
    torn = np.tile(np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0.4, 0, 0.3, 0.3], [0.4, 0, 0.2, 0.4]],
                            np.float32), (50, 1))  # fmt: skip
    rules = LevelRules.fit(levels, types, [torn], [sure], 0.25)
    assert rules.first == "coarse"
    assert rules.complete[0] == pytest.approx(0.6) and rules.partial == (1, 1)
    assert LevelRules.from_json(rules.to_json()) == rules
