"""Types of query cells, how sure, and which are left open."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from peakatlas.classifier.counts.rows import CountRows
from peakatlas.classifier.trust.metrics import UNASSIGNED
from peakatlas.engine.run.progress import counter

from .adapt import Adaptation, adapt
from .level_rules import LevelLabels, label_levels
from .novelty import neighbours_of
from .query_graph import OwnAxes, share_among_landmarks, share_among_neighbours
from .rejection import Rejection, reasons, uncertainty
from .strangeness import Strange, Strangeness, novelty_of
from .survey import survey

if TYPE_CHECKING:
    from collections.abc import Callable

    import scipy.sparse as sp
    from numpy.typing import NDArray

    from peakatlas.classifier.bundle.bundle import Bundle
    from peakatlas.classifier.counts.peak_table import PeakTable

    from .adapt import Adapted
    from .align import Alignment
    from .cells import Moments
    from .route import Calibration, Cells, Route, RouteName
    from .survey import Survey

MIN_SHARED_COUNTS = 0.3
MIN_CELLS_FOR_STATISTICS = 20


@dataclass(frozen=True, eq=False, kw_only=True)
class Prediction:
    """What is said of each query cell; arrays have one row a cell."""

    labels: NDArray[np.str_]
    """Type, or "Unassigned"."""
    best: NDArray[np.str_]
    """Likeliest type, whether assigned or not."""
    confidence: NDArray[np.float32]
    """Calibrated probability of `best`."""
    uncertainty: NDArray[np.float32]
    """Entropy of `probabilities` over its greatest value, in [0, 1]; shallow cells are high."""
    novelty: NDArray[np.float32]
    """How strange a cell is to the reference, given its depth: 0 is usual, above 1 is novel."""
    sets: NDArray[np.bool_]
    """Which types a cell may be of, at the error rate asked for, shape (n_cells, n_types)."""
    reason: NDArray[np.str_]
    """Why a cell is "Unassigned": uncertain, novel or empty; else empty text."""
    probabilities: NDArray[np.float32]
    """Of each type, shape (n_cells, n_types)."""
    levels: dict[str, LevelLabels]
    """Labels of every level by its column, the coarsest first; empty if there is one level."""
    latent: NDArray[np.float32]
    """Aligned embedding, shape (n_cells, latent)."""
    reference_latent: NDArray[np.float32]
    """The same of the reference sample, shape (n_sample, latent)."""
    depth: NDArray[np.float32]
    """Counts of each cell, in all peaks."""
    route: RouteName
    """Which route labelled the cells."""
    shared: float
    """Share of the query's counts in peaks that the reference knows."""
    adaptation: Adaptation


