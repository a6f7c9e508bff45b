"""Coarse and fine labels: nested, consistent, and a coarse answer where the fine one is open."""

from __future__ import annotations

import numpy as np
import pytest

from peakatlas.classifier.counts.levels import Levels
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


def test_sums_are_over_what_lies_under(levels):
    chance = np.array([[0.4, 0.0, 0.35, 0.25], [0.3, 0.36, 0.34, 0.0]], np.float32)
    np.testing.assert_allclose(levels.sums(chance, 0), [[0.4, 0.6], [0.3, 0.7]], atol=1e-6)
    np.testing.assert_allclose(levels.sums(chance, 2), chance)
