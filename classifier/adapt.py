"""Adapting the network to an unlabelled query, and deciding whether that helps."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from .align import Alignment, adaptive_weight, class_weights, domain_separability
from .network import Pull, adapt_network

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .network import AlignmentNetwork
    from .route import Cells, Route

MIN_CELLS = 50
ADAPT_STEPS = 200
ADAPT_RATE = 3e-4
PROBE_CELLS = 1000
AGREEMENT_MARGIN = 0.01


@dataclass(frozen=True, kw_only=True)
class Adaptation:
    """What was done to the network for one query, and why."""

    wanted: Alignment
    """What was asked for."""
    used: bool
    """Whether the adapted network labels the query."""
    reason: str
    """In words."""
    weight: float
    """Weight of the alignment loss."""
    separability: float | None
    """How well reference and query are told apart before, AUC in [0.5, 1]; None if not asked."""
    separability_after: float | None
    """The same in the space of the network that labels the query."""

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON types."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class _Evidence:
    """Signs of a good alignment that need no query labels; more is better for both."""

    reverse: float
    """Types of reference cells told by a model of the query's own predictions."""
    agreement: float
    """Query cells that network and linear head call alike."""


def adapt(
    route: Route, query: Cells, *, alignment: Alignment = "adaptive", seed: int = 0
) -> tuple[AlignmentNetwork, Adaptation]:
    """Network for this query, and what was decided.

    ``adaptive`` aligns as hard as the two sides can be told apart, then keeps the result only if
    the signs of a good alignment are clear: *reverse validation* (a model of the query's predicted
    types, asked for the types of reference cells) does not fall, and the agreement of the network
    with the linear head, which is not aligned, rises by a hundredth or more. A loss that is named
    is always applied.

    Parameters
    ----------
    route : Route
        Not modified.
    query : Cells
        Unlabelled.
    alignment : {"adaptive", "none", "coral", "mmd", "coral+mmd"}
    seed : int

    References
    ----------
    Zhong et al. (2010), Cross Validation Framework to Choose amongst Models and Datasets for
    Transfer Learning (reverse validation).
    """
    reference = route.sample.astype(np.float32)
    if alignment == "none" or len(query.embedding) < MIN_CELLS or len(reference) < MIN_CELLS:
        off = alignment == "none"
        reason = "alignment is off" if off else f"fewer than {MIN_CELLS} cells"
        return route.network, _untouched(alignment, reason)
    before = _separability(route.network, reference, query, seed)
    weight = adaptive_weight(before) if alignment == "adaptive" else 1.0
    if weight == 0:
        reason = "query and reference can hardly be told apart"
        return route.network, _untouched(alignment, reason, before)
    adapted = _pulled(route, reference, query, alignment, weight, seed)
    used, reason = True, f"{alignment} was asked for"
    if alignment == "adaptive":
        old = _evidence(route, route.network, reference, query)
        used, reason = _verdict(old, _evidence(route, adapted, reference, query))
    network = adapted if used else route.network
    return network, Adaptation(
        wanted=alignment,
        used=used,
        reason=reason,
        weight=weight,
        separability=before,
        separability_after=_separability(network, reference, query, seed),
    )


def _pulled(
    route: Route,
    reference: NDArray[np.float32],
    query: Cells,
    alignment: Alignment,
    weight: float,
    seed: int,
) -> AlignmentNetwork:
    _, network_logs = route.network.run(query.embedding)
    logs = route.log_probabilities(query, network_logs, route.complete)
    return adapt_network(
        route.network,
        [reference],
        route.sample_types,
        Pull(query.embedding, alignment, weight, class_weights(route.sample_types, np.exp(logs))),
        options=replace(route.network.options, steps=ADAPT_STEPS, learning_rate=ADAPT_RATE),
        seed=seed,
    )


def _evidence(
    route: Route, network: AlignmentNetwork, reference: NDArray[np.float32], query: Cells
) -> _Evidence:
    cells, logs = network.run(query.embedding)
    called = logs.argmax(axis=1)
    linear = route.linear.log_probabilities(query.features).argmax(axis=1)
    there, _ = network.run(reference)
    return _Evidence(
        reverse=_reverse_accuracy(cells, called, there, route.sample_types),
        agreement=float(np.mean(called == linear)),
    )


def _reverse_accuracy(
    query: NDArray[np.float32],
    called: NDArray[np.int64],
    reference: NDArray[np.float32],
    types: NDArray[np.int64],
) -> float:
    """Mean recall over the types that were called in the query."""
    found = np.unique(called)
    if len(found) < 2:
        return 0.0
    model = LogisticRegression(C=1.0, class_weight="balanced", max_iter=100, tol=1e-2)
    told = model.fit(query, called).predict(reference)
    return float(np.mean([np.mean(told[types == code] == code) for code in found]))


def _verdict(old: _Evidence, new: _Evidence) -> tuple[bool, str]:
    told = (
        f"reverse validation {old.reverse:.3f} -> {new.reverse:.3f}, "
        f"agreement with the linear head {old.agreement:.3f} -> {new.agreement:.3f}"
    )
    if new.reverse < old.reverse or new.agreement < old.agreement + AGREEMENT_MARGIN:
        return False, f"it does not clearly help: {told}"
    return True, f"it helps: {told}"


def _separability(
    network: AlignmentNetwork, reference: NDArray[np.float32], query: Cells, seed: int
) -> float:
    rng = np.random.default_rng(seed)
    sides = [
        network.run(cells[np.sort(rng.permutation(len(cells))[:PROBE_CELLS])])[0]
        for cells in (reference, query.embedding)
    ]
    return domain_separability(sides[0], sides[1], seed=seed)


def _untouched(wanted: Alignment, reason: str, separability: float | None = None) -> Adaptation:
    return Adaptation(
        wanted=wanted,
        used=False,
        reason=reason,
        weight=0.0,
        separability=separability,
        separability_after=separability,
    )
