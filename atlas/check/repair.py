"""Mend an atlas: write anew what can be known from the rest of it, or from the genome."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from peakatlas.atlas.build.append import write_rows
from peakatlas.atlas.build.compatibility import check_same_genome, check_same_spec
from peakatlas.atlas.build.places import refuse_links
from peakatlas.atlas.build.provenance import genome_provenance
from peakatlas.atlas.build.writer import LOCK_NAME, AtlasWriter
from peakatlas.atlas.format.digests import bytes_digest
from peakatlas.atlas.format.groups import segment_files
from peakatlas.atlas.format.schema import MANIFEST_NAME, PLAN_NAME, ROOT_GROUP, SHOWN, Plan
from peakatlas.atlas.format.segment import Segment, begun_segments, read_manifest, write_manifest
from peakatlas.atlas.storage import atomic as files
from peakatlas.atlas.storage.locks import locked
from peakatlas.engine.errors import AtlasError

from .verify import verify_atlas
from .verify_rows import SegmentRows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from peakatlas.engine.dna.genome import SequenceSource
    from peakatlas.engine.embedder import Embedder

    from .faults import Fault


def repair_atlas(
    path: str | Path,
    *,
    source: SequenceSource | None = None,
    embedder: Callable[[], Embedder] | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[str]:
    """Write anew the files of an atlas that `verify_atlas` finds damaged, where that is possible.

    Groups, arrays' metadata and log entries follow from the plan and the manifest; the manifest,
    when it is lost, from plans and log; a shard from the genome and the model. What was mended is
    the same to the byte if the same kind of processor embeds the rows.

    Parameters
    ----------
    path : str or Path
        Folder of the atlas.
    source : SequenceSource, optional
        Genome, or FASTA of peaks; without it, damaged shards stay.
    embedder : callable, optional
        Loads the model of the atlas; called if a shard is damaged.
    progress : callable, optional
        Called with the number of rows embedded since its last call.

    Returns
    -------
    list of str
        What was written anew, by path below the atlas.

    Raises
    ------
    AtlasError
        If the manifest is lost and a segment is not whole either, or the disk refuses.
    SpecMismatchError, GenomeError
        If model or genome are not those of the atlas.
    """
    root = Path(path)
    refuse_links(root)
    with locked(root, LOCK_NAME, wait=True):
        done = _repair_manifest(root)
        faults = verify_atlas(root, deep=True).faults
        done += [name for fault in faults for name in _repair_document(root, fault)]
        if source is not None and embedder is not None:
            done += _repair_shards(root, faults, source, embedder, progress)
    return done


def _repair_manifest(root: Path) -> list[str]:
    faults = [fault.kind for fault in verify_atlas(root).faults]
    if "newer" in faults or "manifest" not in faults:
        return []
    segments = _not_folded([Segment(root, name) for name in begun_segments(root)])
    for segment in segments:
        if segment.missing_shards():
            raise AtlasError(
                f"{root / MANIFEST_NAME} is lost, and {segment.name} lacks shards "
                f"{segment.missing_shards()[:SHOWN]}: whether it was listed is not known. Run the "
                "same `peakatlas atlas build` again if the atlas was not finished, or remove "
                "that folder if it is what a dead append or compaction left; then repair again."
            )
    if not segments:
        raise AtlasError(f"{root} is not an atlas: it has neither manifest nor segments.")
    write_manifest(root, [segment.manifest_entry() for segment in segments])
    return [MANIFEST_NAME]


def _not_folded(segments: list[Segment]) -> list[Segment]:
    """Those that no whole compacted segment holds the rows of."""
    whole = [
        number
        for number, segment in enumerate(segments)
        if segment.plan.is_compacted and not segment.missing_shards()
    ]
    return segments[max(whole, default=0) :]


def _repair_document(root: Path, fault: Fault) -> Iterator[str]:
    """Write anew the file of a fault if it holds nothing of its own."""
    segment, _, name = fault.file.partition("/")
    if fault.kind != "document":
        return
    if not name:
        files.write_json(root / fault.file, ROOT_GROUP)
        yield fault.file
        return
    if not (root / segment / PLAN_NAME).exists():
        return
    entry = next(s for s in read_manifest(root)["segments"] if s["name"] == segment)
    content = _document(Segment(root, segment).plan, name, entry["files"])
    if content is not None:
        files.write_bytes(root / fault.file, content)
        yield fault.file


def _document(plan: Plan, name: str, listed: dict[str, dict[str, object]]) -> bytes | None:
    """Content of a log entry or of metadata; None if this version of zarr writes it otherwise."""
    shards = {plan.log_name(shard): shard for shard in range(plan.n_shards)}
    if name in shards:
        shard = shards[name]
        held = {file: listed[file] for file in plan.shard_files(shard).values()}
        return files.json_bytes(plan.log_entry(shard, held))
    content = segment_files(plan).get(name, b"")
    right = name in plan.laid_out and bytes_digest(content) == listed[name]["sha256"]
    return content if right else None


def _repair_shards(
    root: Path,
    faults: Iterable[Fault],
    source: SequenceSource,
    embedder: Callable[[], Embedder],
    progress: Callable[[int], None] | None,
) -> list[str]:
    damaged = [fault for fault in faults if fault.kind == "shard"]
    lost = {fault.file.partition("/")[0] for fault in faults if fault.kind == "original"}
    by_segment = {
        name: sorted({_shard_of(fault) for fault in damaged if fault.file.startswith(f"{name}/")})
        for name in dict.fromkeys(fault.file.partition("/")[0] for fault in damaged)
        if name not in lost
    }
    if not by_segment:
        return []
    loaded, done = embedder(), []
    for name, shards in by_segment.items():
        segment = Segment(root, name)
        check_same_spec(segment.plan.spec, loaded.spec, str(root))
        theirs = genome_provenance(source, segment.plan.contigs)
        check_same_genome(segment.plan.genome, theirs, str(root))
        _embed_anew(segment, shards, source, loaded, progress)
        done += [f"{name}: shard {shard}" for shard in shards]
    return done


def _embed_anew(
    segment: Segment,
    shards: list[int],
    source: SequenceSource,
    embedder: Embedder,
    progress: Callable[[int], None] | None,
) -> None:
    rows = SegmentRows(segment.storage, segment.name, segment.plan).intervals
    writer = AtlasWriter(segment)
    for shard in shards:
        at = segment.plan.shard_slice(shard)
        block = rows.take(np.arange(at.start, at.stop))
        embedded = embedder.embed(block, source, progress)
        (segment.folder / Plan.log_name(shard)).unlink(missing_ok=True)
        write_rows(writer, shard, embedded)
    writer.finalise()


def _shard_of(fault: Fault) -> int:
    """Shard of a damaged file, whose path is ``segment/column/c/shard[/0]``."""
    return int(fault.file.split("/c/")[1].split("/")[0])
