"""Members fitted on a reference and a query, whatever types or counts these lack."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from peakatlas.classifier.models.protocol import Cells, Pair

from .joint_space import JointSpace, WhiteAxes, depth_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from peakatlas.classifier.models.protocol import Floats, Matrix, Member, Scorer

    from .self_training import AdaptedMember

MOST_AXES = 50


@dataclass(frozen=True, kw_only=True, eq=False)
class FittedMembers:
    """Members fitted on a pair, and what they say of its query."""

    pair: Pair
    known: NDArray[np.int64]
    """Types with cells in the pair's reference; members number these 0, 1, …"""
    n_types: int
    scorers: dict[str, Scorer]
    scores: dict[str, Floats]
    """Of the query's cells, shape (n_query, n_types)."""

    @property
    def depth(self) -> Floats:
        """Open peaks of the query's cells, at least 1, shape (n_query,)."""
        return depth_of(self.pair.query.counts)

    @classmethod
    def fit(
        cls, pair: Pair, members: Iterable[Member], known: NDArray[np.int64], n_types: int
    ) -> FittedMembers:
        """Fit the members that the pair can serve."""
        scorers = {m.name: m.fit(pair) for m in members if m.usable(pair)}
        empty = cls(pair=pair, known=known, n_types=n_types, scorers=scorers, scores={})
        scores = empty.score(pair.query)
        return cls(pair=pair, known=known, n_types=n_types, scorers=scorers, scores=scores)

    def score(self, cells: Cells) -> dict[str, Floats]:
        """Scores of any cells on the pair's peaks, by member."""
        return self._whole({name: s.scores(cells) for name, s in self.scorers.items()})

    def adapted(self, members: Iterable[AdaptedMember], posterior: Floats) -> FittedMembers:
        """Members fitted again with the posterior of the query's cells."""
        own = posterior[:, self.known]
        own = own / np.maximum(own.sum(axis=1, keepdims=True), 1e-300)
        scorers = {m.name: m.fit(self.pair, own) for m in members}
        empty = FittedMembers(
            pair=self.pair, known=self.known, n_types=self.n_types, scorers=scorers, scores={}
        )
        return FittedMembers(
            pair=self.pair,
            known=self.known,
            n_types=self.n_types,
            scorers=scorers,
            scores=empty.score(self.pair.query),
        )

    def _whole(self, scores: Mapping[str, Floats]) -> dict[str, Floats]:
        return {name: with_unknown(each, self.known, self.n_types) for name, each in scores.items()}


def with_unknown(scores: Floats, known: NDArray[np.int64], n_types: int) -> Floats:
    """Scores over all types; those without reference cells get less than any other."""
    if len(known) == n_types:
        return scores
    scores = scores - scores.max(axis=1, keepdims=True)
    lowest = float(scores.min(initial=0.0)) - 1
    whole = np.full((len(scores), n_types), lowest)
    whole[:, known] = scores
    return whole


def make_pair(
    reference: Cells,
    query: Cells,
    codes: NDArray[np.int64],
    *,
    thinned: Matrix | None = None,
    seed: int = 0,
) -> Pair:
    """A pair with joint axes, computed when first asked for.

    Parameters
    ----------
    reference, query : Cells
        Binary counts on the shared peaks.
    codes : int64, shape (n_reference,)
        0, 1, … without gaps.
    """

    @lru_cache(maxsize=1)
    def space() -> JointSpace:
        return JointSpace.fit(reference.counts, query.counts, MOST_AXES, seed)

    @lru_cache(maxsize=4)
    def axes(n_axes: int) -> WhiteAxes:
        return space().axes(n_axes)

    n_types = int(codes.max(initial=-1)) + 1
    return Pair(
        reference=reference,
        query=query,
        codes=codes,
        n_types=n_types,
        axes=axes,
        thinned=thinned,
        seed=seed,
    )
