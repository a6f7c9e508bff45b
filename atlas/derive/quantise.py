"""An atlas in half the bytes: int8 embeddings, with what that costs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from peakatlas.atlas.format.int8 import Int8Code
from peakatlas.engine.errors import AtlasError

from .copy_rows import Parent, in_genome_order, picked, transfer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from peakatlas.atlas.atlas import Atlas

_BLOCK_ROWS = 16_384


@dataclass(frozen=True, kw_only=True)
class Quantised:
    """An atlas of int8 embeddings and its loss against the float16 one."""

    atlas: Atlas
    """The new atlas, open."""
    n_embedded: int
    """Rows that the loss was measured over: all that are not masked."""
    least_cosine: float
    """Least centred cosine of a row with itself before; 1 is no loss."""
    mean_cosine: float
    """Mean of that cosine."""


@dataclass(frozen=True, kw_only=True)
class _Range:
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    mean: NDArray[np.float64]
    n: int


def quantise_atlas(
    path: str | Path, out: str | Path, *, progress: Callable[[int], None] | None = None
) -> Quantised:
    """Write an atlas anew with int8 embeddings: one scale and one offset a dimension.

    The atlas is read three times: for the range of each dimension, to write, and to measure the
    loss. The same call again finishes one that was interrupted.

    Parameters
    ----------
    path : str or Path
        A finished atlas of float16 embeddings.
    out : str or Path
        Folder of the new atlas.
    progress : callable, optional
        Called with the number of rows written since its last call, perhaps from another thread.

    Returns
    -------
    Quantised

    Raises
    ------
    AtlasError
        If the embeddings are int8 already or all masked, `out` is something else, a file is
        damaged, or the disk refuses.
    """
    parent = Parent.open(path)
    if any(plan.int8 for plan in parent.plans):
        raise AtlasError(
            f"{parent.name} holds int8 embeddings already. Quantise the float16 atlas that it "
            "was made from."
        )
    extent = _extent(parent)
    code = Int8Code.covering(extent.low, extent.high)
    table, order = in_genome_order([parent])
    picks = picked(table, order)
    atlas = transfer(out, [parent], picks, by="quantise", int8=code, progress=progress)
    cosine = np.concatenate([_cosines(block, code, extent.mean) for block in _embedded(parent)])
    return Quantised(
        atlas=atlas,
        n_embedded=extent.n,
        least_cosine=float(cosine.min()),
        mean_cosine=float(cosine.mean()),
    )


def _embedded(parent: Parent) -> Iterator[NDArray[np.float32]]:
    """Embeddings of all rows that are not masked, block by block."""
    for segment in parent.segments:
        for first in range(0, segment.n_rows, _BLOCK_ROWS):
            rows = np.arange(first, min(first + _BLOCK_ROWS, segment.n_rows))
            values = segment.plan.decode(segment.column(segment.plan.embedding_column, rows))
            yield values[~np.isnan(values[:, 0])]


def _extent(parent: Parent) -> _Range:
    dim = parent.segments[0].plan.spec.dim
    low, high, total, n = np.full(dim, np.inf), np.full(dim, -np.inf), np.zeros(dim), 0
    for block in _embedded(parent):
        low = np.minimum(low, block.min(axis=0, initial=np.inf))
        high = np.maximum(high, block.max(axis=0, initial=-np.inf))
        total += block.sum(axis=0, dtype=np.float64)
        n += len(block)
    if not n:
        raise AtlasError(f"{parent.name} has masked rows only: there is nothing to quantise.")
    return _Range(low=low, high=high, mean=total / n, n=n)


def _cosines(
    values: NDArray[np.float32], code: Int8Code, centre: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Centred cosine of each row with its decoded codes; 1 for a row at the centre."""
    middle = centre.astype(np.float32)
    before, after = values - middle, code.decode(code.encode(values)) - middle
    dot = np.einsum("ij,ij->i", before, after, dtype=np.float64)
    norms = [np.einsum("ij,ij->i", part, part, dtype=np.float64) for part in (before, after)]
    size = np.sqrt(norms[0] * norms[1])
    return np.where(size > 0, dot / np.where(size > 0, size, 1), 1.0)
