"""The stack: one log-linear mixture of members, its sharpness a function of depth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from peakatlas.classifier.models.protocol import Floats

RARE_POWER = -0.75
"""A type of share f has weight f to this power in the loss: between cells and types."""
SCALES = np.exp(np.linspace(-4, 2, 13))
WEIGHT_BOUNDS = (-6.0, 4.0)
SLOPE_BOUNDS = (-1.5, 1.5)
SHARPNESS_BOUND = 2.0
MAX_STEPS = 300


@dataclass(frozen=True, eq=False)
class Stack:
    """Log-probabilities are ``sum_m a_m z_m * exp(b (log depth - mid))``, normalised.

    They are at equal shares of the types. z_m is a member's log-scores less their mean over types,
    a_m > 0.
    """

    weights: dict[str, float]
    slope: float
    middle: float
    converged: bool

    @classmethod
    def fit(
        cls,
        scores: Mapping[str, Floats],
        codes: NDArray[np.int64],
        depth: Floats,
        composition: Floats,
        *,
        ridge: float,
        prior: Mapping[str, float] | None = None,
    ) -> Stack:
        """Weights and slope of the least weighted negative log-likelihood on pseudo-queries.

        Parameters
        ----------
        scores : mapping of name to float64, shape (n_cells, n_types)
        codes : int64, shape (n_cells,)
            Types of the cells.
        depth : float64, shape (n_cells,)
            Open peaks, at least 1.
        composition : float64, shape (n_types,)
            Shares of the types in the reference, positive.
        ridge : float
            Pull of the log weights towards their prior, 0 unless `prior` says otherwise. At 0 each
            member is at the sharpness that is best for it alone over the number of members.
        prior : mapping of name to float, optional
        """
        problem = _Problem(list(scores.values()), codes, depth, composition)
        n = len(scores)
        problem.ridge = ridge
        problem.prior = np.array([(prior or {}).get(name, 0.0) for name in scores] + [0.0])
        found = minimize(
            problem.loss,
            problem.prior,
            jac=True,
            method="L-BFGS-B",
            bounds=[WEIGHT_BOUNDS] * n + [SLOPE_BOUNDS],
            options={"maxiter": MAX_STEPS},
        )
        values = np.exp(found.x[:n]) * problem.scale
        return cls(
            dict(zip(scores, values.tolist(), strict=True)),
            float(found.x[n]),
            problem.middle,
            bool(found.success),
        )

    def apply(self, scores: Mapping[str, Floats], depth: Floats) -> Floats:
        """Log-probabilities, shape (n_cells, n_types)."""
        mixed = sum(self.weights[name] * centred(scores[name]) for name in self.weights)
        sharpness = sharpened(self.slope, np.log(depth) - self.middle)
        return np.asarray(log_softmax(mixed * sharpness[:, None], axis=1))

    def contributions(self, scores: Mapping[str, Floats]) -> dict[str, float]:
        """Share of each member in the spread of the mixture; they sum to 1."""
        spread = {n: w * float(np.abs(centred(scores[n])).mean()) for n, w in self.weights.items()}
        total = sum(spread.values()) or 1.0
        return {name: value / total for name, value in spread.items()}


class _Problem:
    """Loss of the stack and its gradient."""

    def __init__(
        self,
        scores: list[Floats],
        codes: NDArray[np.int64],
        depth: Floats,
        composition: Floats,
    ) -> None:
        self.scores = [centred(each) for each in scores]
        self.codes, self.rows = codes, np.arange(len(codes))
        self.middle = float(np.median(np.log(depth)))
        self.relative = np.log(depth) - self.middle
        share = composition[codes] ** RARE_POWER
        self.importance = share / share.sum()
        self.ridge, self.prior = 0.0, np.zeros(len(scores) + 1)
        self.scale = np.array([self._best_scale(each) for each in self.scores]) / len(scores)

    def _best_scale(self, scores: Floats) -> float:
        """Sharpness at which one member alone has the least loss."""
        typical = max(float(np.percentile(np.abs(scores[self.rows, self.codes]), 75)), 1e-6)
        losses = [self._nll(scores * (factor / typical)) for factor in SCALES]
        return float(SCALES[int(np.argmin(losses))]) / typical

    def _nll(self, mixed: Floats) -> float:
        logs = log_softmax(mixed, axis=1)
        return -float((self.importance * logs[self.rows, self.codes]).sum())

    def loss(self, parameters: Floats) -> tuple[float, Floats]:
        """Weighted negative log-likelihood with a small ridge, and its gradient."""
        n = len(self.scores)
        weights, slope = np.exp(parameters[:n]) * self.scale, float(parameters[n])
        sharpness = sharpened(slope, self.relative)[:, None]
        mixed = sum(w * z for w, z in zip(weights, self.scores, strict=True)) * sharpness
        logs = log_softmax(mixed, axis=1)
        residual = np.exp(logs)
        residual[self.rows, self.codes] -= 1
        residual *= self.importance[:, None]
        scaled = residual * sharpness
        slopes = [w * float((scaled * z).sum()) for w, z in zip(weights, self.scores, strict=True)]
        inside = np.abs(slope * self.relative) < SHARPNESS_BOUND
        slopes.append(float((residual * mixed * (self.relative * inside)[:, None]).sum()))
        value = -float((self.importance * logs[self.rows, self.codes]).sum())
        off = parameters - self.prior
        value += self.ridge * float((off**2).sum())
        return value, np.array(slopes) + 2 * self.ridge * off


def centred(scores: Floats) -> Floats:
    """Scores less each cell's mean."""
    return np.asarray(scores - scores.mean(axis=1, keepdims=True))


def sharpened(slope: float, relative_log_depth: Floats) -> Floats:
    """Factor on the logits of a cell of that depth, shape (n_cells,)."""
    exponent = np.clip(slope * relative_log_depth, -SHARPNESS_BOUND, SHARPNESS_BOUND)
    return np.asarray(np.exp(exponent))
