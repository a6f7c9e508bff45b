"""One pack, worked out on the host: all that the forward needs to know of where sequences lie.

It is made once, in the thread that prepares, so that no layer asks the device or the host for
anything more.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, kw_only=True)
class PackPlan:
    """Sequences one after the other, then filler rows that belong to none."""

    ids: Tensor
    """Token ids, int32, shape (n_rows,); 0 in filler."""
    position: Tensor
    """Place of each token in its sequence, from 0, int64, shape (n_rows,); 0 in filler."""
    real: Tensor
    """Whether a token counts in a mean, bool, shape (n_rows,); False in filler."""
    bounds: Tensor
    """First row of each sequence and the row past the last, int32, shape (n + 1,)."""
    grid: Tensor | None
    """Row of each token when sequences are padded to the longest, int64, shape (n, longest); the
    first row of the sequence past its end. None unless asked for."""
    place: Tensor | None
    """Index into the flattened `grid` of each row, int64, shape (n_rows,). None with `grid`."""
    inside: Tensor | None
    """Whether a place of `grid` is not past its sequence's end, bool, shape (n, longest). None
    with `grid`, and where all sequences are equally long."""
    groups: tuple[tuple[int, int], ...]
    """Number of sequences and their length in tokens, for each run of equal lengths."""
    owner: NDArray[np.int64]
    """Row of each sequence in the caller's table, shape (n,)."""

    @property
    def n_tokens(self) -> int:
        """Rows that hold tokens."""
        return sum(n * length for n, length in self.groups)

    @property
    def longest(self) -> int:
        """Tokens of the longest sequence."""
        return max((length for _, length in self.groups), default=0)

    def map(self, change: Callable[[Tensor], Tensor]) -> PackPlan:
        """The same plan with every tensor changed: pinned, or moved to a device."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        changed: dict[str, Any] = {
            name: change(value) for name, value in values.items() if isinstance(value, Tensor)
        }
        return replace(self, **changed)


def make_plan(
    ids: ArrayLike,
    lengths: ArrayLike,
    *,
    real: ArrayLike | None = None,
    owner: NDArray[np.int64] | None = None,
    n_rows: int | None = None,
    padded: bool = False,
) -> PackPlan:
    """Work a pack out, on the host.

    Parameters
    ----------
    ids : int, shape (n_tokens,)
        Tokens of the sequences one after the other.
    lengths : int, shape (n,)
        Tokens of each sequence.
    real : bool, shape (n_tokens,), optional
        Tokens that count in a mean; all if not given.
    owner : int64, shape (n,), optional
        Row of each sequence in the caller's table; 0 to n - 1 if not given.
    n_rows : int, optional
        Rows with filler; none of it if not given.
    padded : bool
        Whether to make `PackPlan.grid` and `PackPlan.place`.

    Examples
    --------
    >>> plan = make_plan([7, 8, 9], [2, 1], n_rows=4)
    >>> plan.position.tolist(), plan.bounds.tolist(), plan.groups, plan.longest
    ([0, 1, 0, 0], [0, 2, 3], ((1, 2), (1, 1)), 2)
    """
    counts = np.asarray(lengths, np.int64)
    bounds = np.concatenate([[0], np.cumsum(counts)])
    filler = (n_rows or int(bounds[-1])) - int(bounds[-1])
    position = np.arange(bounds[-1]) - np.repeat(bounds[:-1], counts)
    known = np.ones(bounds[-1], np.bool_) if real is None else np.asarray(real, np.bool_)
    grid, place, inside = _grid(bounds, counts, position, filler) if padded else (None,) * 3
    return PackPlan(
        ids=_filled(np.asarray(ids, np.int32), filler),
        position=_filled(position, filler),
        real=_filled(known, filler),
        bounds=torch.from_numpy(bounds.astype(np.int32)),
        grid=grid,
        place=place,
        inside=inside,
        groups=group_lengths(counts.tolist()),
        owner=np.arange(len(counts)) if owner is None else owner,
    )


def group_lengths(lengths: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Runs of equal lengths as (number of sequences, length in tokens).

    Examples
    --------
    >>> group_lengths([9, 9, 3])
    ((2, 9), (1, 3))
    """
    groups: list[tuple[int, int]] = []
    for length in lengths:
        if groups and groups[-1][1] == length:
            groups[-1] = (groups[-1][0] + 1, length)
        else:
            groups.append((1, length))
    return tuple(groups)


def _filled(values: NDArray[np.generic], filler: int) -> Tensor:
    out = np.zeros(len(values) + filler, values.dtype)
    out[: len(values)] = values
    return torch.from_numpy(out)


def _grid(
    bounds: NDArray[np.int64], counts: NDArray[np.int64], position: NDArray[np.int64], filler: int
) -> tuple[Tensor, Tensor, Tensor | None]:
    longest = int(counts.max(initial=1))
    step = np.arange(longest)
    inside = step < counts[:, None]
    grid = bounds[:-1, None] + np.where(inside, step, 0)
    place = np.repeat(np.arange(len(counts)) * longest, counts) + position
    mask = None if inside.all() else torch.from_numpy(inside)
    return torch.from_numpy(grid), _filled(place, filler), mask
