"""Is an atlas what it was when it was written? Every fault, with what to do about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from peakatlas.atlas.build.compatibility import check_same_genome, check_same_spec
from peakatlas.atlas.build.provenance import genome_provenance
from peakatlas.atlas.format.opening import listed_files
from peakatlas.atlas.format.schema import MANIFEST_NAME
from peakatlas.atlas.format.segment_names import segment_number
from peakatlas.atlas.storage.urls import open_storage
from peakatlas.engine.errors import AtlasError, GenomeError

from .faults import Fault, VerifyReport
from .reembed import mismatches, reembed_rows
from .verify_files import (
    CheckedSegment,
    check_manifest_file,
    check_root_group,
    check_segment_files,
    check_strays,
)
from .verify_rows import SegmentRows, check_repeats, check_rows, check_sequences

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from peakatlas.atlas.storage.base import Storage
    from peakatlas.engine.dna.genome import SequenceSource
    from peakatlas.engine.embedder import Embedder


@dataclass(kw_only=True)
class _Findings:
    faults: list[Fault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)


def verify_atlas(
    path: str | Path | Storage,
    *,
    deep: bool = False,
    source: SequenceSource | None = None,
    embedder: Embedder | Callable[[], Embedder] | None = None,
    reembed: int = 0,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> VerifyReport:
    """Check an atlas.

    Always: that every file is there with its size; that manifest, plans, log and groups hold the
    bytes that they must; intervals against their digest, sorted and without repeats; states;
    files that do not belong. Rows are checked in segments whose files are whole.

    Parameters
    ----------
    path : str, Path or Storage
        A finished atlas.
    deep : bool
        Whether to read every byte: SHA-256 of each file, and every value of every row.
    source : SequenceSource, optional
        Genome, or FASTA of peaks: its contigs are compared with those of the atlas and, if `deep`,
        the sequence digest of every row with it.
    embedder : Embedder, or callable that loads one, optional
        Model of the atlas; needs `source`. A callable is called if there are rows to embed.
    reembed : int
        So many rows, drawn at random, are embedded again and compared.
    seed : int
        Of the draw.
    progress : callable, optional
        Called with the number of bytes read since its last call; a deep check reads files twice,
        for their SHA-256 and for their rows.

    Returns
    -------
    VerifyReport

    Raises
    ------
    AtlasError
        If `reembed` comes without `source` and `embedder`.
    SpecMismatchError
        If `embedder` is not of the atlas's spec.
    """
    if reembed and (source is None or embedder is None):
        raise AtlasError("embedding rows again needs the genome (--genome) and the model.")
    storage = open_storage(path) if isinstance(path, str | Path) else path
    found = _Findings()
    manifest, faults = check_manifest_file(storage)
    found.faults += [*faults, *check_root_group(storage)]
    if manifest is not None:
        report = progress or (lambda _: None)
        whole = _check_segments(storage, manifest, found, deep=deep, progress=report)
        found.faults += check_repeats([(part.name, part.intervals) for part in whole])
        if source is not None:
            _check_against_genome(whole, source, found, deep=deep)
        if source is not None and embedder is not None and reembed and whole:
            loaded = embedder() if callable(embedder) else embedder
            check_same_spec(whole[0].plan.spec, loaded.spec, storage.name)
            _reembed(whole, _draw(whole, reembed, seed), source, loaded, found)
    return VerifyReport(
        atlas=storage.name, faults=tuple(found.faults), notes=tuple(found.notes), facts=found.facts
    )


def _check_segments(
    storage: Storage,
    manifest: Mapping[str, Any],
    found: _Findings,
    *,
    deep: bool,
    progress: Callable[[int], None],
) -> list[SegmentRows]:
    """Check all segments; those whose files and intervals are as they were written."""
    checked: list[CheckedSegment] = []
    for entry in manifest["segments"]:
        segment, faults = check_segment_files(
            storage, manifest, entry, deep=deep, progress=progress
        )
        found.faults += faults
        checked += [segment] if segment else []
    found.faults += [*_begin_faults(manifest, checked), *_genome_faults(checked)]
    strays, notes = check_strays(storage, manifest, checked)
    found.faults += strays
    found.notes += notes
    sizes = [file["bytes"] for _, file in listed_files(manifest)]
    found.facts |= {"n_rows": manifest["n_rows"], "n_files": len(sizes), "bytes": sum(sizes)}
    whole = []
    for segment in checked:
        if not segment.faults:
            rows = SegmentRows(storage, segment.name, segment.plan, progress)
            faults = list(check_rows(rows, deep=deep))
            found.faults += faults
            whole += [] if faults else [rows]
    if len(whole) < len(manifest["segments"]):
        found.notes.append("rows were checked in undamaged segments only: verify again when mended")
    return whole


def _begin_faults(manifest: Mapping[str, Any], segments: list[CheckedSegment]) -> Iterator[Fault]:
    """A manifest begins with segment 0, or with one that replaces those before it."""
    first = manifest["segments"][0]["name"]
    compacted = {segment.name for segment in segments if segment.plan.is_compacted}
    if segment_number(first) and first not in compacted:
        what = f"begins with {first}, which does not replace the segments before it"
        yield Fault(file=MANIFEST_NAME, what=what, kind="manifest")


def _genome_faults(segments: list[CheckedSegment]) -> Iterator[Fault]:
    """Compare the genomes of the segments with one another."""
    known: dict[str, Any] = {}
    for segment in segments:
        ours = {"name": f"the genome of {segments[0].name}", "contigs": known}
        try:
            check_same_genome(ours, segment.plan.genome, "the rest of the atlas")
        except GenomeError as error:
            yield Fault(file=segment.name, what=str(error), kind="rows")
        known = segment.plan.genome.get("contigs", {}) | known


def _check_against_genome(
    whole: list[SegmentRows], source: SequenceSource, found: _Findings, *, deep: bool
) -> None:
    for part in whole:
        try:
            theirs = genome_provenance(source, part.plan.contigs, digests=True)
            check_same_genome(part.plan.genome, theirs, part.name)
        except GenomeError as error:
            found.faults.append(Fault(file=part.name, what=str(error), kind="genome"))
            continue
        if deep:
            found.faults += check_sequences(part, source)


def _draw(whole: list[SegmentRows], n: int, seed: int) -> list[NDArray[np.int64]]:
    """Rows to embed again, ascending within each segment."""
    firsts = np.cumsum([0, *(len(part.intervals) for part in whole)]).astype(np.int64)
    total = int(firsts[-1])
    drawn = np.sort(np.random.default_rng(seed).choice(total, min(n, total), replace=False))
    return [
        drawn[(drawn >= first) & (drawn < last)] - first
        for first, last in pairwise(firsts.tolist())
    ]


def _reembed(
    whole: list[SegmentRows],
    drawn: list[NDArray[np.int64]],
    source: SequenceSource,
    embedder: Embedder,
    found: _Findings,
) -> None:
    equal, cosines = 0, [1.0]
    for part, rows in zip(whole, drawn, strict=True):
        again = reembed_rows(part, rows, source, embedder)
        found.faults += mismatches(again, part, embedder.spec.model)
        equal += int(again.equal.sum())
        cosines += again.cosine.tolist()
    n = sum(map(len, drawn))
    found.facts |= {
        "n_reembedded": n, "n_reembedded_equal": equal, "least_centred_cosine": min(cosines),
    }  # fmt: skip
    if equal < n:
        found.notes.append(
            f"{n - equal} of {n} rows came out other than stored, at a centred cosine of "
            f"{min(cosines):.5f} or more: another device or processor computed them, or they are "
            "among the faults"
        )
