"""Networks are deterministic, balanced and adaptable; the linear head equals scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.linear_model import LogisticRegression

from peakatlas.classifier.linear import fit_linear
from peakatlas.classifier.network import NetworkOptions, adapt_network, fit_network, type_weights
from peakatlas.classifier.pull import Pull

OPTIONS = NetworkOptions(steps=60, hidden=16, latent=4)


@pytest.fixture
def cells():
    rng = np.random.default_rng(0)
    types = np.repeat([0, 1, 2], [80, 40, 10])
    centres = np.eye(3, 6) * 1.5
    return (centres[types] + rng.normal(size=(130, 6)) * 0.3).astype(np.float32), types


def test_same_seed_same_bytes_and_no_global_random_state(cells):
    values, types = cells
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = fit_network([values], types, 3, options=OPTIONS, seed=1).run(values)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    second = fit_network([values], types, 3, options=OPTIONS, seed=1).run(values)
    other = fit_network([values], types, 3, options=OPTIONS, seed=2).run(values)
    assert first[1].tobytes() == second[1].tobytes() != other[1].tobytes()


def test_network_learns_rare_types_too(cells):
    values, types = cells
    longer = NetworkOptions(steps=250, hidden=16, latent=4)
    _, logs = fit_network([values, values], types, 3, options=longer, seed=0).run(values)
    assert (logs.argmax(1) == types).mean() > 0.98
    np.testing.assert_allclose(np.exp(logs).sum(1), 1, rtol=1e-5)


def test_type_weights_give_each_type_the_same_total():
    types = np.array([0] * 6 + [1] * 3 + [2])
    totals = np.bincount(types, type_weights(types, 3)[types])
    np.testing.assert_allclose(totals, len(types) / 3, rtol=1e-6)


@pytest.mark.parametrize(
    "weights",
    [{"coral": 1.0, "mmd": 1.0}, {"class-conditional": 1.0}, {"adversarial": 1.0}],
    ids="+".join,
)
def test_adapting_moves_the_query_closer_and_leaves_the_network_alone(cells, weights):
    values, types = cells
    network = fit_network([values], types, 3, options=OPTIONS, seed=0)
    query = values + np.float32(0.5)
    before = network.run(values)[1].tobytes()
    pull = Pull(
        cells=query,
        guesses=types,
        weights=weights,
        draw=np.full(len(types), 1 / len(types)),
    )
    adapted = adapt_network(network, [values], types, pull, options=OPTIONS, seed=0)
    assert network.run(values)[1].tobytes() == before

    def gap(model):
        return np.linalg.norm(model.run(query)[0].mean(0) - model.run(values)[0].mean(0))

    assert gap(adapted) < 0.6 * gap(network)


def test_options_are_checked():
    with pytest.raises(ValueError, match="dropout in"):
        NetworkOptions(dropout=1.0)


@pytest.mark.parametrize("n_types", [2, 3])
def test_linear_head_equals_scikit_learn(cells, n_types):
    values, types = cells
    keep = types < n_types
    features = sp.csr_matrix(values[keep])
    model = LogisticRegression(C=1.0, class_weight="balanced", max_iter=150, tol=1e-3)
    expected = model.fit(features, types[keep]).predict_log_proba(features)
    head = fit_linear(features, types[keep], n_types, strength=1.0)
    np.testing.assert_allclose(head.log_probabilities(features), expected, atol=1e-4)
