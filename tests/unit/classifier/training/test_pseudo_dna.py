"""Pseudo-queries lack of their reference's peaks what the query lacks."""

from dataclasses import replace

import numpy as np
import pytest
from simulated_dna import simulated_sides

from peakatlas.classifier.training.pseudo_dna import pseudo_dna

TRAIN, TEST = np.arange(100), np.arange(100, 150)


@pytest.mark.parametrize(("n_shared", "n_hidden"), [(0, 150), (100, 150), (200, 100), (300, 0)])
def test_hidden_peaks(n_shared, n_hidden):
    sides = simulated_sides(n_shared)
    rng = np.random.default_rng(0)
    known, query = pseudo_dna(sides.reference.dna, sides.query.dna, TRAIN, TEST, rng)
    assert known.counts.shape == (100, 300 - n_hidden)
    assert (query.column < 0).sum() == n_hidden
    assert query.counts.shape == (50, n_shared + n_hidden)
    assert np.isin(query.column[query.column >= 0], known.column).all()
    own = query.embeddings[query.column < 0]
    assert not (own[:, None] == known.embeddings[None]).all(axis=2).any()


def test_reads_are_thinned_to_the_query():
    sides = simulated_sides()
    rng = np.random.default_rng(0)
    shallow = sides.query.dna.counts.copy()
    shallow.data[rng.random(shallow.nnz) < 0.75] = 0
    shallow.eliminate_zeros()
    dna = replace(sides.query.dna, counts=shallow)
    _, query = pseudo_dna(sides.reference.dna, dna, TRAIN, TEST, rng)
    assert query.counts.sum(axis=1).mean() == pytest.approx(shallow.sum(axis=1).mean() / 2, rel=0.1)
