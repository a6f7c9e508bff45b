"""What an atlas holds: names, types, shapes, and the two documents that describe it.

`FORMAT.md` beside this file is the specification; this module is its one implementation.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from peakatlas.engine.documents import as_model, parse_object
from peakatlas.engine.errors import AtlasError
from peakatlas.engine.spec import EmbeddingSpec

from .digests import bytes_digest, json_digest
from .documents import ManifestDocument, PlanDocument
from .int8 import Int8Code
from .interval_runs import check_runs
from .layout import INTERVAL_COLUMNS, ZARR_NAME, layouts_of
from .segment_names import segment_name, segment_number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

    from .layout import Layout

FORMAT = "peakatlas-atlas"
FORMAT_VERSION = "1.1"
"""Version of a segment of float16 embeddings."""
INT8_VERSION = "2.1"
"""Version of a segment of int8 embeddings."""
NEWEST_VERSION = INT8_VERSION
"""Newest version that this software reads."""

ROOT_GROUP = {"attributes": {"format": FORMAT}, "node_type": "group", "zarr_format": 3}
"""The ``zarr.json`` of an atlas."""

MANIFEST_NAME = "manifest.json"
PLAN_NAME = "plan.json"
CARD_NAME = "README.md"
"""What people read first of a published atlas; nothing vouches for it."""
LOG_FOLDER = "log"
COMPACTED = "compact"
"""What made a segment of the rows of all segments before it, which it replaces."""

SHOWN = 5
"""How many of many a message names."""

_VERSION_PART = re.compile(r"\d{1,4}")

ABSENT, EMBEDDED, MASKED = 0, 1, 2
STATES = ("absent", "embedded", "masked")
"""Name of each code in `state`."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What one segment will hold; written before its first shard and never changed."""

    spec: EmbeddingSpec
    """Identity of the embeddings."""
    n_rows: int
    """Intervals in the segment."""
    contigs: tuple[str, ...]
    """Names that `intervals/contig` points into, in genome order."""
    intervals_digest: str
    """SHA-256 of the intervals, see `digests.intervals_digest`."""
    shard_rows: int
    """Rows of one shard, the unit of writing."""
    chunk_rows: int
    """Rows of one chunk, the unit of reading; divides `shard_rows`."""
    genome: dict[str, Any] = field(default_factory=dict)
    """Provenance of the sequence; ``contigs`` maps a name to its length and refget digest."""
    model: dict[str, Any] = field(default_factory=dict)
    """Provenance of the model: name, source, revision, licence."""
    peaks: dict[str, Any] = field(default_factory=dict)
    """Provenance of the intervals: file name, SHA-256, duplicates collapsed."""
    derived: dict[str, Any] = field(default_factory=dict)
    """For rows taken from other atlases: ``by`` (what made it) and ``parents``."""
    int8: Int8Code | None = None
    """How the embeddings became int8; None where they are float16."""
    format_version: str = FORMAT_VERSION
    """Version of the format that the segment follows."""
    contig_rows: tuple[int, ...] = ()
    """First row of each contig, and the number of rows; not in versions 1.0 and 2.0."""
    interval_runs: tuple[tuple[int, int], ...] = ()
    """Least start and greatest end, in bp, of each run, see `interval_runs`; as `contig_rows`."""

    def __post_init__(self) -> None:
        if self.int8 is not None and len(self.int8.scale) != self.spec.dim:
            raise AtlasError(
                f"embedding_scale has {len(self.int8.scale)} values, the spec {self.spec.dim}."
            )
        if self.n_rows < 1:
            raise AtlasError("an atlas needs at least one interval, and there is none.")
        if self.chunk_rows < 1 or self.shard_rows % self.chunk_rows:
            raise AtlasError(
                f"shard_rows {self.shard_rows} is not a multiple of chunk_rows {self.chunk_rows}."
            )

    @cached_property
    def layouts(self) -> dict[str, Layout]:
        """Every array of the segment by name, see `layout.layouts_of`."""
        return layouts_of(self)

    @property
    def laid_out(self) -> list[str]:
        """Paths below the segment of the files that are there before the first shard."""
        groups = (f"{name}/{ZARR_NAME}" for name in ("intervals", *self.layouts))
        files = (file for name in INTERVAL_COLUMNS for file in self.layouts[name].files)
        return [PLAN_NAME, ZARR_NAME, *groups, *files]

    @property
    def is_compacted(self) -> bool:
        """Whether the segment holds the rows of all segments before it, and replaces them."""
        return self.derived.get("by") == COMPACTED

    @property
    def n_shards(self) -> int:
        """Shards in the segment; the last may be short."""
        return -(-self.n_rows // self.shard_rows)

    def shard_slice(self, shard: int) -> slice:
        """Rows of a shard within the segment."""
        return slice(shard * self.shard_rows, min((shard + 1) * self.shard_rows, self.n_rows))

    def shard_files(self, shard: int) -> dict[str, str]:
        """Path below the segment of a shard's file, by column."""
        return {name: self.layouts[name].file(shard) for name in self.row_columns}

    @staticmethod
    def log_name(shard: int) -> str:
        """Path of a shard's log entry below the segment."""
        return f"{LOG_FOLDER}/shard-{shard:05d}.json"

    @property
    def lists_checksums(self) -> bool:
        """Whether the checksum of every chunk is listed, which versions 1.1 and 2.1 began."""
        return version_key(self.format_version)[1:] >= (1,)

    @property
    def embedding_column(self) -> str:
        """Name of the array that holds the embeddings."""
        return self.row_columns[0]

    @property
    def row_columns(self) -> tuple[str, ...]:
        """Columns of which a shard is made, in the order in which they are written."""
        return tuple(name for name in self.layouts if name not in INTERVAL_COLUMNS)

    @property
    def dtype(self) -> str:
        """How an embedding is stored."""
        return self.layouts[self.embedding_column].dtype.name

    def encode(self, values: ArrayLike) -> NDArray[Any]:
        """Embeddings as they are stored: float16, or int8 codes; int8 is taken as codes.

        Parameters
        ----------
        values : float, or int8 where the plan has a code; shape (n, dim)

        Returns
        -------
        float16 or int8, shape (n, dim)
        """
        given = np.asarray(values)
        if self.int8 is None:
            with np.errstate(over="ignore"):
                return np.ascontiguousarray(given, np.float16)
        if given.dtype == np.int8:
            return np.ascontiguousarray(given)
        return self.int8.encode(given.astype(np.float16))  # as if it had been float16 before

    def decode(self, stored: NDArray[Any]) -> NDArray[np.float32]:
        """Embeddings from what is stored, NaN for masked rows.

        Parameters
        ----------
        stored : float16 or int8, shape (n, dim)

        Returns
        -------
        float32, shape (n, dim)
        """
        return stored.astype(np.float32) if self.int8 is None else self.int8.decode(stored)

    def log_entry(self, shard: int, files: Mapping[str, Any]) -> dict[str, Any]:
        """The log entry of a shard: nothing in it but what plan and files say.

        Parameters
        ----------
        shard : int
        files : mapping
            Path below the segment to ``{"bytes", "sha256", "crc32c"}``, one for each column.
        """
        rows = self.shard_slice(shard)
        return {
            "shard": shard,
            "rows": [rows.start, rows.stop],
            "spec_digest": self.spec.digest,
            "intervals_digest": self.intervals_digest,
            "files": dict(files),
        }

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON types, with the digest of the spec; without those that are unused."""
        values = asdict(self) | {"spec": self.spec.to_json(), "contigs": list(self.contigs)}
        code = values.pop("int8")
        if code is not None:
            values |= {f"embedding_{name}": list(code[name]) for name in ("scale", "offset")}
        for name in ("derived", "contig_rows", "interval_runs"):
            if not values[name]:
                del values[name]
        return values | {"format": FORMAT, "spec_digest": self.spec.digest}

    @classmethod
    def from_json(cls, values: Mapping[str, Any], where: str) -> Plan:
        """Inverse of `to_json`.

        Parameters
        ----------
        values : mapping
        where : str
            Named in errors.

        Raises
        ------
        AtlasError
            If the version is newer than this software, it is not as the model says, or the digest
            of the spec does not fit the spec.
        ModelError
            If the spec is none.
        """
        check_version(values, where)
        read = as_model(values, PlanDocument, where, AtlasError)
        try:
            spec = EmbeddingSpec.from_json(read.spec, f"{where} spec")
        except TypeError as error:
            raise AtlasError(f"{error}; the file was edited.") from None
        if read.spec_digest != spec.digest:
            raise AtlasError(f"{where}: spec_digest does not fit the spec; the file was edited.")
        apart = {"spec", "contigs", "int8", "contig_rows", "interval_runs"}
        names = [name for name in cls.__dataclass_fields__ if name not in apart]
        kept = {name: values[name] for name in names if name in values}
        plan = cls(
            spec=spec,
            contigs=tuple(read.contigs),
            int8=_int8_code(read),
            contig_rows=tuple(read.contig_rows),
            interval_runs=tuple(read.interval_runs),
            **kept,
        )
        if plan.lists_checksums:
            check_runs(plan, where)
        return plan


def check_version(values: Mapping[str, Any], where: str) -> None:
    """Refuse what is not an atlas, or is of a newer major version.

    Raises
    ------
    AtlasError
        Naming both versions.
    """
    if values.get("format") != FORMAT:
        raise AtlasError(f"{where} is not part of an atlas (format {values.get('format')!r}).")
    version = str(values.get("format_version"))
    if not version[:1].isdigit() or version_key(version)[:1] > version_key(NEWEST_VERSION)[:1]:
        raise AtlasError(
            f"{where} has format version {version}, this software reads up to "
            f"{NEWEST_VERSION}. Install a newer peakatlas."
        )


def version_key(version: object) -> tuple[int, ...]:
    """Major and minor number of a format version, for comparison; 0 for what is none.

    Examples
    --------
    >>> version_key("1.10") > version_key("1.9")
    True
    """
    parts = str(version).split(".")[:2]
    return tuple(int(part) if _VERSION_PART.fullmatch(part) else 0 for part in parts)


def seal_manifest(values: Mapping[str, Any]) -> dict[str, Any]:
    """Add ``sha256``, the digest of everything else, to a manifest."""
    rest = {name: value for name, value in values.items() if name != "sha256"}
    return rest | {"sha256": json_digest(rest)}


def check_manifest(values: Mapping[str, Any], where: str) -> None:
    """Refuse a manifest of a newer version, one that was edited, or one that is not as the model.

    Raises
    ------
    AtlasError
    """
    check_version(values, where)
    if seal_manifest(values)["sha256"] != values.get("sha256"):
        raise AtlasError(f"{where} does not fit its own digest: it was edited or damaged.")
    read = as_model(values, ManifestDocument, where, AtlasError)
    names = [segment.name for segment in read.segments]
    may_begin_later = version_key(read.format_version)[1:] >= (1,)  # once it was compacted
    first = names[0] if may_begin_later else segment_name(0)
    wanted = [segment_name(segment_number(first) + n) for n in range(len(names))]
    if names != wanted:
        raise AtlasError(
            f"{where} lists segments {names[:SHOWN]}, which are not numbered from 0 on."
        )
    n_rows = sum(segment.n_rows for segment in read.segments)
    if read.n_rows != n_rows:
        raise AtlasError(f"{where} has n_rows {read.n_rows}, its segments {n_rows}.")


def read_plan(data: bytes, entry: Mapping[str, Any], where: str) -> Plan:
    """The plan of a segment that a manifest lists: the one that it lists, of its rows and files.

    Parameters
    ----------
    data : bytes
        Of ``plan.json``.
    entry : mapping
        What the checked manifest says of the segment.
    where : str
        Path or URL of the plan, for the text.

    Raises
    ------
    AtlasError
        If it is another plan, or its rows need other files than those that are listed.
    """
    values = parse_object(data, where, AtlasError)
    check_version(values, where)
    if bytes_digest(data) != entry["files"].get(PLAN_NAME, {}).get("sha256"):
        raise AtlasError(
            f"{where} is not the plan that the manifest lists: restore it from a copy."
        )
    plan = Plan.from_json(values, where)
    if plan.n_rows != entry["n_rows"]:
        raise AtlasError(f"{where} plans {plan.n_rows} rows, the manifest has {entry['n_rows']}.")
    check_listed(plan, entry["files"], where)
    return plan


def check_listed(plan: Plan, listed: Mapping[str, Mapping[str, Any]], where: str) -> None:
    """Refuse a plan whose rows need files that are not listed, or listed with too few bytes.

    Parameters
    ----------
    plan : Plan
    listed : mapping
        Path below the segment to ``{"bytes", "sha256"}``, with ``crc32c`` where it is listed.
    where : str
        Path or URL of the plan, for the text.

    Raises
    ------
    AtlasError
        Names the first file.
    """
    needed = sum(layout.n_files for layout in plan.layouts.values())
    if needed > len(listed):
        raise AtlasError(f"{where} plans {needed} files of rows, and {len(listed)} are listed.")
    for layout in plan.layouts.values():
        absent = next((file for file in layout.files if file not in listed), None)
        if absent is not None:
            raise AtlasError(f"{where} plans the file {absent}, which the manifest does not list.")
        layout.check_bytes(listed, where)


def _int8_code(read: PlanDocument) -> Int8Code | None:
    if read.embedding_scale is None or read.embedding_offset is None:
        return None
    return Int8Code(scale=tuple(read.embedding_scale), offset=tuple(read.embedding_offset))
