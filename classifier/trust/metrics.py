"""How good labels are: the only module, beside the report, that reads labels of a query."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from peakatlas.classifier.counts.labels import UNASSIGNED

from .calibration import calibration_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Agreement of predicted labels with known ones."""

    n_cells: int
    """Cells scored."""
    accuracy: float
    """Share of cells of known types that got their own label; "Unassigned" counts as wrong."""
    macro_f1: float
    """F1 averaged over the types that the reference has and the query shows."""
    coverage: float
    """Share of cells of known types that got any label."""
    rejected_unknown: float
    """Share of the cells of types absent from the reference left "Unassigned"; NaN without any."""
    ece: float
    """Expected calibration error of the confidence over cells of known types, 15 bins."""

    def to_json(self) -> dict[str, float]:
        """All fields as JSON numbers."""
        return asdict(self)


def score(
    truth: ArrayLike,
    predicted: ArrayLike,
    confidence: ArrayLike | None = None,
    *,
    known: Sequence[str] | None = None,
) -> Scores:
    """Score predicted labels.

    Parameters
    ----------
    truth, predicted : str, shape (n_cells,)
    confidence : float, shape (n_cells,), optional
        Probability of the best type, for `Scores.ece`.
    known : sequence of str, optional
        Types of the reference. Without it every type of `truth` counts as known.

    Raises
    ------
    ValueError
        If the lengths differ.
    """
    true, got = np.asarray(truth, np.str_), np.asarray(predicted, np.str_)
    if true.shape != got.shape:
        raise ValueError(f"truth has {len(true)} cells, predicted has {len(got)}")
    inside = np.ones(len(true), np.bool_) if known is None else np.isin(true, list(known))
    outside = got[~inside] == UNASSIGNED
    right = true == got
    return Scores(
        n_cells=len(true),
        accuracy=_mean(right[inside]),
        macro_f1=macro_f1(true[inside], got[inside]),
        coverage=_mean(got[inside] != UNASSIGNED),
        rejected_unknown=_mean(outside),
        ece=float("nan")
        if confidence is None
        else calibration_error(np.asarray(confidence, float)[inside], right[inside]),
    )


def macro_f1(truth: ArrayLike, predicted: ArrayLike) -> float:
    """F1 averaged over the types in `truth`; NaN without cells.

    Examples
    --------
    >>> macro_f1(np.array(["B", "B", "T"]), np.array(["B", "Unassigned", "T"]))
    0.8333333333333333
    """
    return _mean(np.array([row.f1 for row in per_type(truth, predicted).itertuples()]))


def per_type(truth: ArrayLike, predicted: ArrayLike) -> pd.DataFrame:
    """Precision, recall and F1 of each type in `truth`.

    Returns
    -------
    DataFrame
        Columns ``label, n_cells, precision, recall, f1``; an undefined value is 0.
    """
    true, got = np.asarray(truth, np.str_), np.asarray(predicted, np.str_)
    rows = []
    for label in np.unique(true):
        hit = int(((true == label) & (got == label)).sum())
        size, called = int((true == label).sum()), int((got == label).sum())
        precision, recall = hit / called if called else 0.0, hit / size
        f1 = 2 * hit / (size + called)
        rows.append((str(label), size, precision, recall, f1))
    return pd.DataFrame(rows, columns=["label", "n_cells", "precision", "recall", "f1"])


def confusion(truth: ArrayLike, predicted: ArrayLike) -> pd.DataFrame:
    """Cells of each true type (rows) by predicted label (columns)."""
    return pd.crosstab(
        pd.Series(np.asarray(truth, np.str_), name="truth"),
        pd.Series(np.asarray(predicted, np.str_), name="predicted"),
    )


def _mean(values: NDArray[np.float64] | NDArray[np.bool_]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
