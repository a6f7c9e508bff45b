"""Figures of one task: the labeller, its members alone, and TF-IDF + logistic regression."""

from __future__ import annotations

import time

import numpy as np
import scipy.sparse as sp
from annotate_tasks import Task
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, roc_auc_score
from sklearn.preprocessing import normalize

from peakatlas.classifier.alignment.stack import centred
from peakatlas.classifier.counts.levels import Levels
from peakatlas.classifier.training.labeller import (
    CellPredictions,
    FittedLabeller,
    fit_labeller,
)
from peakatlas.classifier.trust.calibration import (
    calibration_error,
    calibration_error_by_type,
)
from peakatlas.classifier.trust.rejection import Limits, reasons
from peakatlas.engine.errors import PeakAtlasError
from peakatlas.engine.run.hardware import peak_memory

ALPHA = 0.1
FEWEST_OF_A_TYPE = 20
"""Cells of a type below which its calibration error and coverage are mostly chance."""
FLOOR_DRAWS = 200
Row = dict[str, object]


def row_of(task: Task, *, baseline: bool = True) -> Row:
    """All figures of a task."""
    started = time.monotonic()
    row: Row = {k: getattr(task, k) for k in ("set", "pair", "variant", "seed")}
    try:
        fitted = fit_labeller(task.reference, task.query)
    except PeakAtlasError as error:
        return {**row, "error": str(error)}
    found = fitted.predict(task.query, members=True)
    seconds = time.monotonic() - started
    row |= agreement(task.truth, found.labels, "")
    sets = fitted.sets(found, ALPHA)
    row |= trust(task.truth, found, sets)
    row |= rejection(task, fitted, found, sets)
    row |= {"seconds": seconds, "rss_mb": peak_rss_mb()}
    row["held_out_accuracy"] = fitted.diagnostics["accuracy"]
    row["converged"] = fitted.diagnostics["converged"]
    row |= {f"weight_{k}": v for k, v in fitted.diagnostics["weights"].items()}
    row |= {f"first_weight_{k}": v for k, v in fitted.diagnostics["first_weights"].items()}
    equal = np.zeros(found.log_probabilities.shape)
    for name, scores in found.member_scores.items():
        row |= agreement(task.truth, found.types[scores.argmax(axis=1)], f"{name}_")
        if f"first_weight_{name}" in row:
            spread = centred(scores.astype(np.float64))
            equal += spread / max(float(np.abs(spread).mean()), 1e-9)
    row |= agreement(task.truth, found.types[equal.argmax(axis=1)], "equal_")
    if baseline and task.query.counts.nnz:
        row |= agreement(task.truth, linear_baseline(task), "linear_")
    return row


def novelty_row(task: Task, left_out: str) -> Row:
    """How well cells of a type are told from the others when the reference lacks it."""
    row: Row = {k: getattr(task, k) for k in ("set", "pair", "seed")}
    labels = task.reference.labels
    assert labels is not None
    kept = np.flatnonzero(labels != left_out)
    fitted = fit_labeller(task.reference.take(kept), task.query)
    found = fitted.predict(task.query)
    novel = task.truth == left_out
    row |= {"variant": "novelty", "left_out": left_out}
    row["novelty_auroc"] = float(roc_auc_score(novel, found.novelty_score))
    row["flagged_new"] = float((found.novelty_p[novel] < 0.05).mean())
    row["flagged_known"] = float((found.novelty_p[~novel] < 0.05).mean())
    return row


def agreement(truth: NDArray[np.str_], labels: NDArray[np.str_], prefix: str) -> Row:
    """Accuracy and F1 averaged over the types that the query shows."""
    types = np.unique(truth)
    f1 = f1_score(truth, labels, labels=types, average="macro", zero_division=0)
    return {f"{prefix}accuracy": float((truth == labels).mean()), f"{prefix}macro_f1": float(f1)}


def trust(truth: NDArray[np.str_], found: CellPredictions, sets: NDArray[np.bool_]) -> Row:
    """Calibration error of the confidence, and coverage and size of the sets."""
    confidence, best = found.confidence, found.best
    place = np.searchsorted(found.types, truth).clip(max=len(found.types) - 1)
    known = found.types[place] == truth
    codes = np.where(known, place, -1)
    by_type = calibration_error_by_type(confidence, best, codes)
    sizes = np.bincount(best, minlength=len(found.types))
    large = [error for code, error in by_type.items() if sizes[code] >= FEWEST_OF_A_TYPE]
    held = sets[np.flatnonzero(known), codes[known]]
    of_type = [held[codes[known] == code] for code in np.unique(codes[known])]
    covered = [each.mean() for each in of_type if len(each) >= FEWEST_OF_A_TYPE]
    return {
        "ece": calibration_error(confidence, best == codes),
        "ece_floor": error_by_chance(confidence),
        "ece_by_type_max": max(large, default=float("nan")),
        "coverage": float(held.mean()),
        "coverage_by_type_min": float(min(covered, default=float("nan"))),
        "set_size": float(sets.sum(axis=1).mean()),
    }


def error_by_chance(confidence: NDArray[np.float64]) -> float:
    """Calibration error to be expected of so many cells whose confidence is exactly right."""
    rng = np.random.default_rng(0)
    draws = [rng.random(len(confidence)) < confidence for _ in range(FLOOR_DRAWS)]
    return float(np.mean([calibration_error(confidence, right) for right in draws]))


def rejection(
    task: Task, fitted: FittedLabeller, found: CellPredictions, sets: NDArray[np.bool_]
) -> Row:
    """Share of cells that `annotate` leaves "Unassigned" by default, and agreement of the rest."""
    held = fitted.held_out
    levels = Levels.find(["cell_type"], [found.types])
    limits = Limits.fit(levels, held.codes, np.exp(held.log_probabilities), held.confidence)
    reason = reasons(
        empty=np.asarray(task.query.counts.sum(axis=1)).ravel() == 0,
        confidence=found.confidence,
        novelty_p=found.novelty_p,
        sets=sets,
        limits=limits,
        rule="limits",
    )
    given, right = reason == "", found.labels == task.truth
    return {
        "unassigned": float((~given).mean()),
        "right_assigned": float(right[given].mean()) if given.any() else float("nan"),
        "right_unassigned": float((~given[right]).mean()) if right.any() else float("nan"),
    }


def linear_baseline(task: Task) -> NDArray[np.str_]:
    """TF-IDF and class-balanced logistic regression on the peaks that both could show."""
    measured = task.query.measured
    kept = np.arange(task.reference.n_peaks) if measured is None else np.flatnonzero(measured)
    reference, query = (c.counts[:, kept] for c in (task.reference, task.query))
    n = reference.shape[0]
    open_in = np.bincount(reference.indices, minlength=len(kept))
    idf = (np.log((n + 1) / (open_in + 1)) + 1).astype(np.float32)
    rows = [normalize(sp.csr_matrix(counts @ sp.diags_array(idf))) for counts in (reference, query)]
    model = LogisticRegression(C=5.0, class_weight="balanced", max_iter=500, tol=1e-3)
    model.fit(rows[0], task.reference.labels)
    return np.asarray(model.predict(rows[1]), np.str_)


def peak_rss_mb() -> int:
    """Largest resident memory of this process so far, in MB."""
    return round(peak_memory() / 2**20)
