"""Where the rows of an atlas come from, as JSON."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peakatlas.atlas.format.digests import file_digest, json_digest
from peakatlas.atlas.format.seqcol import with_seqcol
from peakatlas.engine.dna.genome import PeakFasta
from peakatlas.engine.run.hardware import hardware_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from peakatlas.engine.dna.genome import SequenceSource
    from peakatlas.engine.embedder import Embedder


def genome_provenance(
    source: SequenceSource, contigs: Iterable[str], *, digests: bool = True
) -> dict[str, Any]:
    """Name of a genome with the length and refget digest of the contigs in use.

    Parameters
    ----------
    source : SequenceSource
    contigs : iterable of str
        Those that `source` lacks are left out.
    digests : bool
        Whether to compute digests, which reads the contigs whole. Lengths alone tell most builds
        apart.

    Returns
    -------
    dict
        A FASTA of peaks has no contigs of its own; it gets one digest over all its records.
    """
    name = Path(source.path).name
    if isinstance(source, PeakFasta):
        records = {"records_sha256": json_digest(source.digests())} if digests else {}
        return {"name": name, "kind": "peaks", "contigs": {}, **records}
    known = [contig for contig in contigs if contig in source.contig_sizes]
    refget = source.digests(known) if digests else {}
    described = {
        contig: {"bp": int(source.contig_sizes[contig])}
        | ({"digest": refget[contig]} if contig in refget else {})
        for contig in known
    }
    return with_seqcol({"name": name, "kind": "genome", "contigs": described})


def model_provenance(embedder: Embedder) -> dict[str, Any]:
    """Name, source, revision, licence and size of the model."""
    return asdict(embedder.card)


def hardware_provenance(embedder: Embedder) -> dict[str, str]:
    """Torch, device and driver that a model ran with; nothing for what is no torch model."""
    device = getattr(embedder, "device", None)
    return {} if device is None else hardware_of(str(device))


def peaks_provenance(path: Path | None, n_collapsed: int) -> dict[str, Any]:
    """File name and SHA-256 of the interval list, and how many repeats were collapsed."""
    named = {} if path is None else {"name": path.name, "sha256": file_digest(path)}
    return {**named, "n_collapsed": n_collapsed}
