"""The one function: right on simulated cells, at home in corners, refusing what cannot be."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from simulated_cells import simulated, unlabelled

from peakatlas.classifier.models.protocol import Cells
from peakatlas.classifier.training import labeller
from peakatlas.classifier.training.labeller import (
    LabellerOptions,
    fit_labeller,
    label,
    stratified,
)
from peakatlas.engine.errors import CountsError, LabelsError


@pytest.fixture(scope="module")
def reference():
    return simulated((60, 40, 20), seed=1)


@pytest.fixture(scope="module")
def query():
    return simulated((30, 30, 30), seed=2)


@pytest.fixture(scope="module")
def fitted(reference, query):
    return fit_labeller(reference, unlabelled(query))


def test_labels_confidence_and_sets(fitted, query):
    found = fitted.predict(query)
    assert (found.labels == query.labels).mean() > 0.9
    np.testing.assert_allclose(np.exp(found.log_probabilities).sum(axis=1), 1, rtol=1e-4)
    assert ((found.confidence > 0) & (found.confidence <= 1 + 1e-6)).all()
    sets = fitted.sets(found, 0.1)
    truth = np.searchsorted(found.types, query.labels)
    assert sets[np.arange(90), truth].mean() > 0.8
    assert ((found.novelty_p >= 0) & (found.novelty_p <= 1)).all()
    assert fitted.diagnostics["accuracy"] > 0.9
    assert sum(fitted.diagnostics["weights"].values()) == pytest.approx(1)


def test_a_chunk_is_labelled_as_the_whole(fitted, reference, query):
    rows = np.array([3, 40, 80])
    whole = fitted.predict(query).log_probabilities[rows]
    again = fit_labeller(reference, fitted.statistics)
    chunk = again.predict(query.take(rows)).log_probabilities
    np.testing.assert_allclose(chunk, whole, atol=1e-4)


def test_the_same_again(fitted, reference, query):
    again = label(reference, unlabelled(query))
    np.testing.assert_array_equal(again.log_probabilities, fitted.predict(query).log_probabilities)


def test_labels_of_the_query_are_not_read(fitted, reference, query):
    wrong = replace(query, labels=np.full(90, "T0"))
    np.testing.assert_array_equal(
        label(reference, wrong).log_probabilities, fitted.predict(query).log_probabilities
    )


def test_unmeasured_peaks_do_not_count(reference, query):
    measured = np.arange(120) % 2 == 0
    counts = sp.csr_matrix(query.counts @ sp.diags_array(measured.astype(np.float32)))
    found = label(reference, Cells(counts=counts, measured=measured))
    assert (found.labels == query.labels).mean() > 0.75


def test_members_by_name(reference, query):
    options = LabellerOptions(members=("multinomial",))
    fitted = fit_labeller(reference, unlabelled(query), options=options)
    found = fitted.predict(query, members=True)
    assert set(found.member_scores) == {"multinomial", "adapted_multinomial", "adapted_logistic"}


def test_batches_are_left_out(reference, query):
    batches = np.where(np.arange(120) % 2, "a", "b")
    fitted = fit_labeller(replace(reference, batches=batches), unlabelled(query))
    assert fitted.diagnostics["pseudo_queries"]["by"] == "batch"
    assert (fitted.predict(query).labels == query.labels).mean() > 0.9


@pytest.mark.parametrize("sizes", [(30, 30, 1), (30, 30, 2), (30, 2, 2), (2, 2)])
def test_tiny_types(sizes, query):
    found = label(simulated(sizes, seed=3), unlabelled(query))
    assert np.isfinite(found.log_probabilities).all()


@pytest.mark.parametrize("empty", ["all of the query but one", "a block", "a type"])
def test_empty_cells(empty, reference, query):
    keep = np.ones(90, np.float32)
    keep_reference = np.ones(120, np.float32)
    if empty == "a type":
        keep_reference[reference.labels == "T1"] = 0
    elif empty == "a block":
        keep[10:50] = 0
    else:
        keep[1:] = 0
    shallow = sp.csr_matrix(sp.diags_array(keep) @ query.counts)
    shallow.eliminate_zeros()
    counts = sp.csr_matrix(sp.diags_array(keep_reference) @ reference.counts)
    counts.eliminate_zeros()
    found = label(replace(reference, counts=counts), Cells(counts=shallow))
    assert np.isfinite(found.log_probabilities).all()


@pytest.mark.parametrize("n_peaks", [1, 2, 3, 5])
def test_few_peaks(n_peaks, reference, query):
    cut = replace(reference, counts=reference.counts[:, :n_peaks])
    found = label(cut, Cells(counts=query.counts[:, :n_peaks]))
    assert np.isfinite(found.log_probabilities).all()


def test_one_query_cell(reference, query):
    found = label(reference, unlabelled(query.take(np.array([0]))))
    assert found.labels.shape == (1,)


def test_more_peaks_than_either_shows(reference, query):
    wide = sp.csr_matrix((120, 500), dtype=np.float32)
    both = replace(reference, counts=sp.csr_matrix(sp.hstack([reference.counts, wide])))
    other = Cells(counts=sp.csr_matrix(sp.hstack([query.counts, wide[:90]])))
    assert (label(both, other).labels == query.labels).mean() > 0.9


def test_refusals(reference, query):
    plain = unlabelled(query)
    with pytest.raises(LabelsError, match="are of type T0"):
        label(simulated((10,)), plain)
    with pytest.raises(LabelsError, match="no labels"):
        label(unlabelled(reference), plain)
    with pytest.raises(LabelsError, match="held out"):
        label(simulated((1, 1)), plain)
    with pytest.raises(CountsError, match="no counts"):
        label(reference, Cells(counts=sp.csr_matrix((5, 120), dtype=np.float32)))
    with pytest.raises(CountsError, match="None of the 120 peaks"):
        label(reference, replace(plain, measured=np.zeros(120, bool)))
    with pytest.raises(CountsError, match="query has no cells"):
        label(reference, Cells(counts=sp.csr_matrix((0, 120), dtype=np.float32)))
    with pytest.raises(CountsError, match="119 columns"):
        label(reference, Cells(counts=query.counts[:, 1:]))


def test_stratified_keeps_rare_types():
    codes = np.repeat([0, 1, 2], [100, 50, 5])
    rows = stratified(codes, 60, 0)
    assert len(rows) <= 60
    np.testing.assert_array_equal(np.bincount(codes[rows]), [27, 27, 5])


def test_deep_cells_are_learnt_from_by_a_choice_of_them(reference, query, monkeypatch):
    monkeypatch.setattr(labeller, "MOST_OPEN", reference.counts.nnz // 2)
    fitted = fit_labeller(reference, unlabelled(query))
    assert len(fitted.reference_axes(2)[1]) <= reference.n_cells // 2 + 1
    assert len(fitted.predict(query).labels) == query.n_cells
    assert (fitted.predict(query).labels == query.labels).mean() > 0.85
