"""Add rows to a finished atlas; it stays readable, and row numbers stay as they are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from peakatlas.atlas.atlas import Atlas
from peakatlas.atlas.format.schema import EMBEDDED, MASKED
from peakatlas.atlas.format.segment import make_plan
from peakatlas.atlas.format.shard_rows import ShardRows
from peakatlas.atlas.storage.locks import locked

from .compatibility import check_same_genome, check_same_spec
from .places import refuse_links
from .provenance import genome_provenance, hardware_provenance
from .writer import CHUNK_ROWS, LOCK_NAME, SHARD_ROWS, begin_after, default_shard_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from peakatlas.engine.embedder import Embedder
    from peakatlas.engine.embeddings import PeakEmbeddings
    from peakatlas.engine.intervals.table import Intervals

    from .inputs import Inputs
    from .writer import AtlasWriter


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
    other, and rows that are there by then are left out. Appended to an atlas of int8 embeddings
    they are float16, since its codes may not reach them.

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
    GenomeError
        If the genome is another build than that of a segment.
    AtlasError
        If the rows are unsorted or repeated, a value does not fit, the atlas is not finished, or
        the disk refuses.
    """

    def write(writer: AtlasWriter, shards: list[int], new: NDArray[np.int64]) -> None:
        writer.write_shards(
            shards, lambda shard: _rows_of(embeddings, new[writer.shard_rows_of(shard)])
        )

    return _append(Path(path), intervals, {"genome": genome, "peaks": {}}, SHARD_ROWS, write)


def append_peaks(
    path: str | Path,
    inputs: Inputs,
    embedder: Embedder,
    *,
    progress: Callable[[int], None] | None = None,
) -> Atlas:
    """Embed the peaks that an atlas does not have and add them as a new segment.

    Shards are embedded and written one by one: after a crash, the same call takes up what was
    written. The atlas stays locked against other appends meanwhile, and readable.

    Parameters
    ----------
    path : str or Path
        A finished atlas.
    inputs : Inputs
        Sequence and rows, see `inputs.read_inputs`.
    embedder : Embedder
        Of the spec of the atlas.
    progress : callable, optional
        Called with the number of peaks done since its last call; repeats and peaks that the atlas
        has count at once.

    Returns
    -------
    Atlas
        Opened with the new rows.

    Raises
    ------
    SpecMismatchError
        If the embedder is not that of the atlas; names the fields.
    GenomeError
        If the genome is another build than that of the atlas.
    AtlasError
        If the atlas is not finished, or the disk refuses.
    """
    root, rows, report = Path(path), inputs.rows, progress or (lambda _: None)
    genome = genome_provenance(inputs.source, rows.contigs)
    with Atlas.open(root) as atlas:
        check_same_spec(atlas.spec, embedder.spec, atlas.name)
        _check_genome(atlas, genome)

    def write(writer: AtlasWriter, shards: list[int], new: NDArray[np.int64]) -> None:
        at = [new[writer.shard_rows_of(shard)] for shard in shards]
        writer.made_with = hardware_provenance(embedder)
        report(inputs.n_repeats + len(rows) - sum(map(len, at)))
        for shard, block in zip(shards, at, strict=True):
            embeddings = embedder.embed(rows.take(block), inputs.source, progress=report)
            write_rows(writer, shard, embeddings)

    provenance = {"genome": genome, "peaks": inputs.peaks_provenance()}
    return _append(root, rows, provenance, default_shard_rows(len(rows)), write)


def write_rows(writer: AtlasWriter, shard: int, embeddings: PeakEmbeddings) -> None:
    """Write one shard of the embeddings of its rows.

    Raises
    ------
    ShardOwnershipError
        If another writer owns the shard, is writing it, or has written it.
    AtlasError
        If a value does not fit, or the disk refuses.
    """
    made = _rows_of(embeddings, slice(None))
    writer.write_shard(shard, made.values, made.digests, made.n_fraction, made.state)


def _rows_of(embeddings: PeakEmbeddings, rows: NDArray[np.int64] | slice) -> ShardRows:
    return ShardRows(
        values=embeddings.values[rows],
        digests=embeddings.digests[rows],
        n_fraction=embeddings.n_fraction[rows],
        state=np.where(embeddings.masked[rows], MASKED, EMBEDDED),
    )


def _append(
    root: Path,
    intervals: Intervals,
    provenance: Mapping[str, Mapping[str, Any]],
    shard_rows: int,
    write: Callable[[AtlasWriter, list[int], NDArray[np.int64]], None],
) -> Atlas:
    """Lay a segment out for the rows that are new, let its missing shards be written, list it."""
    refuse_links(root)
    with locked(root, LOCK_NAME, wait=True):
        atlas = Atlas.open(root)
        _check_genome(atlas, provenance["genome"])
        new = np.flatnonzero(atlas.lookup(intervals).row < 0)
        if not len(new):
            return atlas
        table = intervals.take(new)
        plan = make_plan(
            table,
            atlas.spec,
            shard_rows=shard_rows,
            chunk_rows=CHUNK_ROWS,
            provenance={**provenance, "model": atlas.provenance["model"]},
        )
        writer = begin_after(root, atlas.provenance["segments"][-1]["name"], table, plan)
        write(writer, writer.segment.missing_shards(), new)
        writer.finalise()
    return Atlas.open(root)


def _check_genome(atlas: Atlas, genome: Mapping[str, Any]) -> None:
    """Refuse another build than that of any segment: a contig may be in a later one only."""
    for theirs in atlas.genomes:
        check_same_genome(theirs, genome, atlas.name)
