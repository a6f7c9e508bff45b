"""The JSON documents of an atlas as models: types, ranges, and names that stay inside.

Each is checked whole when it is read. Keys beyond these are what a newer minor version adds; they
are kept and not looked at. `FORMAT.md` says what each key means.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from peakatlas.engine.documents import Count, Document, Sha256, Text
from peakatlas.engine.spec import LARGEST_DIM

LARGEST_SHARD_ROWS = 1 << 24

Name = Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f]{1,1000}\Z")]
"""Name of a contig."""
SegmentName = Annotated[str, Meta(pattern=r"^segment-\d{4,8}\Z")]
FileName = Annotated[
    str, Meta(pattern=r"^(?!\.)[A-Za-z0-9_.-]{1,200}(/(?!\.)[A-Za-z0-9_.-]{1,200}){0,5}\Z")
]
"""Path below a segment. No part begins with a dot, so it does not lead out."""
Version = Annotated[str, Meta(pattern=r"^\d{1,4}\.\d{1,4}\Z")]
Rows = Annotated[int, Meta(ge=1, le=1 << 40)]
ShardRows = Annotated[int, Meta(ge=1, le=LARGEST_SHARD_ROWS)]
Scale = Annotated[list[float], Meta(min_length=1, max_length=LARGEST_DIM)]


class FileEntry(Document):
    """What is listed of a file."""

    bytes: Count
    sha256: Sha256
    crc32c: Annotated[str, Meta(pattern=r"^([0-9a-f]{8})+\Z")] = ""


class SegmentEntry(Document):
    """What the manifest says of a segment."""

    name: SegmentName
    n_rows: Rows
    finished: Text
    software: dict[Text, Text]
    files: dict[FileName, FileEntry]


class ManifestDocument(Document):
    """``manifest.json``."""

    format_version: Version
    spec: dict[Text, Any]
    spec_digest: Text
    n_rows: Rows
    segments: Annotated[list[SegmentEntry], Meta(min_length=1)]
    sha256: Sha256


class ContigDocument(Document):
    """A contig of the genome."""

    bp: Count
    digest: Text = ""


class GenomeDocument(Document):
    """Provenance of the sequence."""

    name: Text = ""
    kind: Text = "genome"
    contigs: dict[Name, ContigDocument] = msgspec.field(default_factory=dict)
    seqcol: Text = ""
    records_sha256: Text = ""


class ModelDocument(Document):
    """Provenance of the model."""

    name: Text | None = None
    source: Text | None = None
    revision: Text | None = None
    licence: Text | None = None
    citation: Text | None = None


class PeaksDocument(Document):
    """Provenance of the interval list."""

    name: Text = ""
    sha256: Text = ""
    n_collapsed: Count = 0
    n_regions: Count = 0


class ParentDocument(Document):
    """An atlas from which rows were taken."""

    name: Text
    n_rows: Count
    manifest_sha256: Sha256


class DerivedDocument(Document):
    """Provenance of rows of other atlases."""

    by: Text = ""
    parents: list[ParentDocument] = msgspec.field(default_factory=list)


class PlanDocument(Document):
    """``plan.json``."""

    format_version: Version
    spec: dict[Text, Any]
    spec_digest: Text
    n_rows: Rows
    contigs: Annotated[list[Name], Meta(min_length=1)]
    intervals_digest: Text
    shard_rows: ShardRows
    chunk_rows: ShardRows
    genome: GenomeDocument = msgspec.field(default_factory=GenomeDocument)
    model: ModelDocument = msgspec.field(default_factory=ModelDocument)
    peaks: PeaksDocument = msgspec.field(default_factory=PeaksDocument)
    derived: DerivedDocument = msgspec.field(default_factory=DerivedDocument)
    contig_rows: list[Count] = msgspec.field(default_factory=list)
    interval_runs: list[tuple[Count, Count]] = msgspec.field(default_factory=list)
    embedding_scale: Scale | None = None
    embedding_offset: Scale | None = None


class LogEntry(Document):
    """``log/shard-NNNNN.json``."""

    shard: Count
    rows: tuple[Count, Count]
    spec_digest: Text
    intervals_digest: Text
    files: dict[FileName, FileEntry]
