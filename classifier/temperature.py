"""How sure log-probabilities are made to be, by the depth of a cell."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_CELLS = 20_000
LOWEST, HIGHEST = 0.05, 20.0


@dataclass(frozen=True, kw_only=True)
class Temperature:
    """What divides log-probabilities: a power of a cell's depth.

    Shallow cells are not only told less well, they are told with more conviction than they deserve;
    one temperature for all depths cannot undo that.
    """

    level: float
    """Natural logarithm of the temperature at 1 count."""
    slope: float = 0.0
    """What it changes by for ten times the counts."""
    shallow: float = 0.0
    """log10 of the least depth that it was fitted at; shallower cells are treated as this one."""
    deep: float = 0.0
    """log10 of the greatest."""

    @classmethod
    def fit(
        cls, logs: NDArray[np.float32], types: NDArray[np.int64], depth: NDArray[np.float32]
    ) -> Temperature:
        """The temperature that makes held-out log-probabilities most likely.

        Parameters
        ----------
        logs : float32, shape (n_cells, n_types)
            Log-probabilities at temperature 1; of more than 20,000 cells, every so many are read.
        types : int64, shape (n_cells,)
        depth : float32, shape (n_cells,)
            Counts.

        References
        ----------
        Guo et al. (2017), On Calibration of Modern Neural Networks, section 4.2: one temperature.
        That it depends on depth is ours.
        """
        step = max(1, -(-len(types) // MOST_CELLS))
        logs, types, log_depth = logs[::step], types[::step], _log10(depth)[::step]
        cells, middle = np.arange(len(types)), float(np.median(log_depth))

        def loss(at: NDArray[np.float64]) -> float:
            by = _bounded(np.exp(at[0] + at[1] * (log_depth - middle)))
            scaled = log_softmax(logs / by[:, None], axis=1)
            # Nothing but a trace of a penalty, so that cells of one depth have a slope of 0.
            return float(-scaled[cells, types].mean(dtype=np.float64) + 1e-5 * at[1] ** 2)

        found = minimize(loss, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-3}).x
        shallow, deep = np.quantile(log_depth, (0.005, 0.995))
        return cls(
            level=float(found[0] - found[1] * middle),
            slope=float(found[1]),
            shallow=float(shallow),
            deep=float(deep),
        )

    def of(self, depth: NDArray[np.float32]) -> NDArray[np.float32]:
        """Temperature of each cell, in [0.05, 20], float32, shape (n_cells,).

        Parameters
        ----------
        depth : float32, shape (n_cells,)
            Counts.
        """
        log_depth = np.clip(_log10(depth), self.shallow, self.deep)
        return _bounded(np.exp(self.level + self.slope * log_depth)).astype(np.float32)

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON types."""
        return asdict(self)


def _log10(depth: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.log10(np.maximum(depth, 1).astype(np.float64))


def _bounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.clip(values, LOWEST, HIGHEST)
