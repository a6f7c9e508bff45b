"""Scores of terms are of unit variance by chance."""

import numpy as np
import scipy.sparse as sp

from peakatlas.classifier.naming.scores import term_scores


def test_scores_by_chance_have_mean_0_and_variance_1():
    rng = np.random.default_rng(0)
    terms = sp.csr_matrix((rng.random((2000, 6)) < 0.3).astype(np.float32))
    opened = sp.csr_matrix((rng.random((3000, 2000)) < 0.05).astype(np.float32))
    scores, depth = term_scores(opened, terms, range(6))
    assert np.abs(scores.mean(axis=0)).max() < 0.1
    assert np.abs(scores.std(axis=0) - 1).max() < 0.1
    with_term = np.asarray(terms.sum(axis=1)).ravel() > 0
    np.testing.assert_allclose(depth, np.asarray(opened[:, with_term].sum(axis=1)).ravel())


def test_peaks_of_a_term_raise_its_score_and_no_other():
    rng = np.random.default_rng(0)
    terms = sp.csr_matrix((rng.random((2000, 6)) < 0.3).astype(np.float32))
    chance = np.where(terms[:, [2]].toarray().ravel() > 0, 0.08, 0.05)
    special = sp.csr_matrix((rng.random((50, 2000)) < chance).astype(np.float32))
    usual = sp.csr_matrix((rng.random((950, 2000)) < 0.05).astype(np.float32))
    scores, _ = term_scores(sp.vstack([special, usual]).tocsr(), terms, range(6))
    assert scores[:50, 2].mean() > 1.5
    assert np.abs(np.delete(scores[:50].mean(axis=0), 2)).max() < 0.6