def predict(
    bundle: Bundle,
    counts: sp.csr_matrix | CountRows,
    peaks: PeakTable,
    *,
    alignment: Alignment = "adaptive",
    rejection: Rejection | None = None,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> Prediction:
    """Label cells.

    A query that shares few peaks with the reference is told by the DNA in its peaks: its cells are
    centred and scaled by themselves, if there are 20 or more, and probabilities are averaged over
    cells that resemble each other by the query's own peaks.

    Cells are read in blocks, twice. What is learnt of a query as a whole is learnt from cells drawn
    by `seed` (`survey.draw`): all of them where there are at most 20,000. Beside these cells and
    one block, memory holds some 250 numbers a cell.

    Parameters
    ----------
    bundle : Bundle
    counts : csr_matrix of float32, or CountRows, shape (n_cells, n_peaks)
    peaks : PeakTable, length n_peaks
        Rows are those of ``bundle.registry``.
    alignment : str
        See `adapt`.
    rejection : Rejection, optional
        When cells are left "Unassigned".
    seed : int
        Of the draw and the alignment.
    progress : callable, optional
        Called with a few words as each step begins; see `Steps`.

    Raises
    ------
    CountsError
        If a count in a file is no count.
    """
    say, count = progress or (lambda _: None), counter(progress)
    rows = counts if isinstance(counts, CountRows) else CountRows(counts)
    say("surveying its cells")
    query = survey(rows, seed=seed, count=count)
    route, shared = choose_route(bundle, query.totals, peaks)
    say("adapting to them")
    reading = _Reading.of(route, peaks, query, far=shared < MIN_SHARED_COUNTS, seed=seed)
    cells = reading.see(query.cells)
    adapted = adapt(route, cells, reading.calibration, alignment=alignment, seed=seed)
    say("labelling its cells")
    judge = Strangeness.fit(route, reading.calibration, cells, seed=seed)
    teller = _Teller(reading=reading, adapted=adapted, judge=judge)
    if query.complete:
        told = teller.tell(query.cells, cells, np.ones(len(query.depth), np.bool_))
    else:
        told = _told_in_blocks(rows, teller, query.drawn, count)
    return _decided(bundle, query, teller, told, rejection=rejection or Rejection(), shared=shared)


def choose_route(
    bundle: Bundle, totals: NDArray[np.float64], peaks: PeakTable
) -> tuple[Route, float]:
    """Route for these cells, and the share of their counts in peaks that the reference knows.

    The ``sequence`` route is taken where that share is below 0.3 and peaks have embeddings, or
    where it is the only one.

    Parameters
    ----------
    bundle : Bundle
    totals : float64, shape (n_peaks,)
        Counts of each peak over all cells.
    peaks : PeakTable, length n_peaks
    """
    shared = bundle.encoder.shared(totals, peaks)
    far = shared < MIN_SHARED_COUNTS and bool(peaks.embedded.any())
    if "sequence" in bundle.routes and (far or "shared" not in bundle.routes):
        return bundle.routes["sequence"], shared
    return bundle.routes["shared"], shared


class _Told(NamedTuple):
    """What is said of each cell by itself; one row a cell."""

    depth: NDArray[np.float32]
    latent: NDArray[np.float32]
    known: NDArray[np.float32]
    """Log-probabilities by models that know only the reference, calibrated."""
    said: NDArray[np.float32]
    """The same with what self-training adds, before it is tempered."""
    places: NDArray[np.float32]
    """By the query's own peaks; no columns where that is not asked for."""
    strange: NDArray[np.float32]
    near: NDArray[np.float32]
    """Score and places of `Strange`."""


@dataclass(frozen=True, eq=False, kw_only=True)
class _Reading:
    """How any cells of one query are seen, fixed by the cells that were drawn."""

    route: Route
    peaks: PeakTable
    calibration: Calibration
    own: bool | Moments
    """Whether, or by what, cells are centred and scaled as the query's."""
    axes: OwnAxes | None
    """Where neighbours are sought among drawn cells; None if not at all, or if all were drawn."""
    seed: int

    @classmethod
    def of(cls, route: Route, peaks: PeakTable, query: Survey, *, far: bool, seed: int) -> _Reading:
        peaks = route.encoder.prepared(replace(peaks, idf=query.idf))
        wanted = far and route.name == "sequence" and len(query.depth) >= MIN_CELLS_FOR_STATISTICS
        own: bool | Moments = wanted
        axes = None
        if wanted and not query.complete:
            own = route.encoder.own_moments(query.cells, peaks)
            axes = OwnAxes.fit(query.cells, query.idf, seed=seed)
        calibration = route.calibration(peaks)
        return cls(route=route, peaks=peaks, calibration=calibration, own=own, axes=axes, seed=seed)

    def see(self, counts: sp.csr_matrix) -> Cells:
        """Cells as the route sees them."""
        return self.route.see(counts, self.peaks, own_statistics=self.own)

    def share(self, logs: NDArray[np.float32], query: Survey, told: _Told) -> NDArray[np.float32]:
        """Log-probabilities averaged over cells with like peaks, where cells are seen so."""
        if self.own is False:
            return logs
        neighbours = neighbours_of(len(logs))
        if self.axes is None:
            return share_among_neighbours(logs, query.cells, neighbours, seed=self.seed)
        return share_among_landmarks(logs, told.places, query.drawn, neighbours)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Teller:
    """All that any cell of one query is labelled by."""

    reading: _Reading
    adapted: Adapted
    judge: Strangeness

    def tell(self, counts: sp.csr_matrix, cells: Cells, drawn: NDArray[np.bool_]) -> _Told:
        """What is said of cells, each by itself."""
        reading = self.reading
        latent, network_logs = self.adapted.network.run(cells.embedding)
        known = reading.route.log_probabilities(cells, network_logs, reading.calibration)
        strange = self.judge.of(cells, members=drawn)
        return _Told(
            depth=cells.depth,
            latent=latent,
            known=known,
            said=self.adapted.log_probabilities(cells, known),
            places=np.zeros((len(known), 0), np.float32)
            if reading.axes is None
            else reading.axes.places(counts),
            strange=strange.score,
            near=strange.places,
        )


def _told_in_blocks(
    rows: CountRows, teller: _Teller, drawn: NDArray[np.int64], count: Callable[[int, int], None]
) -> _Told:
    n_cells, table = rows.shape[0], None
    for start, block in rows.blocks():
        stop = start + block.shape[0]
        members = np.isin(np.arange(start, stop), drawn)
        told = teller.tell(block, teller.reading.see(block), members)
        if table is None:
            table = _Told(*(np.empty((n_cells, *part.shape[1:]), part.dtype) for part in told))
        for whole, part in zip(table, told, strict=True):
            whole[start:stop] = part
        count(stop, n_cells)
    assert table is not None, "a count matrix has a cell"
    return table


def _decided(
    bundle: Bundle,
    query: Survey,
    teller: _Teller,
    told: _Told,
    *,
    rejection: Rejection,
    shared: float,
) -> Prediction:
    """What is made of all cells together."""
    reading, adapted = teller.reading, teller.adapted
    route, calibration = reading.route, reading.calibration
    # Self-training makes a new type look like a known one, so novelty is judged before it.
    novelty = novelty_of(Strange(told.strange, told.near), calibration, query.drawn)
    logs = adapted.tempered(told.said, told.known, query.drawn)
    logs = reading.share(logs, query, told)
    chance = np.exp(logs)
    sets = calibration.sets.sets(chance, told.depth, rejection.alpha)
    codes = bundle.levels.best(chance, route.rules.first)
    confidence = chance[np.arange(len(codes)), codes]
    reason = reasons(told.depth, chance.max(axis=1), novelty, sets, calibration, rejection.rule)
    if rejection.rule == "sets":
        codes = np.where(reason == "", sets.argmax(axis=1), codes)
    best = np.asarray(bundle.types)[codes]
    least = route.rules.complete if calibration is route.complete else route.rules.partial
    return Prediction(
        labels=np.where(reason == "", best, UNASSIGNED),
        best=best,
        confidence=np.where(told.depth > 0, confidence, 0).astype(np.float32),
        uncertainty=uncertainty(chance),
        novelty=novelty,
        sets=sets,
        reason=reason,
        probabilities=chance,
        levels=label_levels(bundle.levels, least, chance, codes, reason),
        latent=told.latent,
        reference_latent=adapted.network.run(route.sample.astype(np.float32))[0],
        depth=query.depth,
        route=route.name,
        shared=shared,
        adaptation=adapted.told,
    )
