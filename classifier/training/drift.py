"""How far an estimated composition can be trusted, from pseudo-queries of other compositions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from peakatlas.classifier.alignment.composition import (
    CONFIDENCE_STRENGTHS,
    LABEL_SHARES,
    LABEL_STRENGTHS,
    at_composition,
    at_full_composition,
    estimate_composition,
)
from peakatlas.classifier.alignment.labeller import QueryComposition
from peakatlas.classifier.alignment.stack import RARE_POWER
from peakatlas.classifier.trust.metrics import macro_f1

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from peakatlas.classifier.alignment.labeller import FirstStage
    from peakatlas.classifier.models.protocol import Floats

DRAWS = 3
MOST_CELLS = 2000
FEW_TYPES = 3
SPREAD = 1.0
"""Standard deviation of the log factor by which shares of types drift."""


@dataclass(frozen=True, kw_only=True)
class Strengths:
    """Weights of the reference's composition, as multiples of the query's cells."""

    label: float
    """For labels, whose rare types have an advantage."""
    confidence: float
    """For probabilities."""


def choose_strengths(
    logs: Floats,
    codes: NDArray[np.int64],
    composition: Floats,
    *,
    n_query: int,
    seed: int,
) -> Strengths:
    """Weights of the reference's composition of the least log-loss under drift.

    Compositions that are tried: as the reference; shares of all types drifted; half of the types;
    a few types. For labels the loss is weighted as that of the stack, between cells and types;
    for confidence every cell counts the same.

    Parameters
    ----------
    logs : float64, shape (n_cells, n_types)
        Log-probabilities of pseudo-query cells before the composition.
    codes : int64, shape (n_cells,)
    composition : float64, shape (n_types,)
        Of the reference.
    n_query : int
        Cells of the query.
    seed : int
    """
    label = np.zeros(len(LABEL_STRENGTHS))
    confidence = np.zeros(len(CONFIDENCE_STRENGTHS))
    for rows in drawn(codes, min(n_query, MOST_CELLS), seed):
        part, own = logs[rows], codes[rows]
        weight = np.bincount(own)[own] ** RARE_POWER
        for place, strength in enumerate(LABEL_STRENGTHS):
            shares = estimate_composition(part, composition, strength)
            found = at_composition(part, shares, composition)
            label[place] -= np.average(found[np.arange(len(own)), own], weights=weight)
        for place, strength in enumerate(CONFIDENCE_STRENGTHS):
            shares = estimate_composition(part, composition, strength)
            found = at_full_composition(part, shares, composition)
            confidence[place] -= found[np.arange(len(own)), own].mean()
    return Strengths(
        label=LABEL_STRENGTHS[int(label.argmin())],
        confidence=CONFIDENCE_STRENGTHS[int(confidence.argmin())],
    )


def choose_share(
    logs: Floats, codes: NDArray[np.int64], stage: FirstStage, *, n_query: int, seed: int
) -> float:
    """Share of the log of the query's composition in labels, of the most macro-F1 under drift.

    Common types gain by it and rare ones lose, so it is 0 unless macro-F1 rises by more than one
    standard error over the draws (the one-standard-error rule of Breiman et al. 1984).

    Parameters
    ----------
    logs : float64, shape (n_cells, n_types)
        Log-probabilities of pseudo-query cells by the second stage.
    codes : int64, shape (n_cells,)
    stage : FirstStage
    n_query, seed : int
        As for `choose_strengths`.
    """
    found = []
    for rows in drawn(codes, min(n_query, MOST_CELLS), seed):
        part, own = logs[rows], codes[rows]
        composition = QueryComposition.fit(part, stage, share=0.0)
        tried = [replace(composition, share=share).for_labels(part) for share in LABEL_SHARES]
        found.append([macro_f1(own, each.argmax(axis=1)) for each in tried])
    if len(found) < 2:
        return LABEL_SHARES[0]
    gain = np.array(found) - np.array(found)[:, :1]
    error = gain.std(axis=0, ddof=1) / np.sqrt(len(gain))
    return LABEL_SHARES[int((gain.mean(axis=0) - error).argmax())]


def drawn(codes: NDArray[np.int64], n_cells: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Rows of cells whose composition has drifted, `DRAWS` for each kind of drift."""
    rng = np.random.default_rng([seed, 4])
    present, sizes = np.unique(codes, return_counts=True)
    for _ in range(DRAWS):
        for factor in _factors(len(present), rng):
            chance = (sizes * factor / (sizes * factor).sum() / sizes)[
                np.searchsorted(present, codes)
            ]
            limit = min(n_cells, int((chance > 0).sum()))
            if limit:
                yield rng.choice(len(codes), limit, replace=False, p=chance)


def _factors(n_types: int, rng: np.random.Generator) -> Iterator[Floats]:
    """Factors on the shares of the types, one array for each kind of drift."""
    yield np.ones(n_types)
    yield np.exp(SPREAD * rng.standard_normal(n_types))
    for n_kept in (max(1, n_types // 2), min(FEW_TYPES, n_types)):
        kept = np.zeros(n_types)
        kept[rng.choice(n_types, n_kept, replace=False)] = 1
        yield kept
