"""When a cell gets a label at each level; chosen on held-out reference cells."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from peakatlas.classifier.trust.metrics import UNASSIGNED

from .selection import MARGIN, quality

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from peakatlas.classifier.counts.levels import First, Levels

UNCERTAIN = "uncertain"


@dataclass(frozen=True, kw_only=True)
class LevelRules:
    """How one route labels the levels."""

    first: First = "fine"
    """Which level is decided first; see `Levels.best`."""
    complete: tuple[float, ...] = ()
    """Least confidence at each level but the finest, for queries with nearly all peaks."""
    partial: tuple[float, ...] = ()
    """The same for queries that lack some."""

    @classmethod
    def fit(
        cls,
        levels: Levels,
        types: NDArray[np.int64],
        complete: Sequence[NDArray[np.float32]],
        partial: Sequence[NDArray[np.float32]],
        error_rate: float,
    ) -> LevelRules:
        """Choose on held-out cells.

        The order is the one that labels all levels best, in the mean of accuracy and macro-F1 over
        levels; coarse first must be better by 0.003.

        Parameters
        ----------
        levels : Levels
        types : int64, shape (n_cells,)
        complete, partial : sequences of float32, shape (n_cells, n_finest)
            Calibrated probabilities of the cells, as shown with all peaks and with fewer.
        error_rate : float
            Share of rightly labelled cells that the least confidence gives up.
        """
        if len(levels.columns) == 1:
            return cls()
        fine, coarse = (_quality(levels, types, complete, first) for first in ("fine", "coarse"))
        first: First = "coarse" if coarse > fine + MARGIN else "fine"
        coarser = range(len(levels.columns) - 1)
        return cls(
            first=first,
            complete=tuple(_least(levels, i, types, complete, first, error_rate) for i in coarser),
            partial=tuple(_least(levels, i, types, partial, first, error_rate) for i in coarser),
        )

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> LevelRules:
        """Inverse of `to_json`."""
        return cls(
            first=values["first"],
            complete=tuple(values["complete"]),
            partial=tuple(values["partial"]),
        )

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON types."""
        return asdict(self)


@dataclass(frozen=True, eq=False, kw_only=True)
class LevelLabels:
    """What is said of each cell at one level."""

    labels: NDArray[np.str_]
    """Type, or "Unassigned"."""
    confidence: NDArray[np.float32]
    """Calibrated probability of the likeliest type that agrees with the finest level."""


def label_levels(
    levels: Levels,
    least: Sequence[float],
    probabilities: NDArray[np.float32],
    best: NDArray[np.int64],
    reason: NDArray[np.str_],
) -> dict[str, LevelLabels]:
    """Labels of every level by its column, the coarsest first; none if there is one level.

    A cell with a fine label has the labels above it. One that is left open for being uncertain
    gets the label of the type above its likeliest, where the probability of that is high enough.

    Parameters
    ----------
    levels : Levels
    least : sequence of float
        `LevelRules.complete` or ``.partial``.
    probabilities : float32, shape (n_cells, n_finest)
    best : int64, shape (n_cells,)
        From `Levels.best`.
    reason : str, shape (n_cells,)
        Why a cell is open at the finest level; empty text if it is not.
    """
    if len(levels.columns) == 1:
        return {}
    found = {}
    for level, column in enumerate(levels.columns):
        codes = levels.parents(level)[best]
        confidence = levels.sums(probabilities, level)[np.arange(len(best)), codes]
        assigned = reason == ""
        if level < len(least):
            assigned = assigned | ((reason == UNCERTAIN) & (confidence >= least[level]))
        names = np.asarray(levels.types[level])[codes]
        found[column] = LevelLabels(
            labels=np.where(assigned, names, UNASSIGNED),
            confidence=np.where(reason == "empty", 0, confidence).astype(np.float32),
        )
    return found


def _quality(
    levels: Levels,
    types: NDArray[np.int64],
    looks: Sequence[NDArray[np.float32]],
    first: First,
) -> float:
    scores = []
    for probabilities in looks:
        best = levels.best(probabilities, first)
        for level in range(len(levels.columns)):
            parents = levels.parents(level)
            scores.append(quality(parents[types], parents[best]))
    return float(np.mean(scores))


def _least(
    levels: Levels,
    level: int,
    types: NDArray[np.int64],
    looks: Sequence[NDArray[np.float32]],
    first: First,
    error_rate: float,
) -> float:
    parents = levels.parents(level)
    confidence = []
    for probabilities in looks:
        codes = parents[levels.best(probabilities, first)]
        right = np.flatnonzero(codes == parents[types])
        confidence.append(levels.sums(probabilities, level)[right, codes[right]])
    every = np.concatenate(confidence)
    return float(np.quantile(every, error_rate)) if len(every) else 1.0
