"""Cells of a type that the reference lacks stand out."""

import numpy as np
from simulated_cells import simulated, unlabelled
from sklearn.metrics import roc_auc_score

from peakatlas.classifier.training.labeller import fit_labeller


def test_a_left_out_type_scores_higher():
    cells = simulated((60, 60, 60, 60), n_peaks=200, depth=80, seed=1)
    query = simulated((30, 30, 30, 30), n_peaks=200, depth=80, seed=2)
    reference = cells.take(np.flatnonzero(cells.labels != "T3"))
    fitted = fit_labeller(reference, unlabelled(query))
    found = fitted.predict(query)
    novel = query.labels == "T3"
    assert roc_auc_score(novel, found.novelty_score) > 0.85
    assert found.novelty_p[~novel].mean() > 2 * found.novelty_p[novel].mean()
    assert fitted.diagnostics["novelty"]["auroc"] > 0.8


def test_two_types_leave_nothing_to_learn_from():
    fitted = fit_labeller(simulated((20, 20)), unlabelled(simulated((9, 9), seed=2)))
    assert fitted.diagnostics["novelty"] == {"fitted": False}
    assert np.isfinite(fitted.predict(simulated((9, 9), seed=2)).novelty_p).all()
