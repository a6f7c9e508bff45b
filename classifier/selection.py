"""Choices made on held-out reference cells, and on nothing else."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from peakatlas.classifier.counts.batches import batch_weights, folds

from .conformal import Conformal
from .groups import Groups, TypeShares
from .network import NetworkOptions, fit_network
from .novelty import NOVELTY_NEIGHBOURS, Usual, smooth
from .route import Calibration, fuse
from .self_training import temperature_of
from .temperature import Temperature
from .type_shapes import TypeShapes, contrasts, lengths

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from peakatlas.classifier.counts.peak_table import PeakTable

    from .cells import CellEncoder
    from .heads import Head
    from .route import Cells, Look, RouteName

    Refit = Callable[[NDArray[np.int64]], CellEncoder]

MIXES = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
LINEAR_WEIGHTS = (1.0, 0.75, 0.5, 0.25)
MARGIN = 0.003
MIX_CELLS = 2000
MIX_MARGIN = 0.01
USUAL_MIX = 0.25
SLACK = 1.5


@dataclass(frozen=True, kw_only=True)
class FoldOptions:
    """How models are fitted in each fold."""

    heads: tuple[Head, ...]
    """Linear members to choose from."""
    network: NetworkOptions
    """Shape and fit of the network."""
    seed: int
    """Of the folds and the network."""


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What models that did not see a cell say of it, in one look at the cells.

    Parameters
    ----------
    depth : float32, shape (n_cells,)
    network : float32, shape (n_cells, n_types)
    linear : mapping of Head to float32, shape (n_cells, n_types)
        Log-probabilities.
    contrast : float32, shape (n_cells, n_types)
        From `contrasts`, by the last logistic regression.
    gain : float32, shape (n_cells,)
        Of `Groups.gain`, for groups of the cells of the fold; NaN where there are none.
    folds : list of (int64, shape (n,)) and (float32, shape (n, dim))
        The cells of each fold, and where their neighbours are sought.
    judge : float32, shape (n_features + 1, n_types)
        Mean of these logistic regressions over the folds, the intercept last; of the first look
        only, of the others no rows.
    """

    depth: NDArray[np.float32]
    network: NDArray[np.float32]
    linear: dict[Head, NDArray[np.float32]]
    contrast: NDArray[np.float32]
    gain: NDArray[np.float32]
    folds: list[tuple[NDArray[np.int64], NDArray[np.float32]]]
    judge: NDArray[np.float32]

    def smoothed(self, score: NDArray[np.float32], neighbours: int) -> NDArray[np.float32]:
        """A score shared among neighbours of the same fold, float32, shape (n_cells,)."""
        shared = np.empty_like(score)
        for rows, cells in self.folds:
            shared[rows] = smooth(score[rows], cells, neighbours)
        return shared


def choose_mix(
    encoder: CellEncoder,
    counts: sp.csr_matrix,
    peaks: PeakTable,
    types: NDArray[np.int64],
    refit: Refit,
    *,
    seed: int,
    batches: NDArray[np.int64] | None = None,
) -> CellEncoder:
    """Set the share of the sequence block that labels held-out reference cells best.

    Of shares within 0.01 of the best, the one nearest to a quarter: both blocks together judge
    novelty better than either.

    Parameters
    ----------
    encoder : CellEncoder
        Any representation; all but ``hybrid`` come back as they are.
    counts : csr_matrix of float32, shape (n_cells, n_peaks)
    peaks : PeakTable, length n_peaks
    types : int64, shape (n_cells,)
    refit : callable
        Encoder fitted on the cells of these rows alone.
    seed : int
    batches : int64, shape (n_cells,), optional
        Where there are several, whole batches are held out: see `folds`.
    """
    if encoder.representation != "hybrid":
        return encoder
    rows = sample_rows(types, MIX_CELLS, seed, batches)
    told = {mix: np.zeros(len(rows), np.int64) for mix in MIXES}
    for seen, held in folds(types[rows], seed, None if batches is None else batches[rows]):
        fold = refit(rows[seen])
        for mix in MIXES:
            cells = fold.with_mix(mix).transform(counts[rows], peaks)
            model = LogisticRegression(C=10, class_weight="balanced", max_iter=100, tol=1e-3)
            model.fit(cells[seen], types[rows[seen]])
            told[mix][held] = model.predict(cells[held])
    scores = {mix: quality(types[rows], told[mix]) for mix in MIXES}
    good = [mix for mix in MIXES if scores[mix] >= max(scores.values()) - MIX_MARGIN]
    return encoder.with_mix(min(good, key=lambda mix: abs(mix - USUAL_MIX)))


