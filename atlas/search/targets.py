"""What look-ups, means, searches and exports read of an atlas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    from peakatlas.engine.intervals.overlap import CoordinateIndex
    from peakatlas.engine.intervals.table import Intervals

    from .faiss_tools import FaissIndex
    from .lookup import LookupResult


class JoinTarget(Protocol):
    """Rows, or some of them, that peaks can be joined with by overlap."""

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

    @property
    def coordinate_index(self) -> CoordinateIndex:
        """Overlap join over `intervals`."""
        ...


class AtlasRows(JoinTarget, Protocol):
    """All rows of an atlas, with their embeddings; see `Atlas` for what each gives."""

    dim: int

    def __len__(self) -> int: ...

    @property
    def n_fraction(self) -> NDArray[np.float32]: ...

    @property
    def provenance(self) -> dict[str, Any]: ...

    @property
    def centre(self) -> NDArray[np.float32]: ...

    def ivf_index(self) -> FaissIndex: ...

    def gather(self, rows: ArrayLike) -> NDArray[np.float32]: ...

    def lookup(self, peaks: Intervals) -> LookupResult: ...

    def to_frame(self, rows: ArrayLike | None = None) -> pd.DataFrame: ...
