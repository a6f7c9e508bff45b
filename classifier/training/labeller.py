"""The one function: a labelled reference and a query in, types of the query's cells out."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from peakatlas.classifier.alignment.joint_space import depth_of
from peakatlas.classifier.alignment.labeller import (
    SECOND_PRIOR,
    SECOND_RIDGE,
    QueryComposition,
    TwoStages,
)
from peakatlas.classifier.alignment.stack import Stack
from peakatlas.classifier.counts.sparse import binary
from peakatlas.classifier.models.protocol import Cells
from peakatlas.classifier.trust.calibration import Calibration
from peakatlas.classifier.trust.novelty import Novelty
from peakatlas.classifier.trust.sets import ConformalSets
from peakatlas.engine.errors import CountsError, LabelsError

from .drift import choose_share
from .held_out import HeldOut, HeldOutCells, first_stage
from .query_statistics import QueryStatistics, query_statistics

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from peakatlas.classifier.alignment.members import FittedMembers
    from peakatlas.classifier.models.protocol import Floats


MOST_OPEN = 40_000_000
"""Open peaks of all the cells that are learnt from, on either side: a bound on memory."""


@dataclass(frozen=True, kw_only=True)
class LabellerOptions:
    """How a labeller is fitted."""

    members: tuple[str, ...] | None = None
    """Names of the first stage's members; all if None."""
    folds: int = 3
    """Pseudo-queries, at most."""
    max_reference: int = 20_000
    """Reference cells that are learnt from; the rarest types lose none before others do."""
    max_query: int = 20_000
    """Query cells that are learnt from."""
    seed: int = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class CellPredictions:
    """What is said of each cell."""

    types: NDArray[np.str_]
    log_probabilities: NDArray[np.float32]
    """Calibrated, at the estimated composition, shape (n_cells, n_types)."""
    best: NDArray[np.int64]
    """Type that each cell is given, shape (n_cells,). Rare types have an advantage, so that it is
    now and then not the most probable one."""
    set_logs: NDArray[np.float32]
    """Log-probabilities that sets are made of, shape (n_cells, n_types)."""
    novelty_score: Floats
    """Log-odds of a type that the reference lacks, up to a constant, shape (n_cells,)."""
    novelty_p: Floats
    """Share of pseudo-query cells of known types that score as high, shape (n_cells,)."""
    member_scores: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    @property
    def labels(self) -> NDArray[np.str_]:
        """Names of the types given, shape (n_cells,)."""
        return self.types[self.best]

    @property
    def confidence(self) -> Floats:
        """Probability of the type given, shape (n_cells,)."""
        own = self.log_probabilities[np.arange(len(self.best)), self.best]
        return np.asarray(np.minimum(np.exp(own.astype(np.float64)), 1.0))  # not 1 + 1e-8