def hold_out(
    name: RouteName,
    refit: Refit,
    shown: Sequence[Look],
    judged: Sequence[Look],
    types: NDArray[np.int64],
    *,
    fit: FoldOptions,
    groups: NDArray[np.int64] | None = None,
) -> list[HeldOut]:
    """Fit on two thirds of the cells, judge the third, three times over; or leave batches out.

    Parameters
    ----------
    name : {"shared", "sequence"}
    refit : callable
        Encoder fitted on the cells of these rows alone.
    shown : sequence of Look
        The reference at several depths, to fit on; the first feeds the linear head.
    judged : sequence of Look
        The same cells as the held-out third is shown.
    types : int64, shape (n_cells,)
    fit : FoldOptions
    groups : int64, shape (n_cells,), optional
        Batch of each cell. Where there are several, whole batches are held out (see `folds`), and
        those that are seen are balanced within each type.
    """
    n_types = int(types.max()) + 1
    found = [_blank(len(types), n_types, fit.heads) for _ in judged]
    judge, means = [head for head in fit.heads if head.kind == "logistic"][-1], []
    for seen, held in folds(types, fit.seed, groups):
        weights = None if groups is None else batch_weights(types[seen], groups[seen])
        encoder = refit(seen)
        part = [look.see(name, encoder).take(seen) for look in shown]
        network = fit_network(
            [cells.embedding for cells in part],
            types[seen],
            n_types,
            options=fit.network,
            seed=fit.seed,
            weights=weights,
        )
        shares = None
        if sp.issparse(part[0].features):
            shares = TypeShares.fit(part[0].features, types[seen], n_types, weights)
        heads = {
            head: head.fit([cells.features for cells in part], types[seen], n_types, weights)
            for head in fit.heads
        }
        for result, look in zip(found, judged, strict=True):
            cells = look.see(name, encoder).take(held)
            result.depth[held] = cells.depth
            result.network[held] = network.run(cells.embedding)[1]
            result.contrast[held] = contrasts(
                heads[judge].log_probabilities(cells.features), lengths(cells.features)
            )
            result.gain[held], places = _grouped(cells, shares, fit.seed)
            result.folds.append((held, places))
            for head, fitted in heads.items():
                result.linear[head][held] = fitted.log_probabilities(cells.features)
        means.append(np.vstack([heads[judge].coefficients, heads[judge].intercept]))
    return [replace(found[0], judge=np.mean(means, axis=0, dtype=np.float32)), *found[1:]]


def commensurate(held: Sequence[HeldOut]) -> tuple[list[HeldOut], dict[Head, float]]:
    """Held-out cells with discriminants as sure as the network, and the temperatures for that.

    A normal density is far surer than it should be, and would outvote what it is mixed with.

    Parameters
    ----------
    held : sequence of HeldOut
        One for each depth; the first is the full one.
    """
    by = {
        head: temperature_of(logs, held[0].network) if head.kind == "discriminant" else 1.0
        for head, logs in held[0].linear.items()
    }
    cooled = [
        replace(part, linear={h: fuse(x, x, 1.0, by[h]) for h, x in part.linear.items()})
        for part in held
    ]
    return cooled, by


def choose_fusion(held: Sequence[HeldOut], types: NDArray[np.int64]) -> tuple[Head, float]:
    """Linear member and its weight that label held-out cells best.

    A more complex choice must beat a simpler one, which comes first, by 0.003.

    Parameters
    ----------
    held : sequence of HeldOut
        One for each depth.
    types : int64, shape (n_cells,)
    """
    best, best_score = (next(iter(held[0].linear)), 1.0), -np.inf
    for head in held[0].linear:
        for weight in LINEAR_WEIGHTS:
            fused = [fuse(h.network, h.linear[head], weight).argmax(axis=1) for h in held]
            score = float(np.mean([quality(types, labels) for labels in fused]))
            if score > best_score + MARGIN:
                best, best_score = (head, weight), score
    return best


