"""What held-out reference cells say of the labeller: for the report and for who trained it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .metrics import macro_f1, per_type
from .reliability import reliability

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from peakatlas.classifier.counts.levels import Levels

CONFUSED_WITH = 3


def held_out_scores(
    levels: Levels,
    types: NDArray[np.int64],
    best: NDArray[np.int64],
    confidence: NDArray[np.float64],
) -> dict[str, Any]:
    """Scores over all held-out cells, of each type and of each level.

    Parameters
    ----------
    levels : Levels
    types, best : int64, shape (n_cells,)
        Codes of the true and of the likeliest types.
    confidence : float64, shape (n_cells,)

    Returns
    -------
    dict
        ``accuracy``, ``macro_f1``, ``reliability`` (see `reliability`; its ``ece`` is the mean gap
        between confidence and share right), ``by_type`` (``cells, precision, recall, f1`` and
        ``mistaken_for``) and, with several levels, ``by_level``.
    """
    names = np.asarray(levels.finest)
    rows = per_type(names[types], names[best]).set_index("label").to_dict("index")
    found: dict[str, Any] = {
        **_scores(types, best),
        "reliability": reliability(confidence, best == types),
        "by_type": {
            name: {
                "cells": int(rows[name]["n_cells"]),
                **{key: float(rows[name][key]) for key in ("precision", "recall", "f1")},
                "mistaken_for": _mistaken(names, best[types == code], code),
            }
            for code, name in enumerate(levels.finest)
            if name in rows
        },
    }
    if len(levels.columns) > 1:
        found["by_level"] = {
            column: _scores(levels.parents(i)[types], levels.parents(i)[best])
            for i, column in enumerate(levels.columns)
        }
    return found


def batch_scores(
    types: NDArray[np.int64], best: NDArray[np.int64], batches: NDArray[np.str_]
) -> dict[str, Any]:
    """Scores of each batch; macro-F1 is over the types that it has.

    Parameters
    ----------
    types, best : int64, shape (n_cells,)
    batches : str, shape (n_cells,)
    """
    return {
        str(name): {
            "cells": int((batches == name).sum()),
            **_scores(types[batches == name], best[batches == name]),
        }
        for name in np.unique(batches)
    }


def _scores(types: NDArray[np.int64], best: NDArray[np.int64]) -> dict[str, float]:
    return {
        "accuracy": float(np.mean(best == types)),
        "macro_f1": macro_f1(types.astype(str), best.astype(str)),
    }


def _mistaken(names: NDArray[np.str_], called: NDArray[np.int64], code: int) -> dict[str, int]:
    """The types that cells of one type were most often mistaken for, and how many were."""
    times = np.bincount(called, minlength=len(names))
    times[code] = 0
    order = np.argsort(-times, kind="stable")[:CONFUSED_WITH]
    return {str(names[i]): int(times[i]) for i in order if times[i]}
