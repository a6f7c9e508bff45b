"""Adapting a fitted route to an unlabelled query, and deciding whether that helps."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .align import Alignment, class_weights, domain_separability, loss_weights, proportion_shift
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
ALIKE = 0.6
LEAST_TRUST = 0.72
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


def adapt(
    route: Route,
    query: Cells,
    calibration: Calibration,
    *,
    alignment: Alignment = "adaptive",
    seed: int = 0,
) -> Adapted:
    """The route for this query, and what was decided.

    ``adaptive`` does nothing where the two sides can hardly be told apart. Elsewhere it trains on
    the query's own confident cells (`self_train`), if unlabelled evidence speaks for it: there are
    300 cells to learn from; such cells of the reference, held out and as shallow as the query, are
    told right in 72 % of the cases or more (`trust`); and the query's cells, as they are
    labelled, do not make a head of one half of the reference tell the other half worse by more than
    two hundredths (`with_query`). The network's own losses gained nothing on any real set, so they
    are used by name only. What is asked for by name is done alone, and always.

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
    """
    losses = loss_weights(alignment)
    few = min(len(query.embedding), len(route.sample)) < MIN_CELLS
    if alignment == "none" or few:
        reason = f"fewer than {MIN_CELLS} cells" if few else "alignment is off"
        told = _untouched(alignment, reason)
        return Adapted(network=route.network, self_trained=None, told=told)
    if alignment == "self-training":
        told = _untouched(alignment, "not asked for")
    else:
        told = _compared(route, query, calibration, alignment, seed)
    if losses:
        network = _pulled(route, query, calibration, losses, seed)
        after = _separability(network, route.sample.astype(np.float32), query, seed)
        reason = f"{alignment} was asked for"
        told = replace(told, used=True, reason=reason, losses=losses, separability_after=after)
        return Adapted(network=network, self_trained=None, told=told)
    trained, reason = _train(route, query, calibration, told, seed)
    told = replace(told, self_trained=trained is not None, self_reason=reason)
    return Adapted(network=route.network, self_trained=trained, told=told)


def _compared(
    route: Route, query: Cells, calibration: Calibration, alignment: Alignment, seed: int
) -> Adaptation:
    """How far the two sides are apart, with nothing done yet."""
    before = _separability(route.network, route.sample.astype(np.float32), query, seed)
    logs = _logs(route, query, calibration)
    return replace(
        _untouched(alignment, "its alignment losses are used only by name"),
        shift=proportion_shift(route.sample_types, np.exp(logs)),
        separability=before,
        separability_after=before,
    )


def _pulled(
    route: Route,
    query: Cells,
    calibration: Calibration,
    losses: Mapping[LossName, float],
    seed: int,
) -> AlignmentNetwork:
    chance = np.exp(_logs(route, query, calibration))
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
    route: Route, query: Cells, calibration: Calibration, told: Adaptation, seed: int
) -> tuple[SelfTrained | None, str]:
    """Heads for the query, unless evidence speaks against them; and why."""
    if route.sample_open is None:
        return None, "it needs peaks that the reference knows"
    adaptive = told.wanted == "adaptive"
    reference = route.sample_features(query, seed=seed)
    against = _doubt(route, reference, query, told) if adaptive else ""
    if against:
        return None, against
    logs = _logs(route, query, calibration)
    trained = self_train(reference, route.sample_types, query.features, logs, seed=seed)
    if not adaptive:
        return trained, f"{told.wanted} was asked for"
    said = trained.log_probabilities(query.features, logs)
    old, new = with_query(reference[0], route.sample_types, query.features, np.exp(said))
    found = (
        f"held-out reference cells told {old:.3f} without the query's cells, {new:.3f} with them"
    )
    if new < old - HELD_OUT_MARGIN:
        return None, f"it would hurt: {found}"
    return trained, f"it does no harm: {found}"


def _doubt(route: Route, reference: list[Features], query: Cells, told: Adaptation) -> str:
    """Why there is nothing to be learnt from the query's cells; empty text if there is."""
    if len(query.embedding) < FEWEST_TO_TRAIN:
        return f"fewer than {FEWEST_TO_TRAIN} cells to learn from"
    if (told.separability or 0.0) <= ALIKE:
        return "query and reference can hardly be told apart"
    right = trust(reference[0], reference[-1], route.sample_types)
    if right >= LEAST_TRUST:
        return ""
    return (
        f"too much of it would be wrong: of the surer held-out reference cells, as shallow as the "
        f"query, {right:.3f} were told right"
    )


def trust(full: Features, shallow: Features, types: NDArray[np.int64]) -> float:
    """Share of the surer held-out reference cells that are told right at the query's depth.

    A head of one half of the reference labels the other half, made as shallow as the query; the
    surer half of each type (`confident`) is what self-training would learn from.

    Parameters
    ----------
    full, shallow : csr_matrix or float32, shape (n_reference, n_features)
        The same cells as they are, and as shallow as the query.
    types : int64, shape (n_reference,)

    Returns
    -------
    float
        In [0, 1].
    """
    fitted, judged = _halves(types)
    head = fit_linear(full[fitted], types[fitted], int(types.max()) + 1, strength=1.0)
    rows, guesses = confident(np.exp(head.log_probabilities(shallow[judged])))
    return float(np.mean(guesses == types[judged][rows]))


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


def _logs(route: Route, query: Cells, calibration: Calibration) -> NDArray[np.float32]:
    """What models that know only the reference say of the query."""
    return route.log_probabilities(query, route.network.run(query.embedding)[1], calibration)


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
