"""The sparse discriminant is the textbook's, and heads can be chosen and kept."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.special import log_softmax

from peakatlas.classifier.discriminant import fit_discriminant, solve
from peakatlas.classifier.heads import Head
from peakatlas.classifier.linear import fit_linear
from peakatlas.classifier.selection import HeldOut, choose_fusion, commensurate


def drawn_cells(rng, per_type=30, n_types=3, n_features=60):
    """Binary cells of types with other open features each, and their codes."""
    chance = rng.uniform(0.02, 0.4, (n_types, n_features))
    types = np.repeat(np.arange(n_types), per_type)
    return sp.csr_matrix((rng.random((len(types), n_features)) < chance[types]) * 1.0), types


def naive_scores(features, types, n_types, ridge, weights, cells):
    """The discriminant with its covariance written out, in float64, up to a constant a cell."""
    rows = features.toarray() / np.linalg.norm(features.toarray(), axis=1, keepdims=True)
    cells = cells.toarray() / np.linalg.norm(cells.toarray(), axis=1, keepdims=True)
    means, covariance = [], 0
    for code in range(n_types):
        part, share = rows[types == code], weights[types == code]
        means.append(np.average(part, axis=0, weights=share))
        covariance = covariance + np.cov(part.T, aweights=share, ddof=0) / n_types
    covariance += ridge * np.trace(covariance) * np.eye(rows.shape[1])
    means = np.stack(means)
    gaps = cells[:, None] - means[None]
    return -0.5 * np.einsum("ckf,fg,ckg->ck", gaps, np.linalg.inv(covariance), gaps)


@pytest.mark.parametrize("balanced", [True, False])
def test_discriminant_equals_the_dense_formula(balanced):
    rng = np.random.default_rng(0)
    features, types = drawn_cells(rng)
    weights = np.ones(len(types)) if balanced else rng.uniform(0.5, 1.5, len(types))
    cells, _ = drawn_cells(rng)
    head = fit_discriminant(
        features, types, 3, ridge=0.01, weights=None if balanced else weights.astype(np.float32)
    )
    expected = log_softmax(naive_scores(features, types, 3, 0.01, weights, cells), axis=1)
    assert head.unit
    np.testing.assert_allclose(head.log_probabilities(cells), expected, atol=0.02)


def test_discriminant_does_not_look_at_the_length_of_a_row():
    rng = np.random.default_rng(1)
    features, types = drawn_cells(rng)
    head = fit_discriminant(features, types, 3, ridge=0.01)
    np.testing.assert_allclose(
        head.log_probabilities(features * 7), head.log_probabilities(features), atol=1e-4
    )


def test_solve_equals_a_dense_solution():
    rng = np.random.default_rng(2)
    root = rng.normal(size=(20, 20))
    matrix = (root @ root.T + np.eye(20)).astype(np.float32)
    wanted = rng.normal(size=(20, 3)).astype(np.float32)
    found = solve(lambda columns: matrix @ columns, wanted)
    gap = np.linalg.norm(matrix @ found - wanted, axis=0)
    assert (gap <= 2e-3 * np.linalg.norm(wanted, axis=0)).all()


def test_a_logistic_head_takes_the_first_view_and_a_discriminant_all():
    rng = np.random.default_rng(3)
    features, types = drawn_cells(rng)
    other, _ = drawn_cells(rng)
    logistic = Head("logistic", 1.0).fit([features, other], types, 3)
    np.testing.assert_array_equal(
        logistic.coefficients, fit_linear(features, types, 3, strength=1.0).coefficients
    )
    both = Head("discriminant", 0.01).fit([features, other], types, 3)
    stacked = sp.csr_matrix(sp.vstack([features, other]))
    np.testing.assert_array_equal(
        both.coefficients,
        fit_discriminant(stacked, np.tile(types, 2), 3, ridge=0.01).coefficients,
    )


def test_discriminants_become_as_sure_as_the_network_and_win_where_they_are_right():
    rng = np.random.default_rng(4)
    types = np.repeat([0, 1], 100)
    truth = np.where(np.eye(2)[types], 0.0, -1.0)
    blunt = log_softmax(truth * 0.5 + rng.normal(size=truth.shape), axis=1).astype(np.float32)
    sharp = log_softmax(truth * 30, axis=1).astype(np.float32)
    logistic, discriminant = Head("logistic", 1.0), Head("discriminant", 1e-3)
    depth = np.ones(200, np.float32)
    scores = {logistic: blunt, discriminant: sharp}
    held = HeldOut(depth, blunt, scores, blunt, depth, [], np.zeros((0, 2), np.float32))
    (cooled,), by = commensurate([held])
    sure = np.exp(cooled.linear[discriminant]).max(axis=1).mean()
    assert abs(sure - np.exp(blunt).max(axis=1).mean()) < 0.01
    assert by[logistic] == 1.0
    assert by[discriminant] > 5
    np.testing.assert_allclose(cooled.linear[logistic], blunt, atol=1e-5)
    assert choose_fusion([cooled], types) == (discriminant, 1.0)
