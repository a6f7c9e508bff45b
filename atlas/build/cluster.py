"""Build an atlas by separate calls, such as the jobs of a cluster: init, write shards, finalise.

The calls meet only on the disk. The plan holds the rows, the spec and the model's provenance, so
that a job needs no more than the atlas, the genome and the numbers of its shards.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from peakatlas.atlas.atlas import Atlas
from peakatlas.atlas.format.columns import Column
from peakatlas.atlas.format.digests import intervals_digest
from peakatlas.atlas.format.layout import INTERVAL_COLUMNS
from peakatlas.atlas.format.shard_lists import shown_shards
from peakatlas.engine.dna.genome import open_genome
from peakatlas.engine.errors import AtlasError, ShardOwnershipError
from peakatlas.engine.intervals.table import Intervals
from peakatlas.engine.run.distributed import share_threads

from .compatibility import check_same_spec
from .inputs import read_inputs
from .local import begin_atlas, warned_if_empty, write_free_shards
from .model_of_atlas import own_embedder
from .provenance import genome_provenance
from .writer import LOCK_NAME, AtlasWriter, check_same_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from peakatlas.atlas.format.segment import Segment
    from peakatlas.engine.dna.genome import SequenceSource
    from peakatlas.engine.embedder import Embedder

    from .inputs import Peaks


def init_atlas(
    genome: str | Path | SequenceSource,
    peaks: Peaks,
    out: str | Path,
    embedder: Embedder,
    *,
    match_contigs: bool = False,
    shard_rows: int | None = None,
) -> AtlasWriter:
    """Lay an atlas out and write no shard; again, check that it is the same one.

    Parameters
    ----------
    genome, peaks, out, embedder, match_contigs, shard_rows
        As in `build_atlas`.

    Returns
    -------
    AtlasWriter
        Its `n_shards` are to be written.

    Raises
    ------
    PeakAtlasError
        As `build_atlas`.
    """
    inputs = read_inputs(genome, peaks, match_contigs=match_contigs)
    return begin_atlas(inputs, out, embedder, shard_rows=shard_rows)


def write_shards(
    out: str | Path,
    shards: Iterable[int],
    genome: str | Path | SequenceSource,
    embedder: Embedder,
    *,
    progress: Callable[[int], None] | None = None,
) -> list[int]:
    """Embed and write exactly these shards of an atlas that was laid out.

    A shard that is done is left as it is. One that another process holds is left to it: the others
    are written, then the error names it.

    Parameters
    ----------
    out : str or Path
        Folder of the atlas, or its URL in an object store.
    shards : iterable of int
        From 0 to the number of shards - 1.
    genome : str, Path or SequenceSource
        The sequence that the atlas was laid out with.
    embedder : Embedder
        Of the spec of the atlas; see `load_embedder`.
    progress : callable, optional
        Called with the number of peaks done since its last call.

    Returns
    -------
    list of int
        Shards that were done already, ascending.

    Raises
    ------
    AtlasError
        If there is no such shard, the atlas was not begun or is damaged, or the disk refuses.
    SpecMismatchError
        If the embedder is not that of the atlas; names the fields.
    GenomeError
        If the genome is not that of the atlas.
    ShardOwnershipError
        If another process holds some of the shards; names them.
    """
    writer = AtlasWriter.open(out)
    wanted = sorted(set(shards))
    writer.check_shards(wanted)
    check_same_spec(writer.plan.spec, embedder.spec, str(out))
    source = open_genome(genome) if isinstance(genome, str | Path) else genome
    done = [shard for shard in wanted if writer.segment.is_done(shard)]
    rows = read_intervals(writer.segment)
    check_same_source(writer.plan, genome_provenance(source, rows.contigs), str(out))
    share_threads()
    report = progress or (lambda _: None)
    held = write_free_shards(writer, wanted, rows, source, embedder, report)
    if held:
        raise ShardOwnershipError(
            f"shard {shown_shards(held)} of {out} is held by another process, which is writing it. "
            "The other shards asked for are done. Give every job its own shards, or run this "
            "command again when that process has ended; it writes what is missing."
        )
    return done


def finalise_atlas(out: str | Path) -> Atlas:
    """Make an atlas visible whose shards are all written; changes nothing when it is.

    Raises
    ------
    IncompleteAtlasError
        If shards are missing; names them.
    AtlasError
        If there is no atlas, or the disk refuses.
    """
    writer = AtlasWriter.open(out)
    with writer.storage.locked(LOCK_NAME, wait=True):
        writer.finalise()
    return warned_if_empty(Atlas.open(out))


def load_embedder(
    path: str | Path,
    *,
    model: str | None = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
    device: str | None = None,
) -> Embedder:
    """Load the model of an atlas, finished or not, with the atlas's rules.

    Parameters
    ----------
    path : str or Path
        Folder of the atlas.
    model : str, optional
        Name, hub id or folder, where it is not where the atlas's provenance says.
    revision, trust_remote_code, device
        As in `Embedder.load`.

    Raises
    ------
    AtlasError
        If there is no atlas at `path`.
    ModelError
        If the model cannot be found, loaded or trusted.
    SpecMismatchError
        If it is another model; names what differs.
    """
    plan = AtlasWriter.open(path).plan
    return own_embedder(
        plan.spec,
        plan.model,
        model=model,
        revision=revision,
        trust_remote_code=trust_remote_code,
        device=device,
    )


def read_intervals(segment: Segment) -> Intervals:
    """Rows of a segment that may be unfinished.

    Raises
    ------
    AtlasError
        If they are damaged.
    """
    storage = segment.storage
    layouts = [segment.plan.layouts[name] for name in INTERVAL_COLUMNS]
    try:
        listed = {
            file: {"bytes": storage.size(f"{segment.name}/{file}")}
            for layout in layouts
            for file in layout.files
        }
        contig, start, end = (
            Column(storage, segment.name, layout, listed).read() for layout in layouts
        )
        rows = Intervals(segment.plan.contigs, contig, start, end)
    except (ValueError, OSError) as error:
        raise AtlasError(f"{segment.where}/intervals cannot be read ({error}).") from error
    if intervals_digest(rows) != segment.plan.intervals_digest:
        raise AtlasError(
            f"{segment.where}/intervals do not fit the plan: they were edited or damaged. "
            "Remove the atlas and begin it again."
        )
    return rows
