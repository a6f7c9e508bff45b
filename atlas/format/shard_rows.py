"""What is stored of the rows of one shard, checked before it is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from peakatlas.engine.errors import AtlasError

from .int8 import NAN_CODE
from .row_states import wrong_rows
from .schema import EMBEDDED, SHOWN

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from .schema import Plan

_CHECKED_ROWS = 256


@dataclass(frozen=True, kw_only=True, eq=False)
class ShardRows:
    """What is stored of the n rows of one shard."""

    values: ArrayLike
    """Embeddings, float, shape (n, dim); NaN where `state` is masked."""
    digests: ArrayLike
    """Digest of each row's window sequence(s), uint8, shape (n, 16)."""
    n_fraction: ArrayLike
    """Share of N in it, float, shape (n,)."""
    state: ArrayLike
    """`schema.EMBEDDED` or `schema.MASKED`, uint8, shape (n,)."""


def stored_columns(plan: Plan, shard: int, rows: ShardRows) -> dict[str, NDArray[Any]]:
    """Columns of a shard as they are stored.

    Parameters
    ----------
    plan : Plan
    shard : int
    rows : ShardRows

    Returns
    -------
    dict of str to array
        One for each of ``plan.row_columns``.

    Raises
    ------
    AtlasError
        If a shape is wrong, or a row does not fit its state.
    """
    columns: dict[str, NDArray[Any]] = {
        plan.embedding_column: plan.encode(rows.values),
        "digest": np.ascontiguousarray(rows.digests, np.uint8),
        "n_fraction": np.ascontiguousarray(rows.n_fraction, np.float32),
        "state": np.ascontiguousarray(rows.state, np.uint8),
    }
    at = plan.shard_slice(shard)
    n = at.stop - at.start
    for name, column in columns.items():
        shape = (n, *plan.layouts[name].shape[1:])
        if column.shape != shape:
            raise AtlasError(f"shard {shard}: {name} has shape {column.shape}, it must be {shape}.")
    _check_values(columns[plan.embedding_column], columns["state"], at.start)
    return columns


def _check_values(embedding: NDArray[Any], state: NDArray[Any], first_row: int) -> None:
    # By blocks that stay in the processor's cache; the shard as a whole takes several times longer.
    blocks = [
        (at, embedding[at : at + _CHECKED_ROWS], state[at : at + _CHECKED_ROWS])
        for at in range(0, len(state), _CHECKED_ROWS)
    ]
    faults = [at + wrong_rows(*block) for at, *block in blocks if not _is_plain(*block)]
    wrong = np.concatenate([np.empty(0, np.int64), *faults])
    if len(wrong):
        rows = ", ".join(str(first_row + row) for row in wrong[:SHOWN])
        raise AtlasError(
            f"{len(wrong)} row(s) do not fit their state (rows {rows}): an embedded row is finite "
            "and below 65504 (float16), a masked row is all NaN, and no other state is written."
        )


def _is_plain(embedding: NDArray[Any], state: NDArray[Any]) -> bool:
    """Whether all rows are embedded and finite: the usual case, seen in a third of the time."""
    if (state != EMBEDDED).any():
        return False
    if embedding.dtype == np.int8:
        return bool((embedding != NAN_CODE).all())
    return bool((embedding.view(np.uint16) & 0x7FFF).max() < 0x7C00)
