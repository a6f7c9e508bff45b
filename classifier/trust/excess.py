"""Whether more cells of a query are open than limits set on held-out cells explain."""

from __future__ import annotations

from scipy.stats import betabinom

CHANCE = 0.001
"""How rarely a query like the held-out cells gives rise to an alert."""


def exceeds(n: int, n_cells: int, share: float, n_held: int, *, times: float = 2) -> bool:
    """Whether the number of cells is clearly above the expected one.

    It is if it exceeds the expected one several times, and if so many would be seen in fewer than
    one of 1,000 queries whose cells are like the held-out ones. A share of `n_held` cells is itself
    known so well only: the number of `n_cells` new ones that it predicts is beta-binomial.

    Parameters
    ----------
    n : int
        Cells that were seen.
    n_cells : int
        Cells of the query.
    share : float
        Share of the held-out cells of which the same is true, in [0, 1).
    n_held : int
        Held-out cells.
    times : float
        How often the expected number is exceeded; from 2 on, most of the cells are beyond it.

    Examples
    --------
    >>> exceeds(59, 400, 0.01, 600), exceeds(7, 400, 0.01, 600)
    (True, False)
    """
    if n <= times * share * n_cells:
        return False
    seen = share * n_held
    return bool(betabinom.sf(n - 1, n_cells, seen + 1, n_held - seen + 1) < CHANCE)
