"""Sparse counts: carried, thinned and weighted as naive versions do."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from cell_tools import types_of

from peakatlas.classifier.counts.sparse import (
    carry,
    inverse_document_frequency,
    scaled,
    thin,
    unit_rows,
    unit_sums,
)


@pytest.fixture
def counts(world):
    return sp.csr_matrix(world.cells(types_of(30), seed=3).X)


def test_carry_equals_a_loop():
    rng = np.random.default_rng(0)
    counts = sp.csr_matrix(rng.poisson(0.5, (6, 9)).astype(np.float32))
    peak_rows = np.array([4, -1, 7, 4, 9, 2, 7, -1, 4])
    rows = np.array([2, 4, 7])
    naive = np.stack([counts.toarray()[:, peak_rows == row].sum(axis=1) for row in rows], axis=1)
    assert carry(counts, peak_rows, rows).toarray().tolist() == naive.tolist()


def test_inverse_document_frequency_equals_a_formula(counts):
    idf = inverse_document_frequency(counts)
    binary = counts.toarray() > 0
    expected = np.log(1 + len(binary) / (1 + binary.sum(axis=0)))
    np.testing.assert_allclose(idf, expected, rtol=1e-6)


def test_thinning_keeps_the_share_asked_for(counts):
    rng = np.random.default_rng(0)
    kept = thin(counts, np.full(counts.shape[0], 0.3), rng)
    assert kept.sum() / counts.sum() == pytest.approx(0.3, abs=0.02)
    assert (counts - kept).min() >= 0 and (kept.data > 0).all()
    everything = thin(counts, np.ones(counts.shape[0]), rng)
    assert (everything != counts).nnz == 0


def test_scaling_is_a_product_with_diagonals():
    rng = np.random.default_rng(0)
    matrix = sp.random(7, 5, 0.4, format="csr", random_state=1, dtype=np.float32)
    rows, columns = rng.random(7), rng.random(5)
    found = scaled(matrix, rows=rows, columns=columns)
    expected = np.diag(rows) @ matrix.toarray() @ np.diag(columns)
    np.testing.assert_allclose(found.toarray(), expected, rtol=1e-6)
    assert found.dtype == np.float32


def test_rows_of_unit_length_and_sum_leave_empty_ones():
    matrix = sp.csr_matrix(np.array([[3.0, 4.0], [0.0, 0.0]], np.float32))
    np.testing.assert_allclose(unit_rows(matrix).toarray(), [[0.6, 0.8], [0, 0]], rtol=1e-6)
    np.testing.assert_allclose(unit_sums(matrix).toarray(), [[3 / 7, 4 / 7], [0, 0]], rtol=1e-6)
    assert matrix.toarray().tolist() == [[3, 4], [0, 0]]
