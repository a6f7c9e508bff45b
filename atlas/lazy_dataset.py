"""Rows of an atlas as an xarray data set that reads them when they are used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from peakatlas.engine.errors import MissingDependencyError

from .format.groups import STATE_ATTRIBUTES

try:
    import xarray as xr
    from xarray.backends import BackendArray
    from xarray.core import indexing
except ImportError as error:
    raise MissingDependencyError(
        f"to_xarray needs xarray ({error}): pip install 'peakatlas[xarray]'."
    ) from error

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from .search.targets import AtlasRows


@dataclass(frozen=True, eq=False)
class _Rows(BackendArray):
    """An array over the rows of an atlas, read by rows."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read: Callable[[NDArray[np.int64]], NDArray[Any]]

    def __getitem__(self, key: indexing.ExplicitIndexer) -> NDArray[Any]:
        found: NDArray[Any] = indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._take
        )
        return found

    def _take(self, key: tuple[Any, ...]) -> NDArray[Any]:
        rows = np.arange(self.shape[0])[key[0]]
        values = self.read(np.atleast_1d(rows))[(slice(None), *key[1:])]
        return values if np.ndim(rows) else values[0]


def lazy_dataset(atlas: AtlasRows) -> xr.Dataset:
    """Data set of all rows; see `Atlas.to_xarray`."""
    table = atlas.intervals
    n, names = len(table), np.array(table.contigs)
    columns: dict[str, tuple[np.dtype[Any], Callable[[NDArray[np.int64]], NDArray[Any]]]] = {
        "chrom": (names.dtype, lambda rows: names[table.contig_ids[rows]]),
        "start": (np.dtype(np.int64), lambda rows: table.start[rows]),
        "end": (np.dtype(np.int64), lambda rows: table.end[rows]),
        "state": (np.dtype(np.uint8), lambda rows: atlas.state[rows]),
        "n_fraction": (np.dtype(np.float32), lambda rows: atlas.n_fraction[rows]),
    }
    coordinates = {
        name: xr.Variable("row", _lazy(_Rows((n,), dtype, read)))
        for name, (dtype, read) in columns.items()
    }
    coordinates["state"].attrs = dict(STATE_ATTRIBUTES)
    values = _Rows((n, atlas.dim), np.dtype(np.float32), atlas.gather)
    origin = atlas.provenance
    return xr.Dataset(
        {"embedding": xr.Variable(("row", "dim"), _lazy(values))},
        coords=coordinates,
        attrs={"spec": origin["spec"], "model": origin["model"]},
    )


def _lazy(rows: _Rows) -> indexing.LazilyIndexedArray:
    return indexing.LazilyIndexedArray(rows)
