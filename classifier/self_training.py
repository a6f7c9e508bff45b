"""What the query's own cells add: axes shared with the reference, and a model of the query's types.

Reference and query are put on joint axes, where the query shows structure that too few reference
cells show. Then a linear head is fitted to the reference and to the query's own confident cells,
so that it learns features of the query. Both are linear heads of the same features as the
reference's, so further cells of the query are labelled with everything frozen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import svds
from scipy.special import log_softmax, softmax
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.neighbors import NearestNeighbors

from peakatlas.classifier.counts.sparse import unit_rows

from .linear import LinearHead, class_columns, fit_linear
from .novelty import neighbours_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .linear import Features

JOINT_AXES = 100
GRAPH_AXES = 30
JOINT_WEIGHT = 0.75
OWN_WEIGHT = 0.5
SHARE = 0.5
FEWEST = 10
ROUNDS = 2
SMOOTHING = 0.5
STRENGTH = 1.0
BLOCK = 4096


@dataclass(frozen=True, eq=False, kw_only=True)
class SelfTrained:
    """Heads and neighbours that label further cells of one query."""

    joint: LinearHead
    """On the joint axes, as a head of the features."""
    own: LinearHead
    """Of the query's own confident cells and the reference."""
    axes: NDArray[np.float32]
    """Leading joint axes, shape (n_features, n_axes)."""
    landmarks: NDArray[np.float32]
    """Query cells on these axes, of length 1, shape (n_landmarks, n_axes)."""
    landmark_logs: NDArray[np.float32]
    """What the heads say of them, shape (n_landmarks, n_types)."""

    def log_probabilities(
        self, features: Features, logs: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Log-probabilities of cells, shared with the nearest landmarks.

        As sure on the whole as `logs` are, whose calibration they keep.

        Parameters
        ----------
        features : csr_matrix or float32, shape (n_cells, n_features)
        logs : float32, shape (n_cells, n_types)
            What models that know only the reference say, calibrated.

        Returns
        -------
        float32, shape (n_cells, n_types)
        """
        return as_sure_as(self.untempered(features, logs), logs)

    def untempered(self, features: Features, logs: NDArray[np.float32]) -> NDArray[np.float32]:
        """`log_probabilities` up to a temperature and a constant a row, each row by itself."""
        start = mixed(logs, self.joint.log_probabilities(features), JOINT_WEIGHT)
        said = mixed(start, self.own.log_probabilities(features), OWN_WEIGHT)
        shared = neighbour_mean(places(features, self.axes), self.landmarks, self.landmark_logs)
        return said + np.float32(SMOOTHING) * shared


def self_train(
    reference: Sequence[Features],
    types: NDArray[np.int64],
    query: Features,
    logs: NDArray[np.float32],
    *,
    seed: int = 0,
) -> SelfTrained:
    """Fit joint axes and heads for a query.

    Every round takes the more confident half of each type's query cells, after a cell has been
    averaged with its neighbours, as labelled; rare types thus keep their share.

    Parameters
    ----------
    reference : sequence of csr_matrix or float32, shape (n_reference, n_features)
        The same reference cells at several depths; the first is the full one.
    types : int64, shape (n_reference,)
        Every one of the ``n_types`` occurs.
    query : csr_matrix or float32, shape (n_query, n_features)
    logs : float32, shape (n_query, n_types)
        What models that know only the reference say of the query.
    seed : int
        Of the start of the singular value decomposition.

    References
    ----------
    Zou et al. (2018), Unsupervised Domain Adaptation for Semantic Segmentation via Class-Balanced
    Self-Training: the same share of every class, a half at most.
    Zhou et al. (2004), Learning with Local and Global Consistency: the average over neighbours.
    """
    axes = joint_axes(reference[0], query, seed=seed)
    joint = tempered(joint_head(axes, reference, types, logs.shape[1]), query, logs)
    graph = np.ascontiguousarray(axes[:, :GRAPH_AXES])
    landmarks = places(query, graph)
    start = mixed(logs, joint.log_probabilities(query), JOINT_WEIGHT)
    said = start
    for _ in range(ROUNDS):
        chance = softmax(said, axis=1)
        chance = chance + neighbour_mean(landmarks, landmarks, chance)
        chosen, guesses = confident(chance)
        own = fit_linear(
            stacked(query[chosen], reference[0]),
            np.concatenate([guesses, types]),
            logs.shape[1],
            strength=STRENGTH,
        )
        own = tempered(own, query, logs)
        said = mixed(start, own.log_probabilities(query), OWN_WEIGHT)
    return SelfTrained(joint=joint, own=own, axes=graph, landmarks=landmarks, landmark_logs=said)


def joint_axes(reference: Features, query: Features, *, seed: int = 0) -> NDArray[np.float32]:
    """Leading right singular vectors of both sides' unit rows, most important first.

    Parameters
    ----------
    reference, query : csr_matrix or float32, shapes (n, n_features) and (m, n_features)
    seed : int

    Returns
    -------
    float32, shape (n_features, n_axes)
        At most 100 axes.

    References
    ----------
    Deerwester et al. (1990), Indexing by Latent Semantic Analysis; Cusanovich et al. (2018), A
    Single-Cell Atlas of In Vivo Mammalian Chromatin Accessibility (cells of all samples together).
    """
    rows = unit_rows(sp.csr_matrix(stacked(reference, query))).astype(np.float64)
    k = min(JOINT_AXES, min(rows.shape) - 1)
    start = np.random.default_rng(seed).normal(size=min(rows.shape))
    _, size, axes = svds(rows, k=k, v0=start)
    return np.ascontiguousarray(axes[np.argsort(-size)].T, np.float32)


def joint_head(
    axes: NDArray[np.float32],
    reference: Sequence[Features],
    types: NDArray[np.int64],
    n_types: int,
) -> LinearHead:
    """Linear discriminant of the reference on joint axes, as a head of the features.

    Every type is equally likely; the covariance within types is shrunk.

    Parameters
    ----------
    axes : float32, shape (n_features, n_axes)
    reference, types
        As in `self_train`; every depth is fitted.
    n_types : int

    References
    ----------
    Ledoit & Wolf (2004), A Well-Conditioned Estimator for Large-Dimensional Covariance Matrices.
    """
    cells = np.concatenate([np.asarray(part @ axes, np.float64) for part in reference])
    scale = max(float(np.sqrt(np.mean(cells**2))), 1e-12)
    model = LinearDiscriminantAnalysis(
        solver="lsqr", shrinkage="auto", priors=np.full(n_types, 1 / n_types)
    )
    model.fit(cells / scale, np.tile(types, len(reference)))
    weights, bias = class_columns(model.coef_, model.intercept_, n_types)
    return LinearHead(axes @ (weights / np.float32(scale)), bias)


def tempered(head: LinearHead, features: Features, model: NDArray[np.float32]) -> LinearHead:
    """The head at the temperature at which it is as sure of these cells as `model` is.

    A discriminant is overconfident and a head fitted to few cells is not; a mean of their logs
    would go by whichever is surer.

    Parameters
    ----------
    head : LinearHead
    features : csr_matrix or float32, shape (n_cells, n_features)
    model : float32, shape (n_cells, n_types)
        Log-probabilities.
    """
    return head.cooled(temperature_of(head.log_probabilities(features), model))


def confident(
    chance: NDArray[np.float32],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of the more confident half of each type's cells, at least ten, and their types.

    Parameters
    ----------
    chance : float32, shape (n_cells, n_types)
        Probabilities, or sums of them.

    Examples
    --------
    >>> chance = np.array([[0.9, 0.1]] * 30 + [[0.6, 0.4]] * 30 + [[0.2, 0.8]] * 3)
    >>> rows, types = confident(chance)
    >>> rows.tolist() == [*range(30), 60, 61, 62], types.sum()
    (True, np.int64(3))
    """
    best, sure = chance.argmax(axis=1), chance.max(axis=1)
    kept = []
    for code in np.unique(best):
        cells = np.flatnonzero(best == code)
        order = np.argsort(-sure[cells], kind="stable")
        kept.append(cells[order[: max(FEWEST, int(len(cells) * SHARE))]])
    rows = np.sort(np.concatenate(kept))
    return rows, best[rows]


def places(features: Features, axes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cells on axes, as vectors of length 1; an empty cell is 0."""
    found = np.asarray(features @ axes, np.float32)
    length = np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
    return np.asarray(found / length, np.float32)


def neighbour_mean(
    cells: NDArray[np.float32], landmarks: NDArray[np.float32], values: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Mean of `values` over the landmarks nearest to each cell, in blocks of cells.

    There are as many neighbours as `neighbours_of` says for so many landmarks; for too few
    landmarks to have any, the mean is 0.

    Parameters
    ----------
    cells : float32, shape (n_cells, n_axes)
    landmarks : float32, shape (n_landmarks, n_axes)
    values : float32, shape (n_landmarks, n_values)
    """
    neighbours = neighbours_of(len(landmarks))
    if neighbours == 0:
        return np.zeros((len(cells), values.shape[1]), np.float32)
    index = NearestNeighbors(n_neighbors=neighbours).fit(landmarks)
    shared = np.empty((len(cells), values.shape[1]), np.float32)
    for start in range(0, len(cells), BLOCK):
        near = index.kneighbors(cells[start : start + BLOCK], return_distance=False)
        shared[start : start + BLOCK] = values[near].mean(axis=1)
    return shared


def mixed(
    first: NDArray[np.float32], second: NDArray[np.float32], weight: float
) -> NDArray[np.float32]:
    """Weighted mean of log-probabilities, normalised; `weight` is that of the second."""
    return np.asarray(log_softmax((1 - weight) * first + weight * second, axis=1), np.float32)


def as_sure_as(
    logs: NDArray[np.float32],
    model: NDArray[np.float32],
    judged: NDArray[np.int64] | slice = slice(None),
) -> NDArray[np.float32]:
    """The logs at the temperature of `temperature_of`, normalised, float32, same shape.

    Parameters
    ----------
    logs, model : float32, shape (n_cells, n_types)
    judged : int64, shape (n,), optional
        Rows by which the temperature is found; all by default.
    """
    by = np.float32(temperature_of(logs[judged], model[judged]))
    return np.asarray(log_softmax(logs / by, axis=1))


def temperature_of(logs: NDArray[np.float32], model: NDArray[np.float32]) -> float:
    """Temperature at which the mean confidence of `logs` is that of `model`, in [0.02, 5000].

    Parameters
    ----------
    logs, model : float32, shape (n_cells, n_types)
        Log-probabilities, up to a constant a row.
    """
    want = float(softmax(model, axis=1).max(axis=1).mean(dtype=np.float64))
    low, high = 0.02, 5000.0
    for _ in range(40):
        middle = float(np.sqrt(low * high))
        sure = float(softmax(logs / middle, axis=1).max(axis=1).mean(dtype=np.float64))
        low, high = (middle, high) if sure > want else (low, middle)
    return float(np.sqrt(low * high))


def stacked(first: Features, second: Features) -> Features:
    """Rows of both, sparse if both are."""
    if sp.issparse(first) and sp.issparse(second):
        return sp.csr_matrix(sp.vstack([first, second]))
    return np.concatenate([np.asarray(first), np.asarray(second)])
