"""How strange the cells of one query are to the reference, apart from how shallow they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import scipy.sparse as sp

from .groups import Groups
from .novelty import NOVELTY_NEIGHBOURS, neighbours_of, smooth
from .type_shapes import contrasts, lengths

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .route import Calibration, Cells, Route

FEW_CELLS = 20


class Strange(NamedTuple):
    """What is known of each cell by itself; one row a cell."""

    score: NDArray[np.float32]
    """See `unusual`."""
    places: NDArray[np.float32]
    """Where neighbours are sought, shape (n_cells, n_axes)."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Strangeness:
    """How any cells of one query are judged, fixed by the cells that were drawn."""

    route: Route
    calibration: Calibration
    shift: NDArray[np.float32]
    """What is taken off the contrasts: a batch effect is not a new type."""
    groups: Groups | None
    """None for dense features, and for fewer than 50 cells."""

    @classmethod
    def fit(
        cls, route: Route, calibration: Calibration, drawn: Cells, *, seed: int = 0
    ) -> Strangeness:
        """Learn what is common to all cells of a query.

        Parameters
        ----------
        route : Route
        calibration : Calibration
            Of the route for these peaks.
        drawn : Cells
            Cells that stand for all.
        seed : int
            Of the groups.
        """
        said = _contrasts(route, drawn)
        groups = None
        if sp.issparse(drawn.features) and route.shares is not None:
            groups = Groups.fit(drawn.features, route.shares, seed=seed)
        shift = calibration.shapes.shift(said, drawn.depth)
        return cls(route=route, calibration=calibration, shift=shift, groups=groups)

    def of(self, cells: Cells, *, members: NDArray[np.bool_]) -> Strange:
        """Judge cells, each by itself.

        Parameters
        ----------
        cells : Cells
        members : bool, shape (n_cells,)
            Which of them were drawn.
        """
        said = _contrasts(self.route, cells) - self.shift
        distance = self.calibration.shapes.distance(said, cells.depth)
        if self.groups is None or not sp.issparse(cells.features):
            return Strange(unusual(self.calibration, distance, None, cells.depth), cells.embedding)
        places = self.groups.axes.places(cells.features)
        gain = self.groups.gain(cells.features, places, members)
        return Strange(unusual(self.calibration, distance, gain, cells.depth), places)


def unusual(
    calibration: Calibration,
    distance: NDArray[np.float32],
    gain: NDArray[np.float32] | None,
    depth: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Sum of how unusual distance and gain are for held-out reference cells of the same depth.

    Parameters
    ----------
    calibration : Calibration
    distance : float32, shape (n_cells,)
        Of `TypeShapes.distance`.
    gain : float32, shape (n_cells,), optional
        Of `Groups.gain`; None for cells without groups.
    depth : float32, shape (n_cells,)
        Counts.
    """
    far = calibration.far(distance, depth)
    return far if gain is None else far + calibration.better(gain, depth)


def novelty_of(
    strange: Strange, calibration: Calibration, drawn: NDArray[np.int64]
) -> NDArray[np.float32]:
    """How strange cells are, given their depth: 0 is usual, above 1 is novel.

    A score is shared with the nearest cells, for strange cells of one type stand together. What the
    whole query is stranger by, and by what factor its scores differ more than those of held-out
    reference cells, is taken off: another donor is no new type. Both are read off the cells between
    the 5th and the 25th percentile, so a new type may make up most of a query.

    Parameters
    ----------
    strange : Strange
    calibration : Calibration
    drawn : int64, shape (n,)
        Ascending rows of cells that stand for all: neighbours are sought there.

    Returns
    -------
    float32, shape (n_cells,)
    """
    neighbours = neighbours_of(len(strange.score), NOVELTY_NEIGHBOURS)
    shared = smooth(strange.score, strange.places, neighbours, drawn)
    low, quarter, middle, limit = calibration.usual_novelty[str(neighbours)]
    if len(shared) >= FEW_CELLS:
        here = np.quantile(shared, (0.05, 0.25))
        wider = max(1.0, float(here[1] - here[0]) / max(quarter - low, 1e-6))
        shared = (shared - here[1]) / wider + min(float(here[1]), quarter)
    return np.asarray((shared - middle) / max(limit - middle, 1e-6), np.float32)


def _contrasts(route: Route, cells: Cells) -> NDArray[np.float32]:
    return contrasts(route.judge.log_probabilities(cells.features), lengths(cells.features))
