"""What is said of each cell of a query, block by block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from peakatlas.classifier.counts.labels import UNASSIGNED
from peakatlas.classifier.counts.written import SCHEMA_COLUMN, TERM_COLUMNS, level_name
from peakatlas.classifier.ontology.back_off import set_terms, term_names
from peakatlas.classifier.ontology.mapping import UNKNOWN
from peakatlas.classifier.trust.rejection import (
    GIVEN_UP,
    NEARLY_NOVEL_P,
    UNCERTAIN,
    LevelLabels,
    Limits,
    Rejection,
    label_levels,
    reasons,
    set_names,
    uncertainty,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from peakatlas.classifier.bundle.bundle import Bundle
    from peakatlas.classifier.models.protocol import Cells
    from peakatlas.classifier.training.labeller import FittedLabeller
    from peakatlas.classifier.trust.verdicts import TypeVerdict

    from .query import Query

N_AXES = 20
"""Axes that are kept of each cell."""


@dataclass(frozen=True, eq=False, kw_only=True)
class CellLabels:
    """Labels of cells, in the order of the query."""

    best: NDArray[np.int64]
    confidence: NDArray[np.float32]
    """Of `best`; 0 for a cell without counts."""
    novelty: NDArray[np.float32]
    novelty_p: NDArray[np.float32]
    reason: NDArray[np.str_]
    """Why a cell is "Unassigned"; empty text if it is not."""
    sets: NDArray[np.bool_]
    probabilities: NDArray[np.float32]
    levels: dict[str, LevelLabels]
    axes: NDArray[np.float32]
    depth: NDArray[np.float64]
    """Counts in peaks that can be used."""
    matched: float
    """Counts in peaks of the reference, of all cells."""
    counted: float
    """All counts of all cells."""

    def named(self, bundle: Bundle) -> NDArray[np.str_]:
        """Label of each cell at the finest level, or "Unassigned"."""
        return np.where(self.reason == "", np.asarray(bundle.types)[self.best], UNASSIGNED)

    def columns(
        self, bundle: Bundle, names: pd.Index[str], verdicts: Sequence[TypeVerdict]
    ) -> pd.DataFrame:
        """The columns of `obs`; see `annotate`."""
        types = list(bundle.types)
        words = np.asarray([verdict.words for verdict in verdicts])[self.best]
        found = pd.DataFrame(
            {
                "peakatlas_label": pd.Categorical(self.named(bundle), [*types, UNASSIGNED]),
                "peakatlas_best": pd.Categorical(np.asarray(types)[self.best], types),
                "peakatlas_confidence": self.confidence,
                "peakatlas_uncertainty": uncertainty(self.probabilities),
                "peakatlas_novelty": self.novelty,
                "peakatlas_novelty_p": self.novelty_p,
                "peakatlas_reason": pd.Categorical(self.reason),
                "peakatlas_set": pd.Categorical(set_names(self.sets, types)),
                "peakatlas_set_size": self.sets.sum(axis=1).astype(np.int32),
                "peakatlas_verdict": pd.Categorical(np.where(self.reason == "", words, "")),
            },
            index=names,
        )
        for level, kinds in zip(self.levels, bundle.levels.types, strict=False):
            labels = pd.Categorical(self.levels[level].labels, [*kinds, UNASSIGNED])
            column = level_name(level)
            found[f"peakatlas_label_{column}"] = labels
            found[f"peakatlas_confidence_{column}"] = self.levels[level].confidence
        return found if bundle.ontology is None else found.assign(**self._terms(bundle))

    def _terms(self, bundle: Bundle) -> dict[str, pd.Categorical[Any]]:
        """Columns of terms of the Cell Ontology; see `annotate`."""
        ids = bundle.term_ids
        label = np.where(self.reason == "", np.asarray(ids)[self.best], UNKNOWN)
        back_off = set_terms(self.sets, ids)
        back_off[np.isin(self.reason, ("novel", "empty"))] = UNKNOWN
        schema = np.where(self.reason == "uncertain", back_off, label)
        columns = (*TERM_COLUMNS, SCHEMA_COLUMN)
        values = (label, term_names(back_off), back_off, schema)
        return {
            name: pd.Categorical(np.asarray(value, object))
            for name, value in zip(columns, values, strict=True)
        }


def label_cells(
    query: Query, fitted: FittedLabeller, bundle: Bundle, rejection: Rejection
) -> CellLabels:
    """Label the cells of a query.

    Parameters
    ----------
    query : Query
    fitted : FittedLabeller
        To this query, or to a whole of which it is a part.
    bundle : Bundle
    rejection : Rejection
    """
    limits = _limits(fitted, bundle)
    return _joined(list(_blocks(query, fitted, bundle, rejection, limits)))


def expected_shares(
    fitted: FittedLabeller, bundle: Bundle, rejection: Rejection
) -> dict[str, float]:
    """Shares of cells like the held-out ones of which limits say that they are open.

    Parameters
    ----------
    fitted : FittedLabeller
    bundle : Bundle
    rejection : Rejection

    Returns
    -------
    dict
        ``novel``, ``nearly_novel`` (not novel, see `NEARLY_NOVEL_P`) and ``uncertain``.
    """
    held = fitted.held_out
    known = np.ones(len(held.codes))
    found = reasons(
        empty=known == 0,
        confidence=held.confidence,
        novelty_p=known,
        sets=fitted.conformal.sets(held.set_logs, rejection.alpha),
        limits=_limits(fitted, bundle),
        rule=rejection.rule,
    )
    novel = 0.0 if rejection.rule == "none" else GIVEN_UP
    return {
        "novel": novel,
        "nearly_novel": NEARLY_NOVEL_P - novel,
        "uncertain": float((found == UNCERTAIN).mean()),
    }


def _limits(fitted: FittedLabeller, bundle: Bundle) -> Limits:
    held = fitted.held_out
    return Limits.fit(bundle.levels, held.codes, np.exp(held.log_probabilities), held.confidence)


def _blocks(
    query: Query, fitted: FittedLabeller, bundle: Bundle, rejection: Rejection, limits: Limits
) -> Iterator[CellLabels]:
    matched = (query.column >= 0).astype(np.float32)
    for own, cells in query.blocks():
        depth = np.asarray(own @ query.usable, np.float64)
        yield _labelled(
            cells,
            depth,
            (float((own @ matched).sum()), float(own.sum())),
            fitted,
            bundle,
            rejection,
            limits,
        )


def _labelled(
    cells: Cells,
    depth: NDArray[np.float64],
    counted: tuple[float, float],
    fitted: FittedLabeller,
    bundle: Bundle,
    rejection: Rejection,
    limits: Limits,
) -> CellLabels:
    said = fitted.predict(cells)
    probabilities = np.minimum(np.exp(said.log_probabilities), 1).astype(np.float32)
    sets = fitted.sets(said, rejection.alpha)
    reason = reasons(
        empty=depth == 0,
        confidence=said.confidence,
        novelty_p=said.novelty_p,
        sets=sets,
        limits=limits,
        rule=rejection.rule,
    )
    return CellLabels(
        best=said.best,
        confidence=np.where(depth > 0, said.confidence, 0).astype(np.float32),
        novelty=said.novelty_score.astype(np.float32),
        novelty_p=said.novelty_p.astype(np.float32),
        reason=reason,
        sets=sets,
        probabilities=probabilities,
        levels=label_levels(bundle.levels, limits, probabilities, said.best, reason),
        axes=fitted.axes(cells, N_AXES),
        depth=depth,
        matched=counted[0],
        counted=counted[1],
    )


def _joined(parts: list[CellLabels]) -> CellLabels:
    def whole(name: str) -> Any:  # noqa: ANN401 - arrays of several dtypes
        return np.concatenate([getattr(part, name) for part in parts])

    arrays = ("best", "confidence", "novelty", "novelty_p", "reason", "sets", "probabilities")
    return CellLabels(
        **{name: whole(name) for name in (*arrays, "axes", "depth")},
        levels={
            level: LevelLabels(
                labels=np.concatenate([part.levels[level].labels for part in parts]),
                confidence=np.concatenate([part.levels[level].confidence for part in parts]),
            )
            for level in parts[0].levels
        },
        matched=sum(part.matched for part in parts),
        counted=sum(part.counted for part in parts),
    )
