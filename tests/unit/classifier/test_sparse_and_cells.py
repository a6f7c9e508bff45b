"""Cell embeddings: equal to naive versions, inductive, free of the peak order."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from cell_tools import types_of

from peakatlas.classifier.cells import CellEncoder
from peakatlas.classifier.counts.peak_table import PeakTable
from peakatlas.classifier.counts.sparse import carry, inverse_document_frequency, tf_idf, thin


@pytest.fixture
def counts(world):
    return sp.csr_matrix(world.cells(types_of(30), seed=3).X)


@pytest.fixture
def peaks(world):
    return PeakTable(world.values, np.arange(len(world.start)))


def test_carry_equals_a_loop():
    rng = np.random.default_rng(0)
    counts = sp.csr_matrix(rng.poisson(0.5, (6, 9)).astype(np.float32))
    peak_rows = np.array([4, -1, 7, 4, 9, 2, 7, -1, 4])
    rows = np.array([2, 4, 7])
    naive = np.stack([counts.toarray()[:, peak_rows == row].sum(axis=1) for row in rows], axis=1)
    assert carry(counts, peak_rows, rows).toarray().tolist() == naive.tolist()


def test_tf_idf_equals_a_formula(counts):
    idf = inverse_document_frequency(counts)
    binary = counts.toarray() > 0
    expected = np.log(1 + len(binary) / (1 + binary.sum(axis=0)))
    np.testing.assert_allclose(idf, expected, rtol=1e-6)
    naive = binary / binary.sum(axis=1, keepdims=True) * expected
    np.testing.assert_allclose(tf_idf(counts, idf).toarray(), naive, rtol=1e-5)


def test_thinning_keeps_the_share_asked_for(counts):
    rng = np.random.default_rng(0)
    kept = thin(counts, np.full(counts.shape[0], 0.3), rng)
    assert kept.sum() / counts.sum() == pytest.approx(0.3, abs=0.02)
    assert (counts - kept).min() >= 0 and (kept.data > 0).all()
    everything = thin(counts, np.ones(counts.shape[0]), rng)
    assert (everything != counts).nnz == 0


def test_sequence_block_equals_a_naive_weighted_mean(counts, peaks):
    encoder = CellEncoder.fit(counts, peaks, representation="sequence")
    values = peaks.values.astype(np.float64)
    spread, axes = np.linalg.eigh(np.cov(values.T))
    white = (values - values.mean(0)) @ (axes / np.sqrt(spread))[:, ::-1]
    binary = counts.toarray() > 0
    weight = binary * np.log(1 + len(binary) / (1 + binary.sum(axis=0)))
    raw = weight / weight.sum(axis=1, keepdims=True) @ white
    naive = (raw - raw.mean(0)) / raw.std(0)
    got = encoder.sequence_block(counts, peaks)
    np.testing.assert_allclose(np.abs(got), np.abs(naive), atol=2e-3)


@pytest.mark.parametrize("representation", ["hybrid", "sequence", "reindexed"])
def test_a_cell_does_not_depend_on_its_companions(counts, peaks, representation):
    encoder = CellEncoder.fit(counts, peaks, representation=representation)
    together, alone = encoder.transform(counts, peaks), encoder.transform(counts[7], peaks)
    np.testing.assert_allclose(together[7], alone[0], atol=1e-5)


def test_peak_order_does_not_matter(counts, peaks):
    encoder = CellEncoder.fit(counts, peaks)
    order = np.random.default_rng(0).permutation(len(peaks))
    moved = encoder.transform(sp.csr_matrix(counts[:, order]), peaks.take(order))
    np.testing.assert_allclose(moved, encoder.transform(counts, peaks), atol=1e-4)


def test_mix_sets_the_share_of_each_block(counts, peaks):
    encoder = CellEncoder.fit(counts, peaks).with_mix(0.25)
    cells = encoder.transform(counts, peaks)
    sequence = encoder.peak_axes.shape[1]
    assert np.square(cells[:, :sequence]).sum(1).mean() == pytest.approx(0.25, rel=1e-3)
    assert np.square(cells[:, sequence:]).sum(1).mean() == pytest.approx(0.75, rel=1e-3)
    assert encoder.with_mix(0.0).transform(counts, peaks).shape[1] == cells.shape[1] - sequence


def test_empty_cells_and_peaks_without_embedding(counts, peaks):
    values = peaks.values.copy()
    values[::2] = np.nan
    partly = PeakTable(values, peaks.rows)
    empty = sp.vstack([counts, sp.csr_matrix((1, counts.shape[1]), dtype=np.float32)]).tocsr()
    cells = CellEncoder.fit(counts, partly).transform(empty, partly)
    assert np.isfinite(cells).all() and (cells[-1] == 0).all()


def test_hybrid_without_embeddings_is_reindexed(counts, peaks):
    bare = PeakTable(np.zeros((len(peaks), 0), np.float32), peaks.rows)
    assert CellEncoder.fit(counts, bare).representation == "reindexed"
    with pytest.raises(ValueError, match="needs embedded peaks, and 0 of 240 have an embedding"):
        CellEncoder.fit(counts, bare, representation="sequence")
    with pytest.raises(ValueError, match="'x' is not known; choose one of hybrid, sequence"):
        CellEncoder.fit(counts, bare, representation="x")


def test_shared_and_covered(counts, peaks):
    encoder = CellEncoder.fit(counts, peaks)
    half = PeakTable(peaks.values, np.where(np.arange(len(peaks)) % 2, peaks.rows, -1))
    totals = np.asarray(counts.sum(axis=0), np.float64).ravel()
    assert encoder.shared(totals, peaks) == 1 and encoder.covered(peaks) == pytest.approx(1)
    odd = counts[:, np.arange(1, len(peaks), 2)].sum() / counts.sum()
    assert encoder.shared(totals, half) == pytest.approx(odd)
    often = np.asarray((counts > 0).sum(axis=0)).ravel() + 1.0
    assert encoder.covered(half) == pytest.approx(often[1::2].sum() / often.sum(), rel=1e-4)
