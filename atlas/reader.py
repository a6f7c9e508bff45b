"""Read an atlas: its intervals, its rows, and lookups; needs no model and no torch."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from zarr.errors import ZarrUserWarning
from zarr.storage import LocalStore

from peakatlas.engine.errors import AtlasError
from peakatlas.engine.intervals import Intervals
from peakatlas.engine.spec import EmbeddingSpec

from .digest import DigestIndex
from .lookup import LookupResult, look_up
from .overlap import OverlapIndex
from .schema import ABSENT, EMBEDDED, INTERVAL_COLUMNS, ROW_COLUMNS, STATES
from .segment import Segment, read_manifest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Self

    from numpy.typing import ArrayLike, NDArray

_SHOWN = 5
