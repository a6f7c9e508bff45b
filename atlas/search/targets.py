"""What look-ups, means, searches and exports have in common: what they read of an atlas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from peakatlas.engine.intervals.overlap import CoordinateIndex
    from peakatlas.engine.intervals.table import Intervals


class RowsTarget(Protocol):
    """Rows of an atlas, and where they lie."""

    @property
    def name(self) -> str:
        """Path or URL, named in errors."""
        ...

    @property
    def intervals(self) -> Intervals:
        """Interval of each row."""
        ...

    @property
    def state(self) -> NDArray[np.uint8]:
        """State of each row, see `schema.STATES`."""
        ...


class JoinTarget(RowsTarget, Protocol):
    """Rows that peaks can be joined with by overlap."""

    @property
    def coordinate_index(self) -> CoordinateIndex:
        """Overlap join over `intervals`."""
        ...
