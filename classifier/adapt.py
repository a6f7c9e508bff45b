"""Adapting a fitted route to an unlabelled query, and deciding whether that helps."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from .align import (
    Alignment,
    class_weights,
    domain_separability,
    loss_weights,
    proportion_shift,
)
from .linear import fit_linear
from .network import adapt_network
from .pull import Pull
from .self_training import as_sure_as, confident, self_train, stacked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from .align import LossName
    from .linear import Features
    from .network import AlignmentNetwork
    from .route import Calibration, Cells, Route
    from .self_training import SelfTrained

MIN_CELLS = 50
FEWEST_TO_TRAIN = 300
ADAPT_STEPS = 200
ADAPT_RATE = 3e-4
PROBE_CELLS = 1000
AGREEMENT_MARGIN = 0.01
HELD_OUT_MARGIN = 0.02


@dataclass(frozen=True, kw_only=True)
class Adaptation:
    """What was done to a route for one query, and why."""

    wanted: Alignment
    """What was asked for."""
    used: bool
    """Whether the aligned network labels the query."""
    reason: str
    """In words."""
    losses: dict[LossName, float]
    """Weight of each alignment loss; none if the network was not aligned."""
    self_trained: bool
    """Whether joint axes and the query's own cells take part in its labels."""
    self_reason: str
    """Why, in words."""
    shift: float | None
    """Total variation distance of the sides' proportions of types; None if not asked."""
    separability: float | None
    """How well reference and query are told apart before, AUC in [0.5, 1]; None if not asked."""
    separability_after: float | None
    """The same in the space of the network that labels the query."""

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON types."""
        return asdict(self)


@dataclass(frozen=True, eq=False, kw_only=True)
class Adapted:
    """A route as it labels one query."""

    network: AlignmentNetwork
    """The route's own, or one aligned to the query."""
    self_trained: SelfTrained | None
    told: Adaptation

    def log_probabilities(self, cells: Cells, logs: NDArray[np.float32]) -> NDArray[np.float32]:
        """What is finally said of cells, but for how surely; see `tempered`.

        Parameters
        ----------
        cells : Cells
        logs : float32, shape (n_cells, n_types)
            What network and linear head say, fused and calibrated.
        """
        if self.self_trained is None:
            return logs
        return self.self_trained.untempered(cells.features, logs)

    def tempered(
        self, said: NDArray[np.float32], logs: NDArray[np.float32], drawn: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """What was said of all cells, as sure on the whole as `logs` are.

        Parameters
        ----------
        said : float32, shape (n_cells, n_types)
            From `log_probabilities`.
        logs : float32, shape (n_cells, n_types)
            As given to it.
        drawn : int64, shape (n,)
            Rows that stand for all.
        """
        return said if self.self_trained is None else as_sure_as(said, logs, drawn)


@dataclass(frozen=True, kw_only=True)
class _Evidence:
    """Signs of a good alignment that need no query labels; more is better for both."""

    reverse: float
    """Types of reference cells told by a model of the query's own predictions."""
    agreement: float
    """Query cells that network and linear head call alike."""


def adapt(
    route: Route,
    query: Cells,
    calibration: Calibration,
    *,
    alignment: Alignment = "adaptive",
    seed: int = 0,
) -> Adapted:
    """The route for this query, and what was decided.

    ``adaptive`` does nothing where the two sides can hardly be told apart. Elsewhere it does two
    things, each kept only if unlabelled evidence speaks for it. It aligns the network, as hard as
    the sides can be told apart and by the losses that their proportions of types allow
    (`loss_weights`), and keeps it if *reverse validation* (a model of the query's predicted types,
    asked for the types of reference cells) does not fall and the agreement with the linear head
    rises by a hundredth or more. It trains on the query's own confident cells (`self_train`), and
    keeps that if those cells, as they are labelled, do not make a head of one half of the reference
    tell the other half worse by more than two hundredths; 300 cells are the fewest to learn from.
    What is asked for by name is done alone, and always.

    Parameters
    ----------
    route : Route
        Not modified.
    query : Cells
        Unlabelled; of a large query, cells that stand for all (`survey.draw`).
    calibration : Calibration
        Of the route for these peaks.
    alignment : str
        ``adaptive``, ``none``, ``coral``, ``mmd``, ``adversarial``, ``class-conditional`` or
        ``self-training``.
    seed : int

    Raises
    ------
    ValueError
        If the name is not known.

    References
    ----------
    Zhong et al. (2010), Cross Validation Framework to Choose amongst Models and Datasets for
    Transfer Learning (reverse validation).
    """
    named = loss_weights(alignment, 1.0, 0.0)
    few = min(len(query.embedding), len(route.sample)) < MIN_CELLS
    if alignment == "none" or few:
        reason = f"fewer than {MIN_CELLS} cells" if few else "alignment is off"
        told = _untouched(alignment, reason)
        return Adapted(network=route.network, self_trained=None, told=told)
    network, told = route.network, _untouched(alignment, "not asked for")
    if named:
        network, told = _align(route, query, calibration, alignment, seed)
    trained = None
    many = len(query.embedding) >= FEWEST_TO_TRAIN
    if alignment == "adaptive" and not many:
        told = replace(told, self_reason=f"fewer than {FEWEST_TO_TRAIN} cells to learn from")
    wanted = alignment == "self-training" or (
        alignment == "adaptive" and many and bool(told.losses)
    )
    if wanted and route.sample_open is not None:
        trained, reason = _train(route, network, query, calibration, alignment, seed)
        told = replace(told, self_trained=trained is not None, self_reason=reason)
    return Adapted(network=network, self_trained=trained, told=told)


def _align(
    route: Route, query: Cells, calibration: Calibration, alignment: Alignment, seed: int
) -> tuple[AlignmentNetwork, Adaptation]:
    reference = route.sample.astype(np.float32)
    before = _separability(route.network, reference, query, seed)
    logs = _logs(route, route.network, query, calibration)
    shift = proportion_shift(route.sample_types, np.exp(logs))
    losses = loss_weights(alignment, before, shift)
    told = replace(
        _untouched(alignment, "query and reference can hardly be told apart"),
        shift=shift,
        separability=before,
        separability_after=before,
    )
    if not losses:
        return route.network, told
    adapted = _pulled(route, query, logs, losses, seed)
    used, reason = True, f"{alignment} was asked for"
    if alignment == "adaptive":
        old = _evidence(route, route.network, reference, query)
        used, reason = _verdict(old, _evidence(route, adapted, reference, query))
    told = replace(told, used=used, reason=reason, losses=losses)
    if not used:
        return route.network, told
    after = _separability(adapted, reference, query, seed)
    return adapted, replace(told, separability_after=after)


def _pulled(
    route: Route,
    query: Cells,
    logs: NDArray[np.float32],
    losses: Mapping[LossName, float],
    seed: int,
) -> AlignmentNetwork:
    chance = np.exp(logs)
    rows, types = confident(chance)
    guesses = np.full(len(chance), -1, np.int64)
    guesses[rows] = types
    return adapt_network(
        route.network,
        [route.sample.astype(np.float32)],
        route.sample_types,
        Pull(
            cells=query.embedding,
            guesses=guesses,
            weights=losses,
            draw=class_weights(route.sample_types, chance),
        ),
        options=replace(route.network.options, steps=ADAPT_STEPS, learning_rate=ADAPT_RATE),
        seed=seed,
    )


def _train(
    route: Route,
    network: AlignmentNetwork,
    query: Cells,
    calibration: Calibration,
    alignment: Alignment,
    seed: int,
) -> tuple[SelfTrained | None, str]:
    """Heads for the query, unless its cells as labelled contradict the reference."""
    logs = _logs(route, network, query, calibration)
    reference = route.sample_features(query, seed=seed)
    trained = self_train(reference, route.sample_types, query.features, logs, seed=seed)
    if alignment != "adaptive":
        return trained, f"{alignment} was asked for"
    said = trained.log_probabilities(query.features, logs)
    old, new = with_query(reference[0], route.sample_types, query.features, np.exp(said))
    told = f"held-out reference cells told {old:.3f} without the query's cells, {new:.3f} with them"
    if new < old - HELD_OUT_MARGIN:
        return None, f"it would hurt: {told}"
    return trained, f"it does no harm: {told}"


def with_query(
    reference: Features,
    types: NDArray[np.int64],
    query: Features,
    chance: NDArray[np.float32],
) -> tuple[float, float]:
    """Mean recall on half of the reference of a head of the other half, without and with the query.

    Confident cells of the query take part as they are labelled. If their labels mean what the
    reference's mean, they do not spoil the head.
    """
    n_types = chance.shape[1]
    rows, guesses = confident(chance)
    fitted, judged = _halves(types)
    alone = (reference[fitted], types[fitted])
    both = (stacked(reference[fitted], query[rows]), np.concatenate([types[fitted], guesses]))
    told = [
        fit_linear(features, codes, n_types, strength=1.0)
        .log_probabilities(reference[judged])
        .argmax(axis=1)
        for features, codes in (alone, both)
    ]
    found = np.unique(types[judged])
    first, second = (
        float(np.mean([np.mean(each[types[judged] == code] == code) for code in found]))
        for each in told
    )
    return first, second


def _halves(types: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Every other cell of each type; the first of a type is in the first half."""
    order = np.argsort(types, kind="stable")
    start = np.searchsorted(types[order], types[order])
    even = (np.arange(len(types)) - start) % 2 == 0
    return np.sort(order[even]), np.sort(order[~even])


def _logs(
    route: Route, network: AlignmentNetwork, query: Cells, calibration: Calibration
) -> NDArray[np.float32]:
    return route.log_probabilities(query, network.run(query.embedding)[1], calibration)


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


def _untouched(wanted: Alignment, reason: str) -> Adaptation:
    return Adaptation(
        wanted=wanted,
        used=False,
        reason=reason,
        losses={},
        self_trained=False,
        self_reason=reason,
        shift=None,
        separability=None,
        separability_after=None,
    )
