"""Sets of types that hold a cell's own with a stated error rate, type by type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from peakatlas.classifier.models.protocol import Floats

STEPS = 1000
GREATEST = 0.5
LEVELS = np.arange(int(STEPS * GREATEST) + 1) / STEPS
"""Error rates for which limits are kept."""


@dataclass(frozen=True, eq=False)
class ConformalSets:
    """Least probability at which a type belongs to a cell's set, by type and error rate.

    The set of a cell is every type whose probability is among those that all but a share `alpha`
    of the pseudo-queries' cells *of that type* gave to it. Cells that are exchangeable with these
    have their own type in their set with a probability of at least 1 - `alpha`; sets grow instead.
    For cells of another donor or protocol it is no guarantee.

    A type with fewer than ``1 / alpha - 1`` pseudo-query cells has the limit of all types.

    Parameters
    ----------
    limits : float32, shape (n_types, 501)
        For error rates of 0, 0.001, … 0.5.

    References
    ----------
    Vovk (2012), Conditional Validity of Inductive Conformal Predictors, arXiv:1209.2673.
    Sadinle, Lei & Wasserman (2019), Least Ambiguous Set-Valued Classifiers with Bounded Error
    Levels, arXiv:1609.00451.
    """

    limits: NDArray[np.float32]

    @classmethod
    def fit(cls, logs: Floats, codes: NDArray[np.int64]) -> ConformalSets:
        """From pseudo-queries.

        Parameters
        ----------
        logs : float64, shape (n_cells, n_types)
            Log-probabilities by members that did not see the cell.
        codes : int64, shape (n_cells,)
        """
        own = logs[np.arange(len(codes)), codes]
        pooled = order_limits(own)
        limits = np.empty((logs.shape[1], len(LEVELS)), np.float32)
        for code in range(logs.shape[1]):
            found = order_limits(own[codes == code])
            limits[code] = np.where(np.isnan(found), pooled, found)
        return cls(np.nan_to_num(limits, nan=-np.inf))

    def sets(self, logs: Floats | NDArray[np.float32], alpha: float) -> NDArray[np.bool_]:
        """Which types each cell may be of, bool, shape (n_cells, n_types).

        Raises
        ------
        ValueError
            If `alpha` is not from 0.001 to 0.5.
        """
        limits = self.limits[:, int(check_alpha(alpha) * STEPS + 1e-9)]
        return np.asarray(logs.astype(np.float32) >= limits)


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


def order_limits(own: Floats) -> NDArray[np.float32]:
    """Limit for each of `LEVELS`: the ``floor(alpha * (n + 1))``-th least of `n` values.

    NaN where that is the 0th, which would let every cell in.

    Examples
    --------
    >>> limits = order_limits(np.arange(1, 20) / 20)
    >>> [float(limits[round(alpha * 1000)]) for alpha in (0.04, 0.05, 0.1, 0.5)]
    [nan, 0.05000000074505806, 0.10000000149011612, 0.5]
    """
    place = np.floor(LEVELS * (len(own) + 1) + 1e-9).astype(np.int64)
    ordered = np.concatenate([[np.nan], np.sort(own)]).astype(np.float32)
    return np.asarray(ordered[np.minimum(place, len(own))])
