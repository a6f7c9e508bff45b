"""The trunk recovers planted weights; a cell's row equals scipy's and depends on no other cell."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import minimize

from peakatlas.classifier.rows import BIAS_RIDGE, solve_rows
from peakatlas.classifier.trunk import Trunk, TrunkOptions

N_CELLS, N_PEAKS, DIM = 150, 800, 6


@pytest.fixture(scope="module")
def planted():
    """Cells with two weights over features that are a function of the embeddings."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(N_PEAKS, DIM)).astype(np.float32)
    features = np.stack([np.tanh(values[:, 0] + values[:, 1]), np.abs(values[:, 2]) - 0.8], axis=1)
    weights = rng.normal(size=(N_CELLS, 2)) * 2
    chance = 1 / (1 + np.exp(1.5 - weights @ features.T))
    counts = sp.csr_matrix((rng.random(chance.shape) < chance).astype(np.float32))
    return counts, values, weights


@pytest.fixture(scope="module")
def trunk(planted):
    counts, values, _ = planted
    options = TrunkOptions(hidden=32, n_features=6, learning_rate=1e-2, dropout=0.0)
    return Trunk.fit(counts, values, options=options)


def explained(cells: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Share of each planted weight's variance that cell rows explain linearly."""
    design = np.concatenate([cells, np.ones((len(cells), 1))], axis=1)
    left = weights - design @ np.linalg.lstsq(design, weights, rcond=None)[0]
    return 1 - left.var(axis=0) / weights.var(axis=0)


def test_rows_equal_scipy():
    rng = np.random.default_rng(1)
    features = rng.normal(size=(70, 4)).astype(np.float32)
    opened = (rng.random((5, 70)) < [[0.5], [0.1], [0.03], [0.9], [0.3]]).astype(np.float32)
    design = np.concatenate([features, np.ones((70, 1))], axis=1).astype(np.float64)
    penalty = np.array([0.7] * 4 + [0.7 * BIAS_RIDGE])
    for row, got in zip(
        opened, solve_rows(sp.csr_matrix(opened), features, ridge=0.7), strict=True
    ):

        def loss(w, row=row):
            logits = design @ w
            return np.sum(np.logaddexp(0, logits) - row * logits) + 0.5 * np.sum(penalty * w**2)

        naive = minimize(loss, np.zeros(5), method="BFGS", options={"gtol": 1e-8})
        np.testing.assert_allclose(got, naive.x, atol=1e-4)


def test_a_row_far_from_the_start_converges_too():
    features = np.repeat(np.array([[30.0], [-30.0]], np.float32), 50, axis=0)
    opened = sp.csr_matrix(np.repeat([1, 0], 50)[None].astype(np.float32))
    weight = solve_rows(opened, features, ridge=1.0)[0, 0]
    # Where the gradient of the penalised loss vanishes.
    assert weight == pytest.approx(3000 / (1 + np.exp(30 * weight)), rel=1e-3)


def test_planted_weights_are_recovered_also_on_peaks_that_were_not_fitted(planted, trunk):
    counts, values, weights = planted
    assert (explained(trunk.cells(counts, values), weights) > 0.85).all()
    half = N_PEAKS // 2
    other = Trunk.fit(
        counts[:, :half],
        values[:half],
        options=TrunkOptions(hidden=32, n_features=6, learning_rate=1e-2, dropout=0.0),
    )
    unseen = other.cells(sp.csr_matrix(counts[:, half:]), values[half:])
    assert (explained(unseen, weights) > 0.6).all()
    # Features of other peaks still project a cell's counts at random, which tells a little.
    shuffled = values[half:][np.random.default_rng(0).permutation(half)]
    by_chance = explained(other.cells(sp.csr_matrix(counts[:, half:]), shuffled), weights)
    assert (explained(unseen, weights) > by_chance + 0.2).all()


def test_a_cell_has_the_same_bytes_alone_and_in_company(planted, trunk):
    counts, values, _ = planted
    together = trunk.cells(counts, values)
    for cell in (0, 127, 128, 149):
        assert trunk.cells(counts[[cell]], values)[0].tobytes() == together[cell].tobytes()
    order = np.random.default_rng(0).permutation(N_CELLS)
    assert trunk.cells(counts[order], values).tobytes() == together[order].tobytes()


def test_peaks_without_embedding_and_empty_cells(planted, trunk):
    counts, values, _ = planted
    holed = values.copy()
    holed[::2] = np.nan
    kept = trunk.cells(sp.csr_matrix(counts[:, 1::2]), values[1::2])
    assert trunk.cells(counts, holed).tobytes() == kept.tobytes()
    empty = sp.csr_matrix((2, N_PEAKS), dtype=np.float32)
    assert (trunk.cells(empty, values) == 0).all()
    with pytest.raises(ValueError, match=r"needs 20 embedded peaks .* and there are 0"):
        Trunk.fit(counts, np.full_like(values, np.nan))


def test_restoring_gives_the_same_vectors_and_fitting_is_repeatable(planted, trunk):
    counts, values, _ = planted
    again = Trunk.restore(trunk.arrays(), trunk.ridge)
    assert again.cells(counts, values).tobytes() == trunk.cells(counts, values).tobytes()
    options = TrunkOptions(hidden=8, n_features=3, max_epochs=2)
    first, second = (Trunk.fit(counts, values, options=options, seed=4) for _ in "ab")
    assert first.second.tobytes() == second.second.tobytes()


def test_options_are_checked():
    with pytest.raises(ValueError, match="must be ≥ 1"):
        TrunkOptions(n_features=0)
    with pytest.raises(ValueError, match="ridge above 0"):
        TrunkOptions(ridge=0)
