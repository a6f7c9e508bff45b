"""Choices made on held-out reference cells, and on nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from .linear import fit_linear
from .network import NetworkOptions, fit_network
from .novelty import NEIGHBOURS, ReferenceShape, Surprise, smooth
from .route import Calibration, Cells, fuse, rarity_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import scipy.sparse as sp
    from numpy.typing import NDArray

    from .cells import CellEncoder, PeakTable

MIXES = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
LINEAR_WEIGHTS = (1.0, 0.75, 0.5, 0.25)
MARGIN = 0.003


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What models that did not see a cell say of it, at one depth.

    Parameters
    ----------
    cells : Cells
        As the models saw them.
    network : float32, shape (n_cells, n_types)
    linear : mapping of regularisation strength to float32, shape (n_cells, n_types)
        Log-probabilities.
    distance : float32, shape (n_cells,)
        To the types of the cells that were seen.
    """

    cells: Cells
    network: NDArray[np.float32]
    linear: dict[float, NDArray[np.float32]]
    distance: NDArray[np.float32]


def choose_mix(
    encoder: CellEncoder,
    counts: sp.csr_matrix,
    peaks: PeakTable,
    types: NDArray[np.int64],
    seed: int,
) -> CellEncoder:
    """Set the share of the sequence block that labels held-out reference cells best.

    Parameters
    ----------
    encoder : CellEncoder
        Any representation; all but ``hybrid`` come back as they are.
    counts : csr_matrix of float32, shape (n_cells, n_peaks)
    peaks : PeakTable, length n_peaks
    types : int64, shape (n_cells,)
    seed : int
    """
    if encoder.representation != "hybrid":
        return encoder
    rows = sample_rows(types, 2000, seed)
    folds = StratifiedKFold(3, shuffle=True, random_state=seed)
    model = LogisticRegression(C=10, class_weight="balanced", max_iter=100, tol=1e-3)
    scores = []
    for mix in MIXES:
        cells = encoder.with_mix(mix).transform(counts[rows], peaks)
        scores.append(quality(types[rows], cross_val_predict(model, cells, types[rows], cv=folds)))
    return encoder.with_mix(MIXES[int(np.argmax(scores))])


def hold_out(
    views: Sequence[Cells],
    judged: Sequence[Cells],
    types: NDArray[np.int64],
    *,
    strengths: Sequence[float],
    options: NetworkOptions,
    seed: int,
) -> list[HeldOut]:
    """Fit on two thirds of the cells, judge the third, three times over.

    Parameters
    ----------
    views : sequence of Cells
        The reference at several depths, to fit on; the first feeds the linear head.
    judged : sequence of Cells
        The same cells as the held-out third is shown.
    types : int64, shape (n_cells,)
    strengths : sequence of float
        Inverse ridge penalties of the linear head.
    options : NetworkOptions
    seed : int
    """
    n_types = int(types.max()) + 1
    found = [_blank(cells, n_types, strengths) for cells in judged]
    for seen, held in _folds(types, seed):
        part = [view.take(seen) for view in views]
        network = fit_network(
            [view.embedding for view in part], types[seen], n_types, options=options, seed=seed
        )
        shape = ReferenceShape.fit(part[0].embedding, types[seen], n_types)
        heads = {
            s: fit_linear(part[0].features, types[seen], n_types, strength=s) for s in strengths
        }
        for result in found:
            cells = result.cells.take(held)
            result.network[held] = network.run(cells.embedding)[1]
            result.distance[held] = shape.distance(cells.embedding)
            for strength, head in heads.items():
                result.linear[strength][held] = head.log_probabilities(cells.features)
    return found


def choose_fusion(held: Sequence[HeldOut], types: NDArray[np.int64]) -> tuple[float, float]:
    """Regularisation strength and linear weight that label held-out cells best.

    A more complex choice must beat a simpler one, which comes first, by 0.003.

    Parameters
    ----------
    held : sequence of HeldOut
        One for each depth.
    types : int64, shape (n_cells,)
    """
    best, best_score = (next(iter(held[0].linear)), 1.0), -np.inf
    for strength in held[0].linear:
        for weight in LINEAR_WEIGHTS:
            fused = [fuse(h.network, h.linear[strength], weight).argmax(axis=1) for h in held]
            score = float(np.mean([quality(types, labels) for labels in fused]))
            if score > best_score + MARGIN:
                best, best_score = (strength, weight), score
    return best


