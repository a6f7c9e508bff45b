"""A peak that an experiment did not count is unknown in its cells, not closed."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from peakatlas.classifier.counts.measured_peaks import Measured
from peakatlas.classifier.counts.sparse import inverse_document_frequency
from peakatlas.classifier.profiles import type_log_odds

SHOWN = np.array([[True, True, False], [False, True, True]])
EXPERIMENT = np.array([0, 0, 0, 1, 1])
TYPES = np.array([0, 1, 1, 0, 0])


def test_cells_that_could_show_a_peak_or_a_row():
    measured = Measured(EXPERIMENT, SHOWN)
    assert measured.cells_by_peak().tolist() == [[3, 5, 2]]
    assert measured.cells_by_peak(TYPES, 2).tolist() == [[1, 3, 2], [2, 2, 0]]
    rows = measured.cells_by_row(np.array([7, -1, 9]), np.array([7, 9]))
    assert rows.tolist() == [3, 2]
    both = measured.cells_by_row(np.array([7, 9, 9]), np.array([7, 9]))
    assert both.tolist() == [3, 5]
    assert measured.take(np.array([0, 4])).cells_by_peak().tolist() == [[1, 2, 1]]


def test_rarity_is_among_the_cells_that_could_show_it():
    counts = sp.csr_matrix(np.array([[1, 1, 0], [0, 1, 0], [0, 1, 0], [0, 1, 1], [0, 1, 0]]))
    could = Measured(EXPERIMENT, SHOWN).cells_by_peak()[0]
    found = inverse_document_frequency(counts, could)
    np.testing.assert_allclose(found, np.log1p([3 / 2, 5 / 6, 2 / 2]), rtol=1e-6)


def test_a_type_whose_cells_never_saw_a_peak_is_not_said_to_close_it():
    rng = np.random.default_rng(0)
    types = np.repeat([0, 1], 50)
    counts = np.zeros((100, 2))
    counts[:50, 0] = rng.random(50) < 0.5
    counts[50:, 1] = rng.random(50) < 0.5
    shown = np.array([[True, False], [False, True]])
    could = Measured(types, shown).cells_by_peak(types, 2)
    odds = type_log_odds(sp.csr_matrix(counts), types, could)
    assert np.abs(odds).max() < 0.1
    assert np.abs(type_log_odds(sp.csr_matrix(counts), types)).min() > 1
