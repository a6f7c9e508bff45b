"""What held-out reference cells say of a route: for the report and for who trained it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.metrics import f1_score

from peakatlas.classifier.trust.metrics import per_type
from peakatlas.classifier.trust.reliability import reliability

from .conformal import Conformal
from .route import fuse
from .temperature import Temperature

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from peakatlas.classifier.counts.levels import First, Levels

    from .heads import Head
    from .selection import HeldOut

LOOKS = ("full_depth", "thinned", "fewer_peaks")
CONFUSED_WITH = 3
PARTS = 5
ALPHAS = (0.05, 0.1, 0.2)


def validate(
    held: Sequence[HeldOut], types: NDArray[np.int64], head: Head, weight: float
) -> dict[str, Any]:
    """Accuracy and macro-F1 of each member and of both, at each look.

    Parameters
    ----------
    held : sequence of HeldOut
    types : int64, shape (n_cells,)
    head, weight : Head and float
        From `choose_fusion`.
    """
    scores: dict[str, Any] = {"linear_member": str(head), "linear_weight": weight}
    for look, part in zip(LOOKS, held, strict=False):
        fused = fuse(part.network, part.linear[head], weight)
        for member, logs in (
            ("fused", fused),
            ("network", part.network),
            ("linear", part.linear[head]),
        ):
            scores[f"{member}_{look}"] = _scores(types, logs.argmax(axis=1))
    return scores


def validate_types(
    levels: Levels, types: NDArray[np.int64], probabilities: NDArray[np.float32], first: First
) -> dict[str, Any]:
    """Scores of each type, what it was mistaken for, its reliability, and scores of each level.

    Parameters
    ----------
    levels : Levels
    types : int64, shape (n_cells,)
    probabilities : float32, shape (n_cells, n_finest)
        Of held-out cells at full depth.
    first : {"fine", "coarse"}
        See `Levels.best`.
    """
    best = levels.best(probabilities, first)
    names = np.asarray(levels.finest)
    rows = per_type(names[types], names[best]).set_index("label").to_dict("index")
    found: dict[str, Any] = {
        "by_type": {
            name: {
                "cells": int(rows[name]["n_cells"]),
                **{key: float(rows[name][key]) for key in ("precision", "recall", "f1")},
                "mistaken_for": _mistaken(names, best[types == code], code),
            }
            for code, name in enumerate(levels.finest)
        },
        "reliability": reliability(probabilities[np.arange(len(best)), best], best == types),
    }
    if len(levels.columns) > 1:
        found["by_level"] = {
            column: _scores(levels.parents(i)[types], levels.parents(i)[best])
            for i, column in enumerate(levels.columns)
        }
    return found


def validate_batches(
    types: NDArray[np.int64],
    best: NDArray[np.int64],
    batches: NDArray[np.int64],
    names: Sequence[str],
) -> dict[str, Any]:
    """Scores of each batch; macro-F1 is over the types that it has.

    Parameters
    ----------
    types, best, batches : int64, shape (n_cells,)
        Codes of the true types, of those told by models that did not see the cell, of batches.
    names : sequence of str
        Of the batches.
    """
    return {
        name: {
            "cells": int((batches == b).sum()),
            **_scores(types[batches == b], best[batches == b]),
        }
        for b, name in enumerate(names)
    }


def validate_sets(
    raw: Sequence[NDArray[np.float32]],
    types: NDArray[np.int64],
    depth: Sequence[NDArray[np.float32]],
    names: Sequence[str],
    *,
    seed: int,
) -> dict[str, Any]:
    """How often conformal sets hold a cell's own type, for cells that did not shape them.

    Held-out cells are dealt into five parts; temperature and limits come from four, and the fifth
    is judged, five times over. All looks at a cell are in one part. Neither the models nor the
    limits have seen a cell that is judged.

    Parameters
    ----------
    raw : sequence of float32, shape (n_cells, n_types)
        Log-probabilities at temperature 1 by models that did not see the cells, one for each look.
    types : int64, shape (n_cells,)
    depth : sequence of float32, shape (n_cells,)
        Counts, one for each look.
    names : sequence of str
        Of the types.
    seed : int
        Of the parts.

    Returns
    -------
    dict
        By error rate, as text: ``coverage``, ``mean_size``, ``single`` (share of sets of one type)
        and ``by_type``, the coverage of each.
    """
    logs, depths, truth = np.concatenate(raw), np.concatenate(depth), np.tile(types, len(raw))
    part = np.tile(np.random.default_rng(seed).permutation(len(types)) % PARTS, len(raw))
    sets = np.zeros((len(ALPHAS), *logs.shape), np.bool_)
    for k in range(PARTS):
        seen, judged = part != k, part == k
        by = Temperature.fit(logs[seen], truth[seen], depths[seen]).of(depths)
        chance = np.exp(fuse(logs, logs, 1.0, by))
        fitted = Conformal.fit(chance[seen], truth[seen], depths[seen])
        for i, alpha in enumerate(ALPHAS):
            sets[i, judged] = fitted.sets(chance[judged], depths[judged], alpha)
    return {str(alpha): _covered(sets[i], truth, names) for i, alpha in enumerate(ALPHAS)}


def _covered(
    sets: NDArray[np.bool_], truth: NDArray[np.int64], names: Sequence[str]
) -> dict[str, Any]:
    inside, sizes = sets[np.arange(len(truth)), truth], sets.sum(axis=1)
    return {
        "coverage": float(inside.mean()),
        "mean_size": float(sizes.mean()),
        "single": float((sizes == 1).mean()),
        "by_type": {
            name: float(inside[truth == code].mean())
            for code, name in enumerate(names)
            if (truth == code).any()
        },
    }


def _scores(types: NDArray[np.int64], best: NDArray[np.int64]) -> dict[str, float]:
    return {
        "accuracy": float(np.mean(best == types)),
        "macro_f1": float(
            f1_score(types, best, labels=np.unique(types), average="macro", zero_division=0)
        ),
    }


def _mistaken(names: NDArray[np.str_], told: NDArray[np.int64], code: int) -> dict[str, int]:
    """The types that cells of one type were most often mistaken for, and how many were."""
    times = np.bincount(told, minlength=len(names))
    times[code] = 0
    order = np.argsort(-times, kind="stable")[:CONFUSED_WITH]
    return {str(names[i]): int(times[i]) for i in order if times[i]}
