"""Confidence that means what it says: one temperature, a function of depth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from peakatlas.classifier.models.protocol import Floats

LOG_BOUNDS = (-2.0, 2.0)
SLOPE_BOUNDS = (-1.0, 1.0)
RIDGE = 1e-3
MAX_STEPS = 200


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Log-probabilities times ``exp(log_sharpness + slope (log depth - middle))``, normalised.

    References
    ----------
    Guo et al. (2017), On Calibration of Modern Neural Networks, arXiv:1706.04599.
    """

    log_sharpness: float = 0.0
    slope: float = 0.0
    middle: float = 0.0
    converged: bool = True

    @classmethod
    def fit(cls, logs: Floats, codes: NDArray[np.int64], depth: Floats) -> Calibration:
        """Least negative log-likelihood of pseudo-queries, within bounds.

        Parameters
        ----------
        logs : float64, shape (n_cells, n_types)
        codes : int64, shape (n_cells,)
        depth : float64, shape (n_cells,)
            At least 1.
        """
        if len(codes) == 0:
            return cls(converged=False)
        middle = float(np.median(np.log(depth)))
        relative, rows = np.log(depth) - middle, np.arange(len(codes))

        def loss(parameters: Floats) -> tuple[float, Floats]:
            factor = np.exp(parameters[0] + parameters[1] * relative)[:, None]
            found = log_softmax(logs * factor, axis=1)
            residual = np.exp(found)
            residual[rows, codes] -= 1
            by_cell = (residual * logs * factor).sum(axis=1) / len(codes)
            gradient = np.array([by_cell.sum(), (by_cell * relative).sum()])
            value = -float(found[rows, codes].mean()) + RIDGE * float((parameters**2).sum())
            return value, gradient + 2 * RIDGE * parameters

        found = minimize(
            loss,
            np.zeros(2),
            jac=True,
            method="L-BFGS-B",
            bounds=[LOG_BOUNDS, SLOPE_BOUNDS],
            options={"maxiter": MAX_STEPS},
        )
        return cls(
            log_sharpness=float(found.x[0]),
            slope=float(found.x[1]),
            middle=middle,
            converged=bool(found.success and np.isfinite(found.fun)),
        )

    def apply(self, logs: Floats, depth: Floats) -> Floats:
        """Calibrated log-probabilities, shape (n_cells, n_types)."""
        relative = np.log(depth) - self.middle
        factor = np.exp(np.clip(self.log_sharpness + self.slope * relative, -3, 3))
        return np.asarray(log_softmax(logs * factor[:, None], axis=1))


def calibration_error(confidence: Floats, right: NDArray[np.bool_], *, n_bins: int = 15) -> float:
    """Mean gap of confidence and accuracy over equal-width bins, weighted by cells."""
    if len(confidence) == 0:
        return float("nan")
    bins = np.minimum((confidence * n_bins).astype(np.int64), n_bins - 1)
    gaps = np.bincount(bins, confidence - right, minlength=n_bins)
    return float(np.abs(gaps).sum() / len(confidence))


def calibration_error_by_type(
    confidence: Floats, best: NDArray[np.int64], codes: NDArray[np.int64]
) -> dict[int, float]:
    """`calibration_error` among the cells that were given each type."""
    return {
        int(code): calibration_error(confidence[best == code], (best == codes)[best == code])
        for code in np.unique(best)
    }
