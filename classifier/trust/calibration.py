"""Confidence that means what it says: a temperature by depth, an offset for each type."""

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
OFFSET_BOUNDS = (-3.0, 3.0)
RIDGE = 1e-3
OFFSET_SPREAD = 0.3
"""Standard deviation of the normal prior of the offsets of types."""
MAX_STEPS = 200


@dataclass(frozen=True, kw_only=True, eq=False)
class Calibration:
    """Log-probabilities times ``exp(log_sharpness + slope (log depth - middle)) + offsets``.

    They are normalised. Offsets of types have a normal prior at 0, so that a type with few cells
    keeps what the others have.

    References
    ----------
    Guo et al. (2017), On Calibration of Modern Neural Networks, arXiv:1706.04599.
    """

    offsets: Floats
    """Shape (n_types,)."""
    log_sharpness: float = 0.0
    slope: float = 0.0
    middle: float = 0.0
    converged: bool = True

    @classmethod
    def fit(cls, logs: Floats, codes: NDArray[np.int64], depth: Floats) -> Calibration:
        """Least negative log-likelihood of pseudo-queries under the priors, within bounds.

        Parameters
        ----------
        logs : float64, shape (n_cells, n_types)
        codes : int64, shape (n_cells,)
        depth : float64, shape (n_cells,)
            At least 1.
        """
        n_types = logs.shape[1]
        if len(codes) == 0:
            return cls(offsets=np.zeros(n_types), converged=False)
        middle = float(np.median(np.log(depth)))
        found = minimize(
            _loss,
            np.zeros(2 + n_types),
            args=(logs, codes, np.log(depth) - middle),
            jac=True,
            method="L-BFGS-B",
            bounds=[LOG_BOUNDS, SLOPE_BOUNDS, *[OFFSET_BOUNDS] * n_types],
            options={"maxiter": MAX_STEPS},
        )
        return cls(
            offsets=found.x[2:],
            log_sharpness=float(found.x[0]),
            slope=float(found.x[1]),
            middle=middle,
            converged=bool(found.success and np.isfinite(found.fun)),
        )

    def apply(self, logs: Floats, depth: Floats) -> Floats:
        """Calibrated log-probabilities, shape (n_cells, n_types)."""
        relative = np.log(depth) - self.middle
        factor = np.exp(np.clip(self.log_sharpness + self.slope * relative, -3, 3))
        return np.asarray(log_softmax(logs * factor[:, None] + self.offsets, axis=1))


def _loss(
    parameters: Floats, logs: Floats, codes: NDArray[np.int64], relative: Floats
) -> tuple[float, Floats]:
    """Mean negative log-likelihood with the priors' terms, and its gradient."""
    n, rows = len(codes), np.arange(len(codes))
    (sharpness, slope), offsets = parameters[:2], parameters[2:]
    scaled = logs * np.exp(sharpness + slope * relative)[:, None]
    found = log_softmax(scaled + offsets, axis=1)
    residual = np.exp(found)
    residual[rows, codes] -= 1
    by_cell = (residual * scaled).sum(axis=1) / n
    weight = np.full(len(parameters), 1 / (2 * n * OFFSET_SPREAD**2))
    weight[:2] = RIDGE
    gradient = np.concatenate([[by_cell.sum(), by_cell @ relative], residual.sum(axis=0) / n])
    value = -float(found[rows, codes].mean()) + float(weight @ parameters**2)
    return value, gradient + 2 * weight * parameters


def calibration_error(
    confidence: NDArray[np.float64], right: NDArray[np.bool_], *, n_bins: int = 15
) -> float:
    """Mean gap of confidence and accuracy over equal-width bins, weighted by cells.

    Parameters
    ----------
    confidence : float64, shape (n_cells,)
        In [0, 1].
    right : bool, shape (n_cells,)
    n_bins : int

    References
    ----------
    Guo et al. (2017), On Calibration of Modern Neural Networks, section 2.
    """
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
