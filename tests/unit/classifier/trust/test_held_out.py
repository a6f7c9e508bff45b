"""Scores of held-out cells are those of plain formulas."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from peakatlas.classifier.counts.levels import Levels
from peakatlas.classifier.trust.held_out import batch_scores, held_out_scores

FINE = np.repeat(["B", "T4", "T8"], 40)
COARSE = np.repeat(["B", "T", "T"], 40)


@pytest.fixture
def cells():
    rng = np.random.default_rng(0)
    types = np.repeat([0, 1, 2], 40)
    best = np.where(rng.random(120) < 0.3, rng.integers(0, 3, 120), types)
    return Levels.find(["fine", "coarse"], [FINE, COARSE]), types, best, rng.random(120)


def test_scores_of_all_of_types_and_of_levels(cells):
    _, types, best, _ = cells
    found = held_out_scores(*cells)
    assert found["accuracy"] == np.mean(types == best)
    assert found["macro_f1"] == pytest.approx(f1_score(types, best, average="macro"))
    assert found["by_type"]["T4"]["recall"] == np.mean(best[types == 1] == 1)
    wrong = best[(types == 1) & (best != 1)]
    assert sum(found["by_type"]["T4"]["mistaken_for"].values()) == len(wrong)
    assert found["by_level"]["coarse"]["accuracy"] == np.mean((types > 0) == (best > 0))
    assert sum(part["cells"] for part in found["reliability"]["bins"]) == 120


def test_scores_of_batches(cells):
    _, types, best, _ = cells
    batches = np.where(np.arange(120) % 2, "x", "y")
    found = batch_scores(types, best, batches)
    assert found["x"]["cells"] == 60
    assert found["y"]["accuracy"] == np.mean((types == best)[batches == "y"])
