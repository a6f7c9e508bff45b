"""Look peaks up without reading all intervals: in the chunks where they may lie."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from peakatlas.engine.intervals.overlap import OverlapIndex
from peakatlas.engine.intervals.table import Intervals

from .lookup import LookupResult, look_up

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from peakatlas.atlas.format.open_segment import OpenSegment

MOST_SHARE = 0.25
"""Of the rows of an atlas: beyond, all intervals are read at once, and kept."""


@dataclass(frozen=True, kw_only=True, eq=False)
class NearRows:
    """Rows of an atlas among which are all that overlap some peaks; a target of look-ups."""

    name: str
    """Of the atlas, named in errors."""
    rows: NDArray[np.int64]
    """Rows of the atlas, ascending, shape (n,)."""
    intervals: Intervals
    """Interval of each."""
    states_of: Callable[[NDArray[np.int64]], NDArray[np.uint8]]
    """Reads the state of rows of the atlas."""

    @cached_property
    def state(self) -> NDArray[np.uint8]:
        """State of each row."""
        return self.states_of(self.rows)

    @cached_property
    def coordinate_index(self) -> OverlapIndex:
        """Overlap join over `intervals`."""
        return OverlapIndex(self.intervals)

    def look_up(self, peaks: Intervals, *, max_offset: int | None) -> LookupResult:
        """As `lookup.look_up` of the atlas; rows are those of the atlas."""
        found = look_up(self, peaks, max_offset=max_offset)
        rows = np.append(self.rows, -1)  # no row stays no row
        return replace(found, row=rows[found.row], overlap_row=rows[found.overlap_row])


def rows_near(
    segments: Sequence[OpenSegment], peaks: Intervals, limit: float
) -> tuple[NDArray[np.int64], Intervals] | None:
    """Rows of an atlas that may overlap peaks, and their intervals.

    Parameters
    ----------
    segments : sequence of OpenSegment
        All of the atlas.
    peaks : Intervals
    limit : float
        Most rows to read.

    Returns
    -------
    int64, shape (n,)
        Ascending.
    Intervals
        Of these rows, over the contigs of all segments.
        None in place of both if there are more rows than `limit`.

    Raises
    ------
    AtlasError
        If a file is absent or damaged.
    """
    inside = [segment.rows_near(peaks) for segment in segments]
    if sum(map(len, inside)) > limit:
        return None
    first = np.cumsum([0, *(segment.n_rows for segment in segments)])
    tables = [s.intervals_of(rows) for s, rows in zip(segments, inside, strict=True)]
    rows = [rows + at for rows, at in zip(inside, first, strict=False)]
    return np.concatenate(rows), Intervals.concatenate(tables)
