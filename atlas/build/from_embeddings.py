"""An atlas of vectors that were made elsewhere."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from peakatlas.atlas.atlas import Atlas
from peakatlas.atlas.format.digests import DIGEST_BYTES
from peakatlas.atlas.format.ordering import sorted_unique
from peakatlas.atlas.format.schema import EMBEDDED, MASKED, SHOWN
from peakatlas.atlas.format.shard_rows import ShardRows
from peakatlas.engine.errors import AtlasError
from peakatlas.engine.intervals.table import as_intervals
from peakatlas.engine.spec import UNKNOWN_WINDOW, EmbeddingSpec

from .writer import AtlasWriter, default_shard_rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

    from peakatlas.engine.intervals.table import IntervalTable

_LOCK_NAME = "from-embeddings"
_ROWS_AT_ONCE = 1 << 14


def write_embeddings(
    out: str | Path,
    intervals: IntervalTable,
    values: ArrayLike,
    spec: EmbeddingSpec | str,
    *,
    model: Mapping[str, Any] | None = None,
    genome: Mapping[str, Any] | None = None,
) -> Atlas:
    """Write vectors as an atlas; see `Atlas.from_embeddings`.

    Raises
    ------
    IntervalError, AtlasError
        As `Atlas.from_embeddings`.
    """
    given = as_intervals(intervals)
    vectors = _checked(values, len(given))
    table, became = sorted_unique(given, given.contigs)
    if len(table) < len(given):
        shown = ", ".join(given.take(np.flatnonzero(given.duplicated())[:SHOWN]).names())
        raise AtlasError(
            f"{len(given) - len(table)} interval(s) are repeated ({shown}), and an atlas has one "
            "vector for each. Leave the repeats out."
        )
    rows = np.argsort(became)
    found = _spec_of(spec, vectors, rows) if isinstance(spec, str) else spec
    writer = AtlasWriter.create(
        out,
        table,
        found,
        genome=genome or {},
        model={"name": found.model, **(model or {})},
        shard_rows=default_shard_rows(len(table)),
    )
    with writer.storage.locked(_LOCK_NAME):
        writer.write_shards(
            writer.segment.missing_shards(),
            lambda shard: _rows_of(vectors[rows[writer.shard_rows_of(shard)]]),
        )
        writer.finalise()
    return Atlas.open(out)


def _checked(values: ArrayLike, n_rows: int) -> NDArray[Any]:
    vectors = np.asanyarray(values)
    if vectors.ndim != 2 or len(vectors) != n_rows or vectors.dtype.kind not in "fiu":
        raise AtlasError(
            f"values are {vectors.dtype} of shape {vectors.shape}; they must be numbers, a row for "
            f"each of the {n_rows} intervals."
        )
    return vectors


def _spec_of(name: str, vectors: NDArray[Any], rows: NDArray[np.int64]) -> EmbeddingSpec:
    """Spec of vectors of which nothing is known but a name: their own digest is the identity."""
    digest = hashlib.sha256()
    for low in range(0, len(rows), _ROWS_AT_ONCE):
        digest.update(_halves(vectors[rows[low : low + _ROWS_AT_ONCE]]).tobytes())
    return EmbeddingSpec(
        model=name,
        weights_sha256=digest.hexdigest(),
        tokenizer_sha256="",
        dim=vectors.shape[1],
        window=UNKNOWN_WINDOW,
    )


def _halves(vectors: NDArray[Any]) -> NDArray[np.float16]:
    with np.errstate(over="ignore"):  # what does not fit is refused, by its row, when it is written
        return np.ascontiguousarray(vectors, np.dtype("<f2"))


def _rows_of(vectors: NDArray[Any]) -> ShardRows:
    n, masked = len(vectors), np.isnan(vectors).all(axis=1)
    return ShardRows(
        values=vectors.astype(np.float32),
        digests=np.zeros((n, DIGEST_BYTES), np.uint8),
        n_fraction=np.full(n, np.nan, np.float32),
        state=np.where(masked, MASKED, EMBEDDED).astype(np.uint8),
    )
