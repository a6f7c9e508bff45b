"""Pseudo-queries through the labeller: what all that is fitted is fitted on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from peakatlas.classifier.alignment.labeller import (
    FIRST_RIDGE,
    FirstStage,
    QueryComposition,
    TwoStages,
)
from peakatlas.classifier.alignment.members import FittedMembers, make_pair
from peakatlas.classifier.alignment.peak_shift import peak_ratio, shifted_posterior
from peakatlas.classifier.alignment.registry import chosen_members
from peakatlas.classifier.alignment.stack import Stack
from peakatlas.classifier.counts.sparse import binary
from peakatlas.classifier.models.protocol import Cells
from peakatlas.classifier.trust.calibration import calibration_error, calibration_error_by_type
from peakatlas.classifier.trust.metrics import macro_f1
from peakatlas.engine.errors import CountsError, LabelsError

from .drift import choose_strengths
from .pseudo_dna import pseudo_dna
from .pseudo_queries import folds, like_query, thinned_to

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from peakatlas.classifier.models.protocol import Floats, Matrix, Member

THINNED_BELOW = 0.9
"""Mean share of reads kept below which members learn from a thinned copy of the reference."""
FEWEST_CELLS = 200
"""Cells of a pseudo-query where the query has fewer and the fold has them."""


@dataclass(frozen=True, kw_only=True, eq=False)
class HeldOut:
    """Members fitted on each pseudo-reference, and their scores of each pseudo-query."""

    by: str
    """``batch`` or ``fold``."""
    parts: list[tuple[FittedMembers, NDArray[np.int64]]]
    """Fitted members and the types of the pseudo-query's cells."""
    rows: NDArray[np.int64]
    """Rows of all pseudo-query cells in the reference."""
    composition: Floats
    """Shares of the types in the reference."""
    n_query: int
    seed: int

    @property
    def codes(self) -> NDArray[np.int64]:
        """Types of all pseudo-query cells."""
        return np.concatenate([codes for _, codes in self.parts])

    @property
    def depth(self) -> Floats:
        """Their open peaks."""
        return np.concatenate([part.depth for part, _ in self.parts])

    @property
    def scores(self) -> dict[str, Floats]:
        """Their scores by every member that all pseudo-references served."""
        return joined_scores([part.scores for part, _ in self.parts])

    @classmethod
    def fit(
        cls,
        reference: Cells,
        query: Cells,
        codes: NDArray[np.int64],
        n_types: int,
        *,
        members: Sequence[str] | None,
        n_folds: int,
        seed: int,
    ) -> tuple[HeldOut, FittedMembers]:
        """Fit members on the reference and on its pseudo-references.

        Parameters
        ----------
        reference, query : Cells
            Reads on the shared peaks.
        codes : int64, shape (n_reference,)

        Raises
        ------
        LabelsError
            If too few cells can be held out.
        """
        chosen = chosen_members(members)
        rng = np.random.default_rng([seed, 2])
        depth = np.maximum(np.asarray(query.counts.sum(axis=1), np.float64).ravel(), 1)
        copy, share = thinned_to(reference.counts, depth, rng)
        thinned = binary(copy) if share < THINNED_BELOW else None
        opened = replace(reference, counts=binary(reference.counts))
        whole = _fitted(opened, _opened(query), codes, n_types, chosen, thinned, seed)
        ratio = peak_ratio(whole.pair, shifted_posterior(whole.pair))
        by, pairs = folds(codes, reference.batches, n_folds, seed)
        parts, rows = [], []
        for train, left_out in pairs:
            test = _chosen_cells(left_out, codes, train, query.n_cells, rng)
            if len(test) == 0 or len(np.unique(codes[train])) < 2:
                continue
            counts = binary(like_query(reference.counts[test], ratio, depth, rng))
            pseudo, rest = Cells(counts=counts), opened.take(train)
            if reference.dna is not None and query.dna is not None:
                known, hidden = pseudo_dna(reference.dna, query.dna, train, test, rng)
                rest, pseudo = replace(rest, dna=known), replace(pseudo, dna=hidden)
            part_thinned = None if thinned is None else thinned[train]
            part = _fitted(rest, pseudo, codes[train], n_types, chosen, part_thinned, seed)
            parts.append((part, codes[test]))
            rows.append(test)
        if not parts:
            raise LabelsError(
                f"No cells can be held out of {len(codes)} reference cells of {n_types} types. "
                "Give at least two cells of two types."
            )
        composition = (np.bincount(codes, minlength=n_types) + 1e-9) / len(codes)
        held = cls(
            by=by,
            parts=parts,
            rows=np.concatenate(rows),
            composition=composition,
            n_query=query.n_cells,
            seed=seed,
        )
        return held, whole

    def second(self, stage: FirstStage) -> SecondStage:
        """The second stage of every pseudo-query."""
        stages = [TwoStages.fit(part, stage) for part, _ in self.parts]
        sizes = [len(codes) for _, codes in self.parts]
        return SecondStage(
            by=self.by,
            scores=joined_scores([each.scores for each in stages]),
            codes=self.codes,
            depth=self.depth,
            sizes=sizes,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class HeldOutCells:
    """What the whole labeller says of the cells of pseudo-queries."""

    rows: NDArray[np.int64]
    """Rows in the reference, shape (n_cells,)."""
    codes: NDArray[np.int64]
    """Own types."""
    log_probabilities: NDArray[np.float32]
    """Calibrated, at the estimated composition, shape (n_cells, n_types)."""
    best: NDArray[np.int64]
    """Type that each cell is given, shape (n_cells,)."""
    set_logs: NDArray[np.float32]
    """Log-probabilities that sets are made of, shape (n_cells, n_types)."""

    @property
    def confidence(self) -> Floats:
        """Its probability, shape (n_cells,)."""
        own = self.log_probabilities[np.arange(len(self.best)), self.best]
        return np.asarray(np.minimum(np.exp(own.astype(np.float64)), 1.0))


@dataclass(frozen=True, kw_only=True, eq=False)
class SecondStage:
    """Scores of the second stage of all pseudo-query cells."""

    by: str
    scores: dict[str, Floats]
    codes: NDArray[np.int64]
    depth: Floats
    sizes: list[int]

    def placed(self, logs: Floats, stage: FirstStage, share: float) -> tuple[Floats, Floats]:
        """Log-probabilities for labels and for confidence, each pseudo-query at its composition."""
        label, confidence = [], []
        for part in np.split(logs, np.cumsum(self.sizes)[:-1]):
            composition = QueryComposition.fit(part, stage, share)
            label.append(composition.for_labels(part))
            confidence.append(composition.for_confidence(part))
        return np.concatenate(label), np.concatenate(confidence)

    def diagnostics(
        self,
        types: NDArray[np.str_],
        best: NDArray[np.int64],
        logs: Floats,
        sets: NDArray[np.bool_],
    ) -> dict[str, Any]:
        """Held-out figures of labels, calibrated log-probabilities and sets at alpha 0.1."""
        confidence = np.exp(logs[np.arange(len(best)), best])
        by_type = calibration_error_by_type(confidence, best, self.codes)
        own = sets[np.arange(len(self.codes)), self.codes]
        return {
            "accuracy": float((best == self.codes).mean()),
            "macro_f1": macro_f1(self.codes, best),
            "ece": calibration_error(confidence, best == self.codes),
            "ece_by_type": {str(types[code]): value for code, value in by_type.items()},
            "coverage": {
                str(types[code]): float(own[self.codes == code].mean())
                for code in np.unique(self.codes)
            },
            "pseudo_queries": {"by": self.by, "n": len(self.sizes), "cells": len(self.codes)},
        }


def first_stage(held: HeldOut, whole: FittedMembers) -> FirstStage:
    """Weights of the members, and the strength of the composition, from pseudo-queries.

    Raises
    ------
    CountsError
        If no member can read the query.
    """
    scores = {name: each for name, each in held.scores.items() if name in whole.scores}
    if not scores:
        raise CountsError(
            "nothing in the query can be read: it shares no peak with counts with the reference, "
            "and too few of its peaks have embeddings or terms. Count it on the reference's peaks, "
            "or give the atlas or the elements of the bundle."
        )
    stack = Stack.fit(scores, held.codes, held.depth, held.composition, ridge=FIRST_RIDGE)
    logs = stack.apply(scores, held.depth)
    strengths = choose_strengths(
        logs, held.codes, held.composition, n_query=held.n_query, seed=held.seed
    )
    return FirstStage(
        stack=stack,
        strength=strengths.label,
        confidence_strength=strengths.confidence,
        composition=held.composition,
    )


def joined_scores(parts: list[dict[str, Floats]]) -> dict[str, Floats]:
    """Scores of all parts, of the members that every part has."""
    names = [name for name in parts[0] if all(name in part for part in parts)]
    return {name: np.concatenate([part[name] for part in parts]) for name in names}


def _fitted(
    reference: Cells,
    query: Cells,
    codes: NDArray[np.int64],
    n_types: int,
    members: Sequence[Member],
    thinned: Matrix | None,
    seed: int,
) -> FittedMembers:
    """Members fitted on the types that the reference has cells of."""
    known, renumbered = np.unique(codes, return_inverse=True)
    pair = make_pair(reference, query, renumbered, thinned=thinned, seed=seed)
    return FittedMembers.fit(pair, members, known, n_types)


def _opened(cells: Cells) -> Cells:
    return replace(cells, counts=binary(cells.counts))


def _chosen_cells(
    test: NDArray[np.int64],
    codes: NDArray[np.int64],
    train: NDArray[np.int64],
    n_query: int,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Cells of a pseudo-query: of types that its reference has, about as many as the query's."""
    test = test[np.isin(codes[test], codes[train])]
    limit = max(n_query, FEWEST_CELLS)
    return test if len(test) <= limit else np.sort(rng.choice(test, limit, replace=False))
