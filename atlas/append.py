"""Add rows to a finished atlas; it stays readable, and row numbers stay as they are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import files
from .reader import Atlas
from .schema import EMBEDDED, MASKED
from .segment import Segment, lay_out, make_plan, segment_name
from .writer import CHUNK_ROWS, LOCK_NAME, SHARD_ROWS, AtlasWriter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from peakatlas.engine.embedder import PeakEmbeddings
    from peakatlas.engine.intervals import Intervals


def append_rows(
    path: str | Path,
    intervals: Intervals,
    embeddings: PeakEmbeddings,
    *,
    genome: Mapping[str, Any],
) -> Atlas:
    """Add rows as a new segment, listed in the manifest last.

    A crash leaves the atlas as it was; appending again then takes up what was written of the same
    rows and drops what was written of others. Several processes may append: one waits for the
    other, and rows that are there by then are left out.

    Parameters
    ----------
    path : str or Path
        A finished atlas.
    intervals : Intervals
        n new rows in genome order, without repeats.
    embeddings : PeakEmbeddings
        n embeddings under the spec of the atlas.
    genome : mapping
        Provenance of their sequence.

    Returns
    -------
    Atlas
        Opened with the new rows.

    Raises
    ------
    AtlasError
        If the rows are unsorted or repeated, a value does not fit, the atlas is not finished, or
        the disk refuses.
    """
    root = Path(path)
    with files.locked(root, LOCK_NAME, wait=True):
        atlas = Atlas.open(root)
        new = np.flatnonzero(atlas.lookup(intervals).row < 0)
        if not len(new):
            return atlas
        writer = _begin(root, atlas, intervals.take(new), genome)
        done = set(writer.done_shards())
        for shard in set(range(writer.n_shards)) - done:
            write_rows(writer, shard, embeddings, new[writer.shard_rows_of(shard)])
        writer.finalise()
    return Atlas.open(root)


def write_rows(
    writer: AtlasWriter, shard: int, embeddings: PeakEmbeddings, rows: NDArray[np.int64]
) -> None:
    """Write one shard from these rows of some embeddings.

    Raises
    ------
    ShardOwnershipError
        If another writer owns the shard, is writing it, or has written it.
    AtlasError
        If a value does not fit, or the disk refuses.
    """
    values = embeddings.values[rows]
    state = np.where(np.isnan(values).all(axis=1), MASKED, EMBEDDED)
    writer.write_shard(shard, values, embeddings.digests[rows], embeddings.n_fraction[rows], state)


def _begin(
    root: Path, atlas: Atlas, intervals: Intervals, genome: Mapping[str, Any]
) -> AtlasWriter:
    plan = make_plan(
        intervals,
        atlas.spec,
        shard_rows=SHARD_ROWS,
        chunk_rows=CHUNK_ROWS,
        provenance={"genome": genome, "model": atlas.provenance["model"], "peaks": {}},
    )
    segment = Segment(root, segment_name(len(atlas.provenance["segments"])))
    if segment.folder.exists() and segment.plan != plan:
        files.remove_folder(segment.folder)
    if not segment.folder.exists():
        lay_out(root, segment.name, intervals, plan)
    return AtlasWriter(Segment(root, segment.name))
