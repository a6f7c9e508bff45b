"""Cells of types that the reference lacks, learnt from pseudo-queries with a type left out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression

from peakatlas.classifier.models.discriminant import NoiseAwareDiscriminant, unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from peakatlas.classifier.alignment.members import FittedMembers
    from peakatlas.classifier.alignment.stack import Stack
    from peakatlas.classifier.models.discriminant import NoiseAwareScorer
    from peakatlas.classifier.models.protocol import Cells, Floats

    Parts = list[tuple[FittedMembers, NDArray[np.int64]]]

QUANTILES = np.linspace(0, 1, 1001)
PENALTY = 1.0
NEIGHBOURS = 15
OWN = 5
"""Features that are of the cell alone, the first ones."""
MOST_SURROUNDING = 2000
"""Reference cells among which neighbours are sought; half as many of the query's, so that there
are as many of either for queries as for pseudo-queries, which are smaller."""
KNOWN_SHARE = 0.25
SAME_CELL = 1 - 1e-6
"""Cosine from which a neighbour is the cell itself."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Novelty:
    """Log-odds of a cell being of a left-out type, from what is seen over the other types.

    Evidence a cell: probability of the best type and its lead, entropy, depth; distance to the
    nearest type beyond what depth explains, its own and its neighbours' in the query; cosine to
    its neighbours in the reference, and by how much those in the query are nearer. A logistic
    regression on these and their squares tells pseudo-query cells whose type was left out from
    those whose type was there.
    """

    surroundings: Surroundings
    centre: Floats
    scale: Floats
    slopes: Floats
    own_slopes: Floats
    """The same on what is seen of the cell alone, 0 for the rest."""
    known: Floats
    """Quantiles of the score by `own_slopes` of cells of known types, ascending."""
    diagnostics: dict[str, Any]

    @classmethod
    def fit(cls, parts: Parts, stack: Stack, whole: FittedMembers) -> Novelty:
        """Learn from pseudo-queries.

        Parameters
        ----------
        parts : list of (FittedMembers, int64)
            Fitted pseudo-references, and the types of their pseudo-query's cells.
        stack : Stack
        whole : FittedMembers
            Fitted to the reference and the query.
        """
        known, unknown, types = _evidence(parts, stack)
        surroundings = Surroundings.of(whole, stack)
        centre, scale = known.mean(axis=0), known.std(axis=0) + 1e-6
        slopes, own_slopes = np.zeros(known.shape[1]), np.zeros(known.shape[1])
        quantiles = np.zeros(len(QUANTILES))
        diagnostics: dict[str, Any] = {"fitted": False}
        if len(types):
            known, unknown = (known - centre) / scale, (unknown - centre) / scale
            slopes = _slopes(known, unknown, types)
            alone = _alone(known.shape[1])
            own_slopes[alone] = _slopes(known[:, alone], unknown[:, alone], types)
            quantiles = np.quantile(known @ own_slopes, QUANTILES)
            diagnostics = _separation(np.sort(known @ slopes), unknown @ slopes, types)
        return cls(
            surroundings=surroundings,
            centre=centre,
            scale=scale,
            slopes=slopes,
            own_slopes=own_slopes,
            known=quantiles,
            diagnostics=diagnostics,
        )

    def score(
        self, cells: Cells, scores: dict[str, Floats], depth: Floats
    ) -> tuple[Floats, Floats]:
        """Log-odds up to a constant, and p-values, each of shape (n_cells,).

        A p-value is the share of cells of known types that are as novel by what is seen of a cell
        alone: what its neighbours say orders cells better, but hangs on the sizes of both sides.
        """
        found = (self.surroundings.features(cells, scores, depth) - self.centre) / self.scale
        below = np.searchsorted(self.known, found @ self.own_slopes, side="left")
        return np.asarray(found @ self.slopes), 1 - below / (len(self.known) + 1)