@dataclass(frozen=True, kw_only=True, eq=False)
class FittedLabeller:
    """A labeller fitted to a reference and a query; labels any block of that query."""

    types: NDArray[np.str_]
    statistics: QueryStatistics
    peaks: NDArray[np.int64]
    """Columns of the reference's peaks that both experiments could show."""
    stages: TwoStages
    stack: Stack
    composition: QueryComposition
    calibration: Calibration
    conformal: ConformalSets
    novelty: Novelty
    held_out: HeldOutCells
    diagnostics: dict[str, Any]

    def predict(self, cells: Cells, *, members: bool = False) -> CellPredictions:
        """Label cells of the query; what a cell gets does not depend on the others.

        Parameters
        ----------
        cells : Cells
            On all peaks of the reference.
        members : bool
            Whether to give the scores of each member besides.

        Raises
        ------
        CountsError
            If the number of peaks differs from that of the reference.
        """
        _check_width(cells, self.statistics.sample.n_peaks)
        cells = on_peaks(cells, self.peaks)
        depth = depth_of(cells.counts)
        first, second = self.stages.score(cells, depth)
        logs = self.stack.apply(second, depth)
        placed = self.composition.for_confidence(logs)
        novelty, novelty_p = self.novelty.score(cells, first, depth)
        return CellPredictions(
            types=self.types,
            log_probabilities=self.calibration.apply(placed, depth).astype(np.float32),
            best=self.composition.for_labels(logs).argmax(axis=1),
            set_logs=logs.astype(np.float32),
            novelty_score=novelty,
            novelty_p=novelty_p,
            member_scores={k: v.astype(np.float32) for k, v in {**first, **second}.items()}
            if members
            else {},
        )

    def sets(self, predictions: CellPredictions, alpha: float) -> NDArray[np.bool_]:
        """Types that each cell may be of at an error rate, shape (n_cells, n_types)."""
        return self.conformal.sets(predictions.set_logs, alpha)

    @property
    def _shares_counts(self) -> bool:
        """Whether reference and query have counts in common peaks."""
        pair = self.stages.first.pair
        return pair.reference.counts.nnz > 0 and pair.query.counts.nnz > 0

    def axes(self, cells: Cells, n_axes: int) -> NDArray[np.float32]:
        """Axes that reference and query share, at most `n_axes`, shape (n_cells, n).

        Centred log-probabilities where no peak with counts is shared.
        """
        if not self._shares_counts:
            return _centred(self.predict(cells).log_probabilities, n_axes)
        found = self.stages.first.pair.axes(n_axes).project(on_peaks(cells, self.peaks).counts)
        return found[0].astype(np.float32)

    def reference_axes(self, n_axes: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The same of reference cells, and their types."""
        if not self._shares_counts:
            held = self.held_out
            return _centred(held.log_probabilities, n_axes), held.codes
        pair = self.stages.first.pair
        return pair.axes(n_axes).reference.astype(np.float32), pair.codes


def label(
    reference: Cells, query: Cells, *, options: LabellerOptions | None = None
) -> CellPredictions:
    """Types of a query's cells; see `fit_labeller`."""
    return fit_labeller(reference, query, options=options).predict(query)


def fit_labeller(
    reference: Cells,
    query: Cells | QueryStatistics,
    *,
    options: LabellerOptions | None = None,
) -> FittedLabeller:
    """Fit everything on the reference, the unlabelled query and pseudo-queries.

    Parameters
    ----------
    reference : Cells
        With labels of at least two types.
    query : Cells or QueryStatistics
        On the same peaks; labels are not read.
    options : LabellerOptions, optional

    Raises
    ------
    CountsError
        If either has no cells, no counts on the peaks that both could show, or other peaks.
    LabelsError
        If the reference has no labels, or fewer than two types.
    """
    options = options or LabellerOptions()
    if isinstance(query, Cells):
        _check_width(query, reference.n_peaks)
        query = query_statistics(query, options.max_query, options.seed)
    sample = query.sample
    types, codes = _checked(reference, sample)
    sample = _thinned_out(sample, options.seed)
    rows = stratified(codes, affordable(reference, options.max_reference), options.seed)
    reference, codes = reference.take(rows), codes[rows]
    peaks = shared_peaks(reference, sample)
    held, whole = HeldOut.fit(
        on_peaks(reference, peaks, as_reads=True),
        on_peaks(sample, peaks, as_reads=True),
        codes,
        len(types),
        members=options.members,
        n_folds=options.folds,
        seed=options.seed,
    )
    return _assembled(types, query, peaks, held, whole, rows)


def _assembled(
    types: NDArray[np.str_],
    query: QueryStatistics,
    peaks: NDArray[np.int64],
    held: HeldOut,
    first: FittedMembers,
    rows: NDArray[np.int64],
) -> FittedLabeller:
    """Second stage, calibration, sets and novelty of a query from its pseudo-queries."""
    stage = first_stage(held, first)
    stages = TwoStages.fit(first, stage)
    second = held.second(stage)
    usable = [name for name in stages.scores if name in second.scores]
    stack = Stack.fit(
        {name: second.scores[name] for name in usable},
        second.codes,
        second.depth,
        stage.composition,
        ridge=SECOND_RIDGE,
        prior=SECOND_PRIOR,
    )
    logs = stack.apply(second.scores, second.depth)
    share = choose_share(logs, second.codes, stage, n_query=held.n_query, seed=held.seed)
    labelled, placed = second.placed(logs, stage, share)
    calibration = Calibration.fit(placed, second.codes, second.depth)
    own = stack.apply(stages.scores, first.depth)
    composition = QueryComposition.fit(own, stage, share)
    conformal = ConformalSets.fit(logs, second.codes)
    novelty = Novelty.fit(held.parts, stage.stack, first)
    calibrated = calibration.apply(placed, second.depth)
    held_out = HeldOutCells(
        rows=rows[held.rows],
        codes=second.codes,
        log_probabilities=calibrated.astype(np.float32),
        best=labelled.argmax(axis=1),
        set_logs=logs.astype(np.float32),
    )
    diagnostics = second.diagnostics(types, held_out.best, calibrated, conformal.sets(logs, 0.1))
    return FittedLabeller(
        types=types,
        statistics=query,
        peaks=peaks,
        stages=stages,
        stack=stack,
        composition=composition,
        calibration=calibration,
        conformal=conformal,
        novelty=novelty,
        held_out=held_out,
        diagnostics={
            **diagnostics,
            "weights": stack.contributions(second.scores),
            "first_weights": stage.stack.contributions(held.scores),
            "depth_slope": stack.slope,
            "converged": stack.converged and stage.stack.converged and calibration.converged,
            "composition": {
                "used": bool(np.isfinite(stage.strength)),
                "strength": _finite(stage.strength),
                "confidence_strength": _finite(stage.confidence_strength),
                "share": share,
                "shares": dict(
                    zip(types.tolist(), np.round(composition.confidence, 6).tolist(), strict=True)
                ),
            },
            "novelty": novelty.diagnostics,
            "shared_peaks": len(peaks),
        },
    )


def on_peaks(cells: Cells, peaks: NDArray[np.int64], *, as_reads: bool = False) -> Cells:
    """Cells on some of the peaks, binary unless `as_reads`."""
    whole = len(peaks) == cells.n_peaks
    counts = cells.counts if whole else cells.counts[:, peaks]
    return replace(cells, counts=counts if as_reads else binary(counts), measured=None)


def shared_peaks(reference: Cells, query: Cells) -> NDArray[np.int64]:
    """Columns that both experiments could show and that any cell has counts in.

    Raises
    ------
    CountsError
        If there are none and neither has other peaks to go by.
    """
    shown = np.bincount(reference.counts.indices, minlength=reference.n_peaks) > 0
    for cells in (reference, query):
        if cells.measured is not None:
            shown = shown & cells.measured
    if not (reference.dna and query.dna):
        if not shown.any():
            raise CountsError(
                f"None of the {reference.n_peaks} peaks of the reference has counts there and "
                "could be seen in the query. Count both on common peaks, or give an atlas."
            )
        if query.counts.nnz == 0:
            raise CountsError(
                f"The query's {query.n_cells} cells have no counts on the reference's peaks. "
                "Check genome build and contig names, or count the query on these peaks."
            )
    return np.flatnonzero(shown)


def affordable(cells: Cells, most: int) -> int:
    """How many of the cells may be learnt from: `most`, fewer of deep ones (`MOST_OPEN`)."""
    depth = cells.counts.nnz / max(cells.n_cells, 1)
    return min(most, max(1, int(MOST_OPEN / max(depth, 1))))


def _thinned_out(query: Cells, seed: int) -> Cells:
    """A query, or a choice of its cells where they are too deep to learn from all."""
    limit = affordable(query, query.n_cells)
    if limit >= query.n_cells:
        return query
    rng = np.random.default_rng([seed, 8])
    return query.take(np.sort(rng.choice(query.n_cells, limit, replace=False)))


def stratified(codes: NDArray[np.int64], limit: int, seed: int) -> NDArray[np.int64]:
    """Sorted rows of at most `limit` cells; the largest types lose cells first."""
    if len(codes) <= limit:
        return np.arange(len(codes))
    sizes = np.bincount(codes)
    low, high = 1, int(sizes.max())
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (
            (middle, high) if np.minimum(sizes, middle).sum() <= limit else (low, middle - 1)
        )
    order = np.random.default_rng([seed, 3]).permutation(len(codes))
    ranked = order[np.argsort(codes[order], kind="stable")]
    start = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    rank = np.arange(len(ranked)) - start[codes[ranked]]
    return np.sort(ranked[rank < low])


def _checked(reference: Cells, query: Cells) -> tuple[NDArray[np.str_], NDArray[np.int64]]:
    """Types of the reference and their codes."""
    _check_width(query, reference.n_peaks)
    for name, cells in (("reference", reference), ("query", query)):
        if cells.n_cells == 0:
            raise CountsError(f"The {name} has no cells. Give one with at least one cell.")
    if reference.labels is None:
        raise LabelsError("The reference has no labels. Give the type of each of its cells.")
    types, codes = np.unique(reference.labels, return_inverse=True)
    if len(types) < 2:
        raise LabelsError(
            f"All {reference.n_cells} reference cells are of type {types[0]}. "
            "Give a reference of at least two types."
        )
    return types, codes.astype(np.int64)


def _centred(logs: NDArray[np.float32], n_axes: int) -> NDArray[np.float32]:
    return np.asarray(logs - logs.mean(axis=1, keepdims=True), np.float32)[:, :n_axes]


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _check_width(cells: Cells, n_peaks: int) -> None:
    if cells.n_peaks != n_peaks:
        raise CountsError(
            f"The query has {cells.n_peaks} columns, the reference {n_peaks} peaks. "
            "Carry the query's counts to the reference's peaks first."
        )
