"""Cells of types that the reference lacks, learnt from pseudo-queries with a type left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression

from peakatlas.classifier.models.discriminant import NoiseAwareScorer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from peakatlas.classifier.alignment.members import FittedMembers
    from peakatlas.classifier.alignment.stack import Stack
    from peakatlas.classifier.models.protocol import Cells, Floats

QUANTILES = np.linspace(0, 1, 1001)
PENALTY = 1.0
DISTANCE = "noise_aware"


@dataclass(frozen=True, kw_only=True, eq=False)
class Novelty:
    """Log-odds of a cell being of a left-out type, from what members say over the other types.

    Evidence a cell: probability of the best type and its lead, entropy, distance to the nearest
    type beyond what its depth explains, log depth. A logistic regression on these and their
    squares tells pseudo-query cells whose type was left out from those whose type was there.
    """

    stack: Stack
    centre: Floats
    scale: Floats
    slopes: Floats
    known: Floats
    """Quantiles of the score of cells of known types, ascending."""
    diagnostics: dict[str, Any]

    @classmethod
    def fit(cls, parts: list[tuple[FittedMembers, NDArray[np.int64]]], stack: Stack) -> Novelty:
        """From fitted pseudo-references and the types of their pseudo-query's cells."""
        seen, missing, groups = [], [], []
        for part, codes in parts:
            evidence = Evidence.of(part, part.pair.query, part.scores, stack, part.depth)
            seen.append(evidence.features(None))
            if len(part.known) > 2:
                for code in np.unique(codes):
                    missing.append(evidence.features(int(code))[codes == code])
                    groups.append(np.full((codes == code).sum(), code))
        known = np.concatenate(seen)
        centre, scale = known.mean(axis=0), known.std(axis=0) + 1e-6
        if not missing:
            slopes = np.zeros(known.shape[1])
            return cls(
                stack=stack,
                centre=centre,
                scale=scale,
                slopes=slopes,
                known=np.zeros(len(QUANTILES)),
                diagnostics={"fitted": False},
            )
        unknown, types = np.concatenate(missing), np.concatenate(groups)
        rows = (np.concatenate([known, unknown]) - centre) / scale
        novel = np.repeat([0, 1], [len(known), len(unknown)])
        sizes = np.bincount(types)
        weight = np.concatenate(
            [np.full(len(known), 1 / len(known)), 1 / sizes[types] / (sizes > 0).sum()]
        )
        model = LogisticRegression(C=PENALTY, max_iter=500)
        model.fit(rows, novel, sample_weight=weight * len(known))
        slopes = model.coef_[0]
        scores = rows @ slopes
        own = np.sort(scores[novel == 0])
        by_type = {
            int(code): float(np.searchsorted(own, scores[novel == 1][types == code]).mean())
            / len(own)
            for code in np.unique(types)
        }
        return cls(
            stack=stack,
            centre=centre,
            scale=scale,
            slopes=slopes,
            known=np.quantile(own, QUANTILES),
            diagnostics={
                "fitted": True,
                "auroc": float(np.mean(list(by_type.values()))),
                "auroc_by_code": by_type,
            },
        )

    def score(
        self, members: FittedMembers, cells: Cells, scores: dict[str, Floats], depth: Floats
    ) -> Floats:
        """Log-odds, up to a constant, shape (n_cells,)."""
        evidence = Evidence.of(members, cells, scores, self.stack, depth)
        return np.asarray((evidence.features(None) - self.centre) / self.scale @ self.slopes)

    def p_values(self, scores: Floats) -> Floats:
        """Share of cells of known types that score at least as high, shape (n_cells,)."""
        below = np.searchsorted(self.known, scores, side="left")
        return np.asarray(1 - below / (len(self.known) + 1))


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """What members say of cells, from which a type can be left out."""

    logs: Floats
    distances: Floats | None
    n_axes: int
    depth: Floats

    @classmethod
    def of(
        cls,
        members: FittedMembers,
        cells: Cells,
        scores: dict[str, Floats],
        stack: Stack,
        depth: Floats,
    ) -> Evidence:
        """Scores of the stack and distances to the types."""
        scorer = members.scorers.get(DISTANCE)
        distances, n_axes = None, 0
        if isinstance(scorer, NoiseAwareScorer):
            found, n_axes = scorer.squared_distances(cells)
            distances = np.full((len(found), members.n_types), np.inf)
            distances[:, members.known] = found
        return cls(
            logs=stack.apply(scores, depth)[:, :], distances=distances, n_axes=n_axes, depth=depth
        )

    def features(self, left_out: int | None) -> Floats:
        """Evidence over the other types, shape (n_cells, n_features)."""
        keep = np.arange(self.logs.shape[1]) != (-1 if left_out is None else left_out)
        logs = log_softmax(self.logs[:, keep], axis=1)
        ordered = np.sort(logs, axis=1)
        best, lead = ordered[:, -1], ordered[:, -1] - ordered[:, -2]
        entropy = -(np.exp(logs) * logs).sum(axis=1)
        columns = [np.log1p(-np.expm1(best).clip(-1, 0)), np.log1p(lead), entropy]
        columns.append(np.log(self.depth))
        if self.distances is not None:
            near = self.distances[:, keep].min(axis=1)
            excess = (near - self.n_axes) / np.sqrt(2 * self.n_axes)
            columns.append(np.arcsinh(excess))
        found = np.stack(columns, axis=1)
        return np.concatenate([found, found**2, found[:, -1:] * found[:, 2:4]], axis=1)
