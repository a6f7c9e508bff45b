"""What the model benchmark makes of DNA and cells."""

import sys
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from peakatlas.engine.dna.kmers import canonical_columns
from peakatlas.engine.dna.sequences import Sequences

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from model_cells import canonical_kmers, cell_accuracy, gc_share, whitened


def test_kmers_of_both_strands_are_one_and_those_with_n_are_none():
    table = canonical_kmers(Sequences.from_strings(["AACG", "CGTT", "ANCG"]), 2)
    column, n_columns = canonical_columns(2)
    assert n_columns == 10
    expected = np.zeros(10)
    for kmer in (0b0000, 0b0001, 0b0110):  # AA, AC, CG
        expected[column[kmer]] += 1 / 3
    np.testing.assert_allclose(table[0], expected, atol=1e-6)
    np.testing.assert_array_equal(table[0], table[1])
    assert table[2, column[0b0110]] == 1


def test_kmers_do_not_reach_into_the_next_sequence():
    apart = [canonical_kmers(Sequences.from_strings([dna]), 3)[0] for dna in ("ACGTA", "GGC")]
    together = canonical_kmers(Sequences.from_strings(["ACGTA", "GGC"]), 3)
    np.testing.assert_array_equal(together, apart)


def test_gc_share_is_that_of_known_bases():
    assert gc_share(Sequences.from_strings(["GCNN", "ACGT"])).tolist() == [1.0, 0.5]


def test_whitened_axes_hold_nothing_of_gc():
    rng = np.random.default_rng(0)
    strings = ["".join(rng.choice(list("ACGT"), 60, p=p)) for p in rng.dirichlet(np.ones(4), 400)]
    sequences = Sequences.from_strings(strings)
    gc = gc_share(sequences)
    vectors = rng.normal(size=(400, 60)).astype(np.float32) + 5 * gc[:, None].astype(np.float32)
    axes = whitened(vectors, sequences)
    np.testing.assert_allclose(axes.std(axis=0), 1, atol=0.01)
    assert abs(np.corrcoef(np.c_[axes, gc].T)[-1, :-1]).max() < 1e-5


def test_cells_are_told_by_vectors_of_their_peaks_alone():
    rng = np.random.default_rng(0)
    opened = np.zeros((100, 40), np.float32)
    opened[:50, :20] = rng.random((50, 20)) < 0.5
    opened[50:, 20:] = rng.random((50, 20)) < 0.5
    obs = pd.DataFrame({"cell_type": ["a"] * 50 + ["b"] * 50})
    obs.index = obs.index.astype(str)
    cells = ad.AnnData(sp.csr_matrix(opened), obs=obs)
    telling = np.repeat([[1.0], [-1.0]], 20, axis=0).astype(np.float32)
    assert cell_accuracy(cells, telling, 2)["mean"] == pytest.approx(1)
    mixed = np.tile([[1.0], [-1.0]], (20, 1)).astype(np.float32)
    assert cell_accuracy(cells, mixed, 2)["mean"] < 0.8