@dataclass(frozen=True, kw_only=True, eq=False)
class Surroundings:
    """What cells are compared with: types, cells of the reference and cells of the query."""

    stack: Stack
    members: FittedMembers
    scorer: NoiseAwareScorer | None
    """None where there are no joint axes."""
    reference: Floats
    """Unit axes, shape (n, n_axes)."""
    codes: NDArray[np.int64]
    query: Floats
    query_distances: Floats
    """Squared distances of these query cells to the types, shape (m, n_types)."""
    base: Floats
    """Evidence of place of the query's `KNOWN_SHARE` nearest cells: a batch effect moves all."""

    @classmethod
    def of(cls, members: FittedMembers, stack: Stack) -> Surroundings:
        """Of a fitted pair."""
        pair, empty = members.pair, np.zeros((0, 0))
        discriminant = NoiseAwareDiscriminant()
        if not discriminant.usable(pair):
            nothing = np.zeros(0, np.int64)
            return cls(
                stack=stack,
                members=members,
                scorer=None,
                reference=empty,
                codes=nothing,
                query=empty,
                query_distances=empty,
                base=np.zeros(4),
            )
        scorer, axes = discriminant.fit(pair), pair.axes(discriminant.n_axes)
        rng = np.random.default_rng([pair.seed, 5])
        here = _some(rng, pair.reference.n_cells, MOST_SURROUNDING)
        there = _some(rng, pair.query.n_cells, max(len(here) // 2, NEIGHBOURS))
        cells = pair.query.take(there)
        found = cls(
            stack=stack,
            members=members,
            scorer=scorer,
            reference=unit(axes.reference[here]),
            codes=members.known[pair.codes[here]],
            query=unit(axes.query[there]),
            query_distances=_whole_distances(members, scorer, cells),
            base=np.zeros(4),
        )
        everything = np.ones(members.n_types, np.bool_)
        base = np.quantile(found.by_place(cells, everything, None), KNOWN_SHARE, axis=0)
        return replace(found, base=base)

    def features(
        self,
        cells: Cells,
        scores: dict[str, Floats],
        depth: Floats,
        left_out: int | None = None,
    ) -> Floats:
        """Evidence over the types other than `left_out`, shape (n_cells, n_features)."""
        keep = np.arange(self.members.n_types) != (-1 if left_out is None else left_out)
        logs = log_softmax(self.stack.apply(scores, depth)[:, keep], axis=1)
        ordered = np.sort(logs, axis=1)
        best, lead = ordered[:, -1], ordered[:, -1] - ordered[:, -2]
        doubt = np.log1p(-np.exp(np.minimum(best, -1e-9)))
        entropy = -(np.exp(logs) * logs).sum(axis=1)
        found = np.stack([doubt, np.log1p(lead), entropy, np.log(depth)], axis=1)
        if self.scorer is not None:
            place = self.by_place(cells, keep, left_out) - self.base
            found = np.concatenate([found, place], axis=1)
        return np.concatenate([found, found**2], axis=1)

    def by_place(self, cells: Cells, keep: NDArray[np.bool_], left_out: int | None) -> Floats:
        """Evidence of distances to types and of neighbours, shape (n_cells, 4)."""
        assert self.scorer is not None
        n_axes = self.reference.shape[1]
        rows = unit(self.scorer.axes.project(cells.counts)[0])
        own = _whole_distances(self.members, self.scorer, cells)[:, keep].min(axis=1)
        around = self.query_distances[:, keep].min(axis=1)
        here, _ = _nearest(rows, self.reference[self.codes != left_out])
        there, places = _nearest(rows, self.query)
        smooth = around[places].mean(axis=1) if places.shape[1] else own
        excess = [(d - n_axes) / np.sqrt(2 * n_axes) for d in (own, smooth)]
        return np.stack([np.arcsinh(excess[0]), np.arcsinh(excess[1]), -here, there - here], axis=1)


def _evidence(parts: Parts, stack: Stack) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Evidence of cells with their type there, of cells with it left out, and whose types."""
    known, unknown, types = [], [], []
    for part, codes in parts:
        around = Surroundings.of(part, stack)
        query, depth = part.pair.query, part.depth
        known.append(around.features(query, part.scores, depth))
        for code in np.unique(codes) if len(part.known) > 2 else []:
            rows = np.flatnonzero(codes == code)
            scores = {name: each[rows] for name, each in part.scores.items()}
            found = around.features(query.take(rows), scores, depth[rows], int(code))
            unknown.append(found)
            types.append(np.full(len(rows), code))
    n = known[0].shape[1]
    return (
        np.concatenate(known),
        np.concatenate(unknown) if unknown else np.zeros((0, n)),
        np.concatenate(types) if types else np.zeros(0, np.int64),
    )


def _alone(n_features: int) -> NDArray[np.int64]:
    """Columns of the evidence, and of its squares, that are of the cell alone."""
    half = n_features // 2
    first = np.arange(min(half, OWN))
    return np.concatenate([first, half + first])


def _slopes(known: Floats, unknown: Floats, types: NDArray[np.int64]) -> Floats:
    """Coefficients of the logistic regression; every left-out type has the same weight."""
    sizes = np.bincount(types)
    weight = np.concatenate([np.ones(len(known)), len(known) / sizes[types] / (sizes > 0).sum()])
    novel = np.repeat([0, 1], [len(known), len(unknown)])
    model = LogisticRegression(C=PENALTY, max_iter=500)
    model.fit(np.concatenate([known, unknown]), novel, sample_weight=weight)
    return np.asarray(model.coef_[0], np.float64)


def _separation(known: Floats, unknown: Floats, types: NDArray[np.int64]) -> dict[str, Any]:
    """Area under the ROC curve of each left-out type against cells whose type was there."""
    rank = np.searchsorted(known, unknown) / len(known)
    by_type = {int(code): float(rank[types == code].mean()) for code in np.unique(types)}
    return {"fitted": True, "auroc": float(np.mean(list(by_type.values()))), "by_code": by_type}


def _some(rng: np.random.Generator, n: int, limit: int) -> NDArray[np.int64]:
    """Sorted rows of at most `limit` of n cells."""
    return np.arange(n) if n <= limit else np.sort(rng.choice(n, limit, replace=False))


def _whole_distances(members: FittedMembers, scorer: NoiseAwareScorer, cells: Cells) -> Floats:
    """Squared distances to all types; infinite where the pair's reference lacks the type."""
    found = np.full((cells.n_cells, members.n_types), np.inf)
    found[:, members.known] = scorer.squared_distances(cells)[0]
    return found


def _nearest(rows: Floats, others: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Mean cosine to the nearest others, not counting the cell itself, and which these are."""
    n = min(NEIGHBOURS, len(others) // 4)
    if n == 0:
        return np.zeros(len(rows)), np.zeros((len(rows), 0), np.int64)
    cosine = (rows @ others.T).astype(np.float32)
    cosine[cosine >= SAME_CELL] = -1
    places = np.argpartition(-cosine, n - 1, axis=1)[:, :n]
    near = np.take_along_axis(cosine, places, axis=1)
    return near.mean(axis=1).astype(np.float64), places