def calibrate(
    held: Sequence[HeldOut],
    types: NDArray[np.int64],
    strength: float,
    linear_weight: float,
    error_rate: float,
) -> Calibration:
    """Temperature and thresholds from held-out cells at full and lesser depth.

    Parameters
    ----------
    held : sequence of HeldOut
        One for each depth.
    types : int64, shape (n_cells,)
    strength, linear_weight : float
        From `choose_fusion`.
    error_rate : float
        Share of rightly labelled held-out cells that each of the two thresholds gives up.
    """
    raw = [fuse(h.network, h.linear[strength], linear_weight) for h in held]
    truth = np.tile(types, len(held))
    temperature = fit_temperature(np.concatenate(raw), truth)
    logs = [fuse(part, part, 1.0, temperature) for part in raw]
    stacked, depth = np.concatenate(logs), np.concatenate([h.cells.depth for h in held])
    vague = Surprise.fit(-stacked.max(axis=1), depth)
    strange = Surprise.fit(np.concatenate([h.distance for h in held]), depth)
    rarity = [
        rarity_of(h.cells, p, h.distance, vague, strange) for h, p in zip(held, logs, strict=True)
    ]
    novelty = {
        str(k): np.concatenate(
            [smooth(r, h.cells.embedding, k) for h, r in zip(held, rarity, strict=True)]
        )
        for k in NEIGHBOURS
    }
    right = stacked.argmax(axis=1) == truth
    right = right if right.any() else np.ones_like(right)
    return Calibration(
        linear_weight=linear_weight,
        temperature=temperature,
        min_confidence=float(np.quantile(np.exp(stacked[right].max(axis=1)), error_rate)),
        max_novelty={k: float(np.quantile(v[right], 1 - error_rate)) for k, v in novelty.items()},
        usual_novelty={k: float(np.quantile(v, 0.25)) for k, v in novelty.items()},
        vague=vague,
        strange=strange,
    )


def fit_temperature(logs: NDArray[np.float32], types: NDArray[np.int64]) -> float:
    """Temperature that makes held-out log-probabilities most likely.

    Parameters
    ----------
    logs : float32, shape (n_cells, n_types)
        Log-probabilities at temperature 1.
    types : int64, shape (n_cells,)

    Returns
    -------
    float
        In [0.05, 20].

    References
    ----------
    Guo et al. (2017), On Calibration of Modern Neural Networks, section 4.2.
    """
    cells = np.arange(len(types))

    def loss(log_temperature: float) -> float:
        scaled = fuse(logs, logs, 1.0, float(np.exp(log_temperature)))
        return float(-scaled[cells, types].mean(dtype=np.float64))

    found = minimize_scalar(loss, bounds=(np.log(0.05), np.log(20)), method="bounded")
    return float(np.exp(found.x))


def quality(types: NDArray[Any], predicted: NDArray[Any]) -> float:
    """Mean of accuracy and macro-F1: what choices are made by."""
    accuracy = float(np.mean(types == predicted))
    return (accuracy + float(f1_score(types, predicted, average="macro", zero_division=0))) / 2


def sample_rows(types: NDArray[np.int64], size: int, seed: int) -> NDArray[np.int64]:
    """Some cells of every type, as evenly as the types allow, in ascending order.

    Parameters
    ----------
    types : int64, shape (n_cells,)
    size : int
        Cells wanted, at most.
    seed : int
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(types))
    rank = np.empty(len(types), np.int64)
    for code in np.unique(types):
        cells = order[types[order] == code]
        rank[cells] = np.arange(len(cells))
    return np.sort(np.lexsort((types, rank))[:size])


def _folds(
    types: NDArray[np.int64], seed: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    folds = StratifiedKFold(3, shuffle=True, random_state=seed)
    yield from folds.split(np.zeros(len(types)), types)


def _blank(cells: Cells, n_types: int, strengths: Sequence[float]) -> HeldOut:
    shape = (len(cells.depth), n_types)
    return HeldOut(
        cells,
        np.zeros(shape, np.float32),
        {strength: np.zeros(shape, np.float32) for strength in strengths},
        np.zeros(shape[0], np.float32),
    )
