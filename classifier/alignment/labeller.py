"""What runs on queries and on pseudo-queries alike: two stages of stacked members."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .composition import at_composition, at_full_composition, estimate_composition
from .members import FittedMembers
from .self_training import ADAPTED

if TYPE_CHECKING:
    from peakatlas.classifier.models.protocol import Cells, Floats

    from .stack import Stack

FIRST_STAGE = "first_stage"
COUNT_MEMBERS = frozenset({"noise_aware", "lda", "logistic", "multinomial", "network"})
"""Members that read nothing but counts on shared peaks, as the second stage does."""
FIRST_RIDGE = 2e-5
SECOND_RIDGE = 1e-2
SECOND_PRIOR = {FIRST_STAGE: -2.0}


@dataclass(frozen=True, kw_only=True, eq=False)
class FirstStage:
    """Weights of the reference's members, and how far the composition is trusted."""

    stack: Stack
    strength: float
    """Weight of the reference's composition for labels; see `estimate_composition`."""
    confidence_strength: float
    """The same for confidence."""
    composition: Floats
    """Shares of the types in the reference, shape (n_types,)."""

    def logs(self, scores: dict[str, Floats], depth: Floats) -> Floats:
        """Log-probabilities before the query's composition."""
        return self.stack.apply(scores, depth)

    def posterior(self, logs: Floats) -> Floats:
        """Posterior of the cells of one query at its estimated composition."""
        shares = estimate_composition(logs, self.composition, self.strength)
        return np.exp(at_composition(logs, shares, self.composition))


@dataclass(frozen=True, kw_only=True, eq=False)
class QueryComposition:
    """Estimated shares of the types in a query, for labels and for confidence."""

    label: Floats
    confidence: Floats
    reference: Floats
    share: float
    """Share of the log of the composition in labels: 0 for types alike, 1 for cells alike."""

    @classmethod
    def fit(cls, logs: Floats, stage: FirstStage, share: float) -> QueryComposition:
        """From log-probabilities of the query's cells, shape (n_cells, n_types)."""
        reference = stage.composition
        return cls(
            label=estimate_composition(logs, reference, stage.strength),
            confidence=estimate_composition(logs, reference, stage.confidence_strength),
            reference=reference,
            share=share,
        )

    def for_labels(self, logs: Floats) -> Floats:
        """Log-probabilities whose greatest is the label; rare types have an advantage."""
        own = logs + self.share * np.log(self.confidence)
        return at_composition(own, self.label, self.reference)

    def for_confidence(self, logs: Floats) -> Floats:
        """Log-probabilities at the composition."""
        return at_full_composition(logs, self.confidence, self.reference)


@dataclass(frozen=True, kw_only=True, eq=False)
class TwoStages:
    """Members fitted on a pair, and those fitted again with the posterior of its query."""

    first: FittedMembers
    second: FittedMembers | None
    """None where there is nothing to learn from."""
    stage: FirstStage

    @classmethod
    def fit(cls, first: FittedMembers, stage: FirstStage) -> TwoStages:
        """The second stage of a pair."""
        second, usable = None, [each for each in ADAPTED if each.usable(first.pair)]
        if usable:
            logs = stage.logs(first.scores, first.depth)
            second = first.adapted(usable, stage.posterior(logs))
        return cls(first=first, second=second, stage=stage)

    @property
    def scores(self) -> dict[str, Floats]:
        """Scores of the second stage of the query's cells."""
        return self._with_first(
            self.second.scores if self.second else {}, self.first.scores, self.first.depth
        )

    def score(self, cells: Cells, depth: Floats) -> tuple[dict[str, Floats], dict[str, Floats]]:
        """Scores of the first and of the second stage of any cells on the pair's peaks."""
        first = self.first.score(cells)
        second = self.second.score(cells) if self.second else {}
        return first, self._with_first(second, first, depth)

    def _with_first(
        self, second: dict[str, Floats], first: dict[str, Floats], depth: Floats
    ) -> dict[str, Floats]:
        """The first stage is a member of the second only where it reads more than counts."""
        if second and set(self.first.scores) <= COUNT_MEMBERS:
            return second
        return {**second, FIRST_STAGE: self.stage.logs(first, depth)}
