"""How strange a cell is to the reference, apart from how shallow it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.neighbors import NearestNeighbors

from .landmarks import landmark_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

NEIGHBOURS = (0, 5, 15)
NOVELTY_NEIGHBOURS = (0, 5, 15, 30)
CELLS_A_NEIGHBOUR = 20
DEPTHS = 5
FEWEST_A_DEPTH = 50


@dataclass(frozen=True, eq=False)
class Usual:
    """What held-out reference cells of a depth usually score.

    Parameters
    ----------
    edges : float32, shape (n_depths - 1,)
        Bounds of the classes of depth, in log10 counts.
    middle, spread : float32, shape (n_depths,)
        Median of the score, and from there to what 84 % of cells stay below: a standard deviation
        if the score were normal.
    """

    edges: NDArray[np.float32]
    middle: NDArray[np.float32]
    spread: NDArray[np.float32]

    @classmethod
    def fit(cls, scores: NDArray[np.float32], depth: NDArray[np.float32]) -> Usual:
        """Fit on held-out reference cells; five classes of depth, of 50 cells or more each.

        Parameters
        ----------
        scores, depth : float32, shape (n_cells,)
            Depth in counts.
        """
        log_depth = np.log10(np.maximum(depth, 1))
        n_depths = max(1, min(DEPTHS, len(scores) // FEWEST_A_DEPTH))
        edges = np.quantile(log_depth, np.arange(1, n_depths) / n_depths).astype(np.float32)
        place = np.searchsorted(edges, log_depth)
        here = [scores[place == d] if (place == d).any() else scores for d in range(n_depths)]
        levels = np.asarray([np.quantile(part, (0.5, 0.8413)) for part in here], np.float32)
        return cls(edges, levels[:, 0], np.maximum(levels[:, 1] - levels[:, 0], np.float32(1e-6)))

    @classmethod
    def silent(cls) -> Usual:
        """Nothing is unusual: for a score that could not be had."""
        zero = np.zeros(1, np.float32)
        return cls(zero[:0], zero, zero + np.inf)

    def __call__(
        self, scores: NDArray[np.float32], depth: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """By how many spreads each score lies above the median of its depth.

        Parameters
        ----------
        scores, depth : float32, shape (n_cells,)

        Returns
        -------
        float32, shape (n_cells,)
        """
        place = np.searchsorted(self.edges, np.log10(np.maximum(depth, 1)))
        return np.asarray((scores - self.middle[place]) / self.spread[place], np.float32)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays that make it up, by name."""
        return {"edges": self.edges, "middle": self.middle, "spread": self.spread}

    @classmethod
    def restore(cls, arrays: Mapping[str, NDArray[Any]]) -> Usual:
        """Inverse of `arrays`."""
        return cls(arrays["edges"], arrays["middle"], arrays["spread"])


def neighbours_of(n_cells: int, choices: tuple[int, ...] = NEIGHBOURS) -> int:
    """With how many neighbours a cell shares what is said of it in a set of this size.

    Parameters
    ----------
    n_cells : int
    choices : tuple of int
        Numbers to choose from, 0 among them; novelty is shared among ``NOVELTY_NEIGHBOURS``.

    Examples
    --------
    >>> [neighbours_of(n) for n in (50, 200, 10_000)]
    [0, 5, 15]
    >>> neighbours_of(10_000, NOVELTY_NEIGHBOURS)
    30
    """
    return max(k for k in choices if k * CELLS_A_NEIGHBOUR <= n_cells)


def smooth(
    values: NDArray[np.float32],
    cells: NDArray[np.float32],
    neighbours: int,
    among: NDArray[np.int64] | None = None,
) -> NDArray[np.float32]:
    """Mean over a cell and its nearest neighbours: strange cells of one type stand together.

    Parameters
    ----------
    values : float32, shape (n_cells,)
    cells : float32, shape (n_cells, dim)
        Embedding in which neighbours are sought, by angle.
    neighbours : int
        At most as many as there are other cells.
    among : int64, shape (n,), optional
        Ascending rows of the cells that may be neighbours; all by default.
    """
    k = min(neighbours, len(cells) - 1)
    if k < 1:
        return values
    unit = cells / np.maximum(np.linalg.norm(cells, axis=1, keepdims=True), 1e-12)
    if among is not None and len(among) < len(cells):
        return landmark_mean(values, unit, among, k)
    near = NearestNeighbors(n_neighbors=k + 1).fit(unit).kneighbors(unit, return_distance=False)
    return np.asarray(values[near].mean(axis=1), np.float32)
