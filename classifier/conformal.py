"""Sets of types that hold a cell's own with a stated error rate, type by type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Limits = NDArray[np.float32]

STEPS = 1000
GREATEST = 0.5
LEVELS = np.arange(int(STEPS * GREATEST) + 1) / STEPS
"""Error rates for which limits are kept."""
DEPTHS = 3
FEWEST_A_DEPTH = 100


@dataclass(frozen=True, eq=False)
class Conformal:
    """Least probability at which a type belongs to a cell's set, by depth, type and error rate.

    The set of a cell is every type whose calibrated probability is among those that all but a share
    `alpha` of the held-out reference cells *of that type* and of like depth gave to it. Cells that
    are exchangeable with these have their own type in their set with a probability of at least
    1 - `alpha`, whatever the classifier is worth; sets grow instead. For cells of another donor or
    protocol it is no guarantee.

    Where a type has too few held-out cells of a depth (100) its cells of all depths serve; where
    there are fewer than ``1 / alpha - 1`` of these, no limit could be had from them, and the
    limit is that of all types together.

    Parameters
    ----------
    edges : float32, shape (n_depths - 1,)
        Bounds of the classes of depth, in log10 counts.
    limits : float32, shape (n_depths, n_types, 501)
        For error rates of 0, 0.001, … 0.5.

    References
    ----------
    Vovk (2012), Conditional Validity of Inductive Conformal Predictors, arXiv:1209.2673
    (calibration within each label and category of objects).
    Sadinle, Lei & Wasserman (2019), Least Ambiguous Set-Valued Classifiers with Bounded Error
    Levels, arXiv:1609.00451 (limits on the probabilities give the smallest sets).
    """

    edges: Limits
    limits: Limits

    @classmethod
    def fit(
        cls,
        probabilities: NDArray[np.float32],
        types: NDArray[np.int64],
        depth: NDArray[np.float32],
    ) -> Conformal:
        """Fit on held-out reference cells.

        Parameters
        ----------
        probabilities : float32, shape (n_cells, n_types)
            Calibrated, by models that did not see the cell.
        types : int64, shape (n_cells,)
        depth : float32, shape (n_cells,)
            Counts.
        """
        own = probabilities[np.arange(len(types)), types]
        edges = np.quantile(_log10(depth), np.arange(1, DEPTHS) / DEPTHS).astype(np.float32)
        place = _place(edges, depth)
        pooled = np.stack([order_limits(own[place == d]) for d in range(DEPTHS)])
        limits = np.empty((DEPTHS, probabilities.shape[1], len(LEVELS)), np.float32)
        for code in range(probabilities.shape[1]):
            cells = types == code
            every = order_limits(own[cells])
            for d in range(DEPTHS):
                here = cells & (place == d)
                enough = here.sum() >= FEWEST_A_DEPTH
                found = order_limits(own[here]) if enough else every
                limits[d, code] = np.where(np.isnan(found), pooled[d], found)
        return cls(edges, np.nan_to_num(limits, nan=0.0))

    def sets(
        self, probabilities: NDArray[np.float32], depth: NDArray[np.float32], alpha: float
    ) -> NDArray[np.bool_]:
        """Which types each cell may be of, bool, shape (n_cells, n_types).

        Parameters
        ----------
        probabilities : float32, shape (n_cells, n_types)
        depth : float32, shape (n_cells,)
            Counts.
        alpha : float
            Error rate, from 0.001 to 0.5.

        Raises
        ------
        ValueError
            If `alpha` is out of range.
        """
        limits = self.limits[:, :, int(check_alpha(alpha) * STEPS + 1e-9)]
        return np.asarray(probabilities >= limits[_place(self.edges, depth)])

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays that make it up, by name."""
        return {"edges": self.edges, "limits": self.limits}

    @classmethod
    def restore(cls, arrays: Mapping[str, NDArray[Any]]) -> Conformal:
        """Inverse of `arrays`."""
        return cls(arrays["edges"], arrays["limits"])


def check_alpha(alpha: float) -> float:
    """The error rate, if there are limits for it.

    Raises
    ------
    ValueError
        If it is not from 0.001 to 0.5.
    """
    if not 1 / STEPS <= alpha <= GREATEST:
        raise ValueError(f"alpha must lie in [{1 / STEPS}, {GREATEST}], not {alpha}")
    return alpha


def order_limits(own: NDArray[np.float32]) -> Limits:
    """Limit for each of `LEVELS`: the ``floor(alpha * (n + 1))``-th least of `n` probabilities.

    NaN where that is the 0th, which would let every cell in.

    Parameters
    ----------
    own : float32, shape (n,)
        What held-out cells of one type gave to their own type.

    Examples
    --------
    >>> limits = order_limits(np.arange(1, 20, dtype=np.float32) / 20)
    >>> [float(limits[round(alpha * 1000)]) for alpha in (0.04, 0.05, 0.1, 0.5)]
    [nan, 0.05000000074505806, 0.10000000149011612, 0.5]
    """
    place = np.floor(LEVELS * (len(own) + 1) + 1e-9).astype(np.int64)
    ordered = np.concatenate([[np.nan], np.sort(own)]).astype(np.float32)
    return ordered[np.minimum(place, len(own))]


def _log10(depth: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.log10(np.maximum(depth, 1).astype(np.float64))


def _place(edges: Limits, depth: NDArray[np.float32]) -> NDArray[np.int64]:
    return np.searchsorted(edges, _log10(depth), side="right")
