"""Embed some rows of an atlas again and compare."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from peakatlas.atlas.format.schema import SHOWN

from .faults import Fault

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from peakatlas.engine.dna.genome import SequenceSource
    from peakatlas.engine.embedder import Embedder

    from .verify_rows import SegmentRows

LEAST_COSINE = 0.99
"""Least centred cosine of an embedding with itself computed elsewhere. Rounding on another device
stays above it; the same peak moved by 10 bp does not (0.988 with a barely trained model)."""
_CENTRE_ROWS = 1024


@dataclass(frozen=True, kw_only=True)
class Reembedded:
    """How embedding rows again came out."""

    rows: NDArray[np.int64]
    """Rows within the segment, shape (n,)."""
    equal: NDArray[np.bool_]
    """Whether a row came out the same to the bit, shape (n,)."""
    cosine: NDArray[np.float64]
    """Centred cosine with the stored row: 1 for two masked rows, -1 if only one is masked."""

    @property
    def wrong(self) -> NDArray[np.int64]:
        """Places of rows that are not what the model makes of their interval."""
        return np.flatnonzero(self.cosine < LEAST_COSINE)


def reembed_rows(
    segment: SegmentRows,
    rows: NDArray[np.int64],
    source: SequenceSource,
    embedder: Embedder,
) -> Reembedded:
    """Embed rows of a segment again, and compare with what is stored, as stored.

    Parameters
    ----------
    segment : SegmentRows
    rows : int64, shape (n,)
        Ascending.
    source : SequenceSource
        Genome, or FASTA of peaks.
    embedder : Embedder
        Of the atlas's spec.

    Returns
    -------
    Reembedded

    Raises
    ------
    AtlasError
        If a shard is damaged.
    ContigError, GenomeError
        If an interval is not in `source`.
    """
    name, decode = segment.plan.embedding_column, segment.plan.decode
    held = [segment.read(name, slice(row, row + 1)) for row in rows.tolist()]
    stored = np.concatenate([np.empty((0, segment.plan.spec.dim), segment.plan.dtype), *held])
    again = segment.plan.encode(embedder.embed(segment.intervals.take(rows), source).values)
    some = decode(segment.read(name, slice(0, min(_CENTRE_ROWS, segment.plan.n_rows))))
    known = some[~np.isnan(some).any(axis=1)]
    centre = known.mean(axis=0) if len(known) else np.zeros(some.shape[1], np.float32)
    return Reembedded(
        rows=rows,
        equal=(stored.view(np.uint8) == again.view(np.uint8)).all(axis=1),
        cosine=_cosine(decode(stored) - centre, decode(again) - centre),
    )


def mismatches(found: Reembedded, segment: SegmentRows, model: str) -> Iterator[Fault]:
    """A fault for each shard with rows that are not what the model makes of their interval."""
    wrong = found.wrong
    for shard in np.unique(found.rows[wrong] // segment.plan.shard_rows).tolist():
        inside = wrong[found.rows[wrong] // segment.plan.shard_rows == shard]
        few = inside[:SHOWN]
        names = segment.intervals.take(found.rows[few]).names()
        named = zip(names, found.cosine[few], strict=True)
        shown = ", ".join(f"{name} {cosine:.4f}" for name, cosine in named)
        file = segment.plan.shard_files(shard)[segment.plan.embedding_column]
        what = (
            f"{len(inside)} row(s) are not what {model} makes of their intervals "
            f"(centred cosine: {shown})"
        )
        yield Fault(file=f"{segment.name}/{file}", what=what, kind="model")


def _cosine(first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.float64]:
    a, b = first.astype(np.float64), second.astype(np.float64)
    masked = np.isnan(a).any(axis=1), np.isnan(b).any(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = (a * b).sum(axis=1) / np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    same = (first == second).all(axis=1) | (masked[0] & masked[1])
    return np.where(same, 1.0, np.where(np.isnan(cosine), -1.0, cosine))
