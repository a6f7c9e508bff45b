"""Types of query cells, how sure, and which are left open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .adapt import Adaptation, adapt
from .metrics import UNASSIGNED
from .novelty import neighbours_of
from .query_graph import share_among_neighbours

if TYPE_CHECKING:
    import scipy.sparse as sp
    from numpy.typing import NDArray

    from .align import Alignment
    from .bundle import Bundle
    from .cells import PeakTable
    from .route import Calibration, Cells, Route, RouteName

MIN_SHARED_COUNTS = 0.3
MIN_CELLS_FOR_STATISTICS = 20
REASONS = ("", "uncertain", "novel", "empty")


@dataclass(frozen=True, eq=False, kw_only=True)
class Prediction:
    """What is said of each query cell; arrays have one row a cell."""

    labels: NDArray[np.str_]
    """Type, or "Unassigned"."""
    best: NDArray[np.str_]
    """Likeliest type, whether assigned or not."""
    confidence: NDArray[np.float32]
    """Calibrated probability of `best`."""
    novelty: NDArray[np.float32]
    """How strange a cell is to the reference, given its depth."""
    reason: NDArray[np.str_]
    """Why a cell is "Unassigned": uncertain, novel or empty; else empty text."""
    probabilities: NDArray[np.float32]
    """Of each type, shape (n_cells, n_types)."""
    latent: NDArray[np.float32]
    """Aligned embedding, shape (n_cells, latent)."""
    reference_latent: NDArray[np.float32]
    """The same of the reference sample, shape (n_sample, latent)."""
    route: RouteName
    """Which route labelled the cells."""
    shared: float
    """Share of the query's counts in peaks that the reference knows."""
    adaptation: Adaptation


def predict(
    bundle: Bundle,
    counts: sp.csr_matrix,
    peaks: PeakTable,
    *,
    alignment: Alignment = "adaptive",
    reject: bool = True,
    seed: int = 0,
) -> Prediction:
    """Label cells.

    A query that shares few peaks with the reference is told by the DNA in its peaks: its cells are
    centred and scaled by themselves, if there are 20 or more, and probabilities are averaged over
    cells that resemble each other by the query's own peaks.

    Parameters
    ----------
    bundle : Bundle
    counts : csr_matrix of float32, shape (n_cells, n_peaks)
    peaks : PeakTable, length n_peaks
        Rows are those of ``bundle.registry``.
    alignment : str
        See `adapt`.
    reject : bool
        Whether uncertain and novel cells are left "Unassigned".
    seed : int
        Of the alignment.
    """
    route, shared = choose_route(bundle, counts, peaks)
    far = route.name == "sequence" and shared < MIN_SHARED_COUNTS
    own = far and counts.shape[0] >= MIN_CELLS_FOR_STATISTICS
    cells = route.see(counts, peaks, own_statistics=own)
    calibration = route.calibration(peaks)
    adapted = adapt(route, cells, calibration, alignment=alignment, seed=seed)
    latent, network_logs = adapted.network.run(cells.embedding)
    logs = route.log_probabilities(cells, network_logs, calibration)
    # Self-training makes a new type look like a known one, so novelty is judged before it.
    novelty = route.novelty(cells, logs, calibration)
    logs = adapted.log_probabilities(cells, logs)
    if own:
        logs = share_among_neighbours(logs, counts, neighbours_of(len(logs)), seed=seed)
    best = np.asarray(bundle.types)[logs.argmax(axis=1)]
    reason = _reasons(cells, logs, novelty, calibration, reject=reject)
    return Prediction(
        labels=np.where(reason == "", best, UNASSIGNED),
        best=best,
        confidence=np.where(cells.depth > 0, np.exp(logs.max(axis=1)), 0).astype(np.float32),
        novelty=novelty,
        reason=reason,
        probabilities=np.exp(logs),
        latent=latent,
        reference_latent=adapted.network.run(route.sample.astype(np.float32))[0],
        route=route.name,
        shared=shared,
        adaptation=adapted.told,
    )


def choose_route(bundle: Bundle, counts: sp.csr_matrix, peaks: PeakTable) -> tuple[Route, float]:
    """Route for these cells, and the share of their counts in peaks that the reference knows.

    The ``sequence`` route is taken where that share is below 0.3 and peaks have embeddings, or
    where it is the only one.
    """
    shared = bundle.encoder.shared(counts, peaks)
    far = shared < MIN_SHARED_COUNTS and bool(peaks.embedded.any())
    if "sequence" in bundle.routes and (far or "shared" not in bundle.routes):
        return bundle.routes["sequence"], shared
    return bundle.routes["shared"], shared


def _reasons(
    cells: Cells,
    logs: NDArray[np.float32],
    novelty: NDArray[np.float32],
    calibration: Calibration,
    *,
    reject: bool,
) -> NDArray[np.str_]:
    reason = np.full(len(novelty), "", dtype="<U9")
    if reject:
        reason[np.exp(logs.max(axis=1)) < calibration.min_confidence] = "uncertain"
        reason[novelty > calibration.max_novelty[str(neighbours_of(len(novelty)))]] = "novel"
    reason[cells.depth == 0] = "empty"
    return reason
