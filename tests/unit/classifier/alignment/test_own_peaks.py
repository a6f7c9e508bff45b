"""Types of a query by its own peaks."""

import numpy as np
import pytest
import scipy.sparse as sp
from simulated_dna import simulated_sides

from peakatlas.classifier.alignment.own_peaks import LeftOut, OwnPeaks, agreement_scale
from peakatlas.classifier.training.labeller import label


def posterior_of(truth, right, seed=0):
    """Says .8 of the own type for a share of the cells, of another one for the others."""
    rng = np.random.default_rng(seed)
    said = np.where(rng.random(len(truth)) < right, truth, rng.integers(3, size=len(truth)))
    posterior = np.full((len(truth), 3), 0.1)
    posterior[np.arange(len(truth)), said] = 0.8
    return posterior


def test_own_peaks_mend_a_poor_posterior():
    sides = simulated_sides()
    posterior = posterior_of(sides.truth, 0.5)
    scores = OwnPeaks().fit(sides.pair, posterior).scores(sides.query)
    assert (posterior.argmax(axis=1) == sides.truth).mean() < 0.75
    assert (scores.argmax(axis=1) == sides.truth).mean() > 0.9


def test_usable_only_with_peaks_that_the_reference_lacks():
    assert OwnPeaks().usable(simulated_sides(100).pair)
    assert not OwnPeaks().usable(simulated_sides(290).pair)


def test_scores_leave_the_cell_itself_out():
    rng = np.random.default_rng(0)
    opened = sp.csr_matrix((rng.random((5, 8)) < 0.5).astype(np.float32))
    posterior = rng.dirichlet(np.ones(2), size=5)
    found = LeftOut.of(opened, 2.0).scores(posterior)
    dense = opened.toarray()
    pooled = dense.sum(axis=0) + 0.5
    prior = 2.0 * 8 * pooled / pooled.sum()
    for cell in range(5):
        less = prior - 16 * dense[cell] / pooled.sum()
        for code in range(2):
            reads = (posterior[:, code, None] * dense).sum(axis=0)
            reads = reads - posterior[cell, code] * dense[cell] + less
            expected = dense[cell] @ np.log(reads / prior)
            expected -= dense[cell].sum() * np.log(reads.sum() / prior.sum())
            assert found[cell, code] == pytest.approx(expected)


def test_scale_is_0_for_scores_that_contradict():
    logs = np.log(posterior_of(np.arange(60) % 3, 1.0))
    shares = np.full(3, 1 / 3)
    assert agreement_scale(logs, logs, shares) == 1
    assert agreement_scale(np.roll(logs, 1, axis=1), logs, shares) == 0


def test_label_without_a_peak_in_common():
    sides = simulated_sides()
    found = label(sides.reference, sides.query)
    assert (found.labels == np.char.add("T", sides.truth.astype(str))).mean() > 0.9


def test_label_with_few_peaks_in_common():
    sides = simulated_sides(20)
    found = label(sides.reference, sides.query)
    assert (found.labels == np.char.add("T", sides.truth.astype(str))).mean() > 0.9
