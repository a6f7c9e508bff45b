"""When a cell is left "Unassigned", and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from .conformal import check_alpha

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .route import Calibration

Rule = Literal["limits", "sets", "none"]
RULES: tuple[Rule, ...] = ("limits", "sets", "none")
REASONS = ("", "uncertain", "novel", "empty")
BETWEEN = "|"
"""Stands between the types of a set."""


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """How cells are refused a type."""

    rule: Rule = "limits"
    """``limits``: uncertain below the confidence that all but 1 % of rightly labelled held-out
    cells have. ``sets``: uncertain unless the set holds one type, which is then the label.
    ``none``: every cell gets its likeliest type. With both of the first, cells are novel above the
    limit of novelty."""
    alpha: float = 0.1
    """Error rate of the sets; see `Conformal`."""

    def __post_init__(self) -> None:
        check_alpha(self.alpha)
        if self.rule not in RULES:
            raise ValueError(f"rule must be one of {', '.join(RULES)}, not {self.rule!r}")


def reasons(
    depth: NDArray[np.float32],
    confidence: NDArray[np.float32],
    novelty: NDArray[np.float32],
    sets: NDArray[np.bool_],
    calibration: Calibration,
    rule: Rule,
) -> NDArray[np.str_]:
    """Why each cell is "Unassigned", one of `REASONS`; empty text if it is not.

    A set without types says that a cell conforms to none at this error rate, which is as true of a
    cell between two types as of one of a new type. So novelty alone calls a cell novel.

    Parameters
    ----------
    depth, confidence, novelty : float32, shape (n_cells,)
    sets : bool, shape (n_cells, n_types)
    calibration : Calibration
    rule : {"limits", "sets", "none"}
    """
    reason = np.full(len(novelty), "", dtype="<U9")
    if rule == "limits":
        reason[confidence < calibration.min_confidence] = "uncertain"
    elif rule == "sets":
        reason[sets.sum(axis=1) != 1] = "uncertain"
    if rule != "none":
        reason[novelty > 1] = "novel"
    reason[depth == 0] = "empty"
    return reason


def set_names(sets: NDArray[np.bool_], types: Sequence[str]) -> NDArray[np.str_]:
    """The types of each set with ``|`` between them, in the order of `types`.

    Parameters
    ----------
    sets : bool, shape (n_cells, n_types)
    types : sequence of str

    Examples
    --------
    >>> set_names(np.array([[True, False], [True, True], [False, False]]), ["B", "T"]).tolist()
    ['B', 'B|T', '']
    """
    kinds, place = np.unique(sets, axis=0, return_inverse=True)
    names = np.asarray([BETWEEN.join(np.asarray(types)[kind]) for kind in kinds])
    return np.asarray(names[place.ravel()], np.str_)


def uncertainty(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Entropy of calibrated probabilities over its greatest value, in [0, 1], shape (n_cells,).

    Parameters
    ----------
    probabilities : float32, shape (n_cells, n_types)

    Examples
    --------
    >>> uncertainty(np.array([[1, 0], [0.5, 0.5]], np.float32)).tolist()
    [0.0, 1.0]
    """
    chance = np.clip(probabilities, 1e-12, 1)
    entropy = -(chance * np.log(chance)).sum(axis=1) / np.log(max(chance.shape[1], 2))
    return np.asarray(np.clip(entropy, 0, 1).round(6), np.float32)
