"""When a cell is left "Unassigned", and why; and what is said of it at coarser levels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from peakatlas.classifier.counts.labels import BETWEEN, UNASSIGNED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from peakatlas.classifier.counts.levels import Levels

    Probabilities = NDArray[np.float32] | NDArray[np.float64]

Rule = Literal["limits", "sets", "none"]
RULES: tuple[Rule, ...] = ("limits", "sets", "none")
REASONS = ("", "uncertain", "novel", "empty")
UNCERTAIN = "uncertain"
GIVEN_UP = 0.01
"""Share of rightly labelled held-out cells that each limit leaves open."""
NEARLY_NOVEL_P = 0.05
"""Cells below this p-value of novelty, and not called novel, are nearly so."""


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """How cells are refused a type."""

    rule: Rule = "limits"
    """``limits``: uncertain below the confidence that all but 1 % of rightly labelled held-out
    cells have. ``sets``: uncertain unless the set holds one type, which is then the label.
    ``none``: every cell gets its likeliest type. With both of the first, cells are novel whose
    novelty fewer than 1 % of cells of known types have."""
    alpha: float = 0.1
    """Error rate of the sets, from 0.001 to 0.5."""

    def __post_init__(self) -> None:
        if not 0.001 <= self.alpha <= 0.5:
            raise ValueError(f"alpha must be from 0.001 to 0.5, not {self.alpha}")
        if self.rule not in RULES:
            raise ValueError(f"rule must be one of {', '.join(RULES)}, not {self.rule!r}")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Least confidence of a label."""

    finest: float
    coarser: tuple[float, ...]
    """At each level but the finest, the coarsest first."""

    @classmethod
    def fit(
        cls,
        levels: Levels,
        types: NDArray[np.int64],
        probabilities: Probabilities,
        confidence: NDArray[np.float64],
    ) -> Limits:
        """The confidence that all but 1 % of rightly labelled held-out cells have.

        Parameters
        ----------
        levels : Levels
        types : int64, shape (n_cells,)
            True types.
        probabilities : float, shape (n_cells, n_finest)
        confidence : float64, shape (n_cells,)
            Of the likeliest type.
        """
        coarser = []
        for level in range(len(levels.columns) - 1):
            sums = levels.sums(probabilities, level)
            right = sums.argmax(axis=1) == levels.parents(level)[types]
            coarser.append(_least(sums.max(axis=1)[right]))
        right = probabilities.argmax(axis=1) == types
        return cls(finest=_least(confidence[right]), coarser=tuple(coarser))


@dataclass(frozen=True, eq=False, kw_only=True)
class LevelLabels:
    """What is said of each cell at one level."""

    labels: NDArray[np.str_]
    """Type, or "Unassigned"."""
    confidence: NDArray[np.float32]
    """Probability of the type."""


def reasons(
    *,
    empty: NDArray[np.bool_],
    confidence: NDArray[np.float64],
    novelty_p: NDArray[np.float64],
    sets: NDArray[np.bool_],
    limits: Limits,
    rule: Rule,
) -> NDArray[np.str_]:
    """Why each cell is "Unassigned", one of `REASONS`; empty text if it is not.

    A set without types says that a cell conforms to none at this error rate, which is as true of a
    cell between two types as of one of a new type. So novelty alone calls a cell novel.

    Parameters
    ----------
    empty : bool, shape (n_cells,)
        Cells without a count that can be used.
    confidence, novelty_p : float64, shape (n_cells,)
    sets : bool, shape (n_cells, n_types)
    limits : Limits
    rule : {"limits", "sets", "none"}
    """
    reason = np.full(len(empty), "", dtype="<U9")
    if rule == "limits":
        reason[confidence < limits.finest] = UNCERTAIN
    elif rule == "sets":
        reason[sets.sum(axis=1) != 1] = UNCERTAIN
    if rule != "none":
        reason[novelty_p < GIVEN_UP] = "novel"
    reason[empty] = "empty"
    return reason


def label_levels(
    levels: Levels,
    limits: Limits,
    probabilities: Probabilities,
    best: NDArray[np.int64],
    reason: NDArray[np.str_],
) -> dict[str, LevelLabels]:
    """Labels of every level by its column, the coarsest first; none if there is one level.

    A cell with a fine label has the labels above it. One that is left open for being uncertain
    gets the likeliest type of each coarser level at which that is likely enough.

    Parameters
    ----------
    levels : Levels
    limits : Limits
    probabilities : float, shape (n_cells, n_finest)
    best : int64, shape (n_cells,)
        Likeliest of the finest types.
    reason : str, shape (n_cells,)
        Why a cell is open at the finest level; empty text if it is not.
    """
    if len(levels.columns) == 1:
        return {}
    found, rows = {}, np.arange(len(best))
    for level, column in enumerate(levels.columns):
        sums, codes = levels.sums(probabilities, level), levels.parents(level)[best]
        assigned = reason == ""
        if level < len(limits.coarser):
            backed_off = reason == UNCERTAIN
            codes = np.where(backed_off, sums.argmax(axis=1), codes)
            assigned = assigned | (backed_off & (sums.max(axis=1) >= limits.coarser[level]))
        names = np.asarray(levels.types[level])[codes]
        found[column] = LevelLabels(
            labels=np.where(assigned, names, UNASSIGNED),
            confidence=np.where(reason == "empty", 0, np.minimum(sums[rows, codes], 1)).astype(
                np.float32
            ),
        )
    return found


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


def uncertainty(probabilities: Probabilities) -> NDArray[np.float32]:
    """Entropy of probabilities over its greatest value, in [0, 1], shape (n_cells,).

    Parameters
    ----------
    probabilities : float, shape (n_cells, n_types)

    Examples
    --------
    >>> uncertainty(np.array([[1, 0], [0.5, 0.5]], np.float32)).tolist()
    [0.0, 1.0]
    """
    chance = np.clip(probabilities, 1e-12, 1)
    entropy = -(chance * np.log(chance)).sum(axis=1) / np.log(max(chance.shape[1], 2))
    return np.asarray(np.clip(entropy, 0, 1).round(6), np.float32)


def _least(confidence: NDArray[np.float64] | NDArray[np.float32]) -> float:
    return float(np.quantile(confidence, GIVEN_UP)) if len(confidence) else 1.0