def calibrate(
    held: Sequence[HeldOut],
    types: NDArray[np.int64],
    head: Head,
    linear_weight: float,
    error_rate: float,
    *,
    several_batches: bool = False,
) -> Calibration:
    """Temperature and thresholds from held-out cells at full and lesser depth.

    Parameters
    ----------
    held : sequence of HeldOut
        One for each depth.
    types : int64, shape (n_cells,)
    head, linear_weight : Head and float
        From `choose_fusion`.
    error_rate : float
        Share of rightly labelled held-out cells that each of the two thresholds gives up.
    several_batches : bool
        Whether whole batches were held out. One batch cannot show by how much another donor
        differs, so cells may then be stranger by half before they are called novel.
    """
    logs, truth = stacked_logs(held, head, linear_weight), np.tile(types, len(held))
    depth = np.concatenate([h.depth for h in held])
    temperature = Temperature.fit(logs, truth, depth)
    logs = fuse(logs, logs, 1.0, temperature.of(depth))
    chance, right = np.exp(logs), logs.argmax(axis=1) == truth
    right = right if right.any() else np.ones_like(right)
    said = np.concatenate([h.contrast for h in held])
    shapes = TypeShapes.fit(said, truth, depth)
    distance, gain = shapes.distance(said, depth), np.concatenate([h.gain for h in held])
    far = Usual.fit(distance, depth)
    better = Usual.silent() if np.isnan(gain).any() else Usual.fit(gain, depth)
    return Calibration(
        linear_weight=linear_weight,
        temperature=temperature,
        min_confidence=float(np.quantile(chance[right].max(axis=1), error_rate)),
        usual_novelty=_usual_novelty(
            held,
            far(distance, depth),
            better(np.nan_to_num(gain), depth),
            right,
            error_rate,
            1.0 if several_batches else SLACK,
        ),
        shapes=shapes,
        far=far,
        better=better,
        sets=Conformal.fit(chance, truth, depth),
    )


def stacked_logs(held: Sequence[HeldOut], head: Head, linear_weight: float) -> NDArray[np.float32]:
    """Fused log-probabilities of all looks below each other, at temperature 1."""
    return np.concatenate([fuse(h.network, h.linear[head], linear_weight) for h in held])


def _usual_novelty(
    held: Sequence[HeldOut],
    far: NDArray[np.float32],
    better: NDArray[np.float32],
    right: NDArray[np.bool_],
    error_rate: float,
    slack: float,
) -> dict[str, tuple[float, float, float, float]]:
    """5th, 25th and 50th percentile and limit of the scores that neighbours share, by their number.

    Queries of so few cells that none are shared have no groups either.
    """
    found = {}
    for neighbours in NOVELTY_NEIGHBOURS:
        score = far if neighbours == 0 else far + better
        looks = np.split(score, len(held))
        shared = np.concatenate(
            [h.smoothed(part, neighbours) for h, part in zip(held, looks, strict=True)]
        )
        low, quarter, middle = map(float, np.quantile(shared, (0.05, 0.25, 0.5)))
        limit = middle + slack * (float(np.quantile(shared[right], 1 - error_rate)) - middle)
        found[str(neighbours)] = (low, quarter, middle, limit)
    return found


def _grouped(
    cells: Cells, shares: TypeShares | None, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Gain of cells by their own groups, NaN if there are none, and where neighbours are sought."""
    groups = None
    if shares is not None and sp.issparse(cells.features):
        groups = Groups.fit(cells.features, shares, seed=seed)
    if groups is None:
        return np.full(len(cells.depth), np.nan, np.float32), cells.embedding
    places, every = groups.axes.fitted, np.ones(len(cells.depth), np.bool_)
    return groups.gain(sp.csr_matrix(cells.features), places, every), places


def quality(types: NDArray[Any], predicted: NDArray[Any]) -> float:
    """Mean of accuracy and macro-F1: what choices are made by."""
    accuracy = float(np.mean(types == predicted))
    return (accuracy + float(f1_score(types, predicted, average="macro", zero_division=0))) / 2


def sample_rows(
    types: NDArray[np.int64], size: int, seed: int, batches: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Some cells of every type, as evenly as the types allow, in ascending order.

    Parameters
    ----------
    types : int64, shape (n_cells,)
    size : int
        Cells wanted, at most.
    seed : int
    batches : int64, shape (n_cells,), optional
        The cells of a type are taken as evenly from its batches.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(types))
    if batches is not None:
        within = _rank(types * (int(batches.max()) + 1) + batches, order)
        order = order[np.argsort(within[order], kind="stable")]
    return np.sort(np.lexsort((types, _rank(types, order)))[:size])


def _rank(codes: NDArray[np.int64], order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Place of each row among those of its code, in this order."""
    rank = np.empty(len(codes), np.int64)
    for code in np.unique(codes):
        cells = order[codes[order] == code]
        rank[cells] = np.arange(len(cells))
    return rank


def _blank(n_cells: int, n_types: int, heads: Sequence[Head]) -> HeldOut:
    shape = (n_cells, n_types)
    return HeldOut(
        np.zeros(n_cells, np.float32),
        np.zeros(shape, np.float32),
        {head: np.zeros(shape, np.float32) for head in heads},
        np.zeros(shape, np.float32),
        np.zeros(n_cells, np.float32),
        [],
        np.zeros((0, n_types), np.float32),
    )
