"""What an atlas holds: names, types, shapes, and the two documents that describe it.

`FORMAT.md` beside this file is the specification; this module is its one implementation.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from zarr.codecs import Crc32cCodec

from peakatlas.engine.errors import AtlasError
from peakatlas.engine.spec import EmbeddingSpec

from .digest import DIGEST_BYTES, json_digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zarr.abc.store import Store

FORMAT = "peakatlas-atlas"
FORMAT_VERSION = "1.0"

MANIFEST_NAME = "manifest.json"
PLAN_NAME = "plan.json"
LOG_FOLDER = "log"

ABSENT, EMBEDDED, MASKED = 0, 1, 2
STATES = ("absent", "embedded", "masked")
"""Name of each code in `state`."""

INTERVAL_COLUMNS = ("intervals/contig", "intervals/start", "intervals/end")
ROW_COLUMNS = ("embedding", "digest", "n_fraction", "state")
"""Columns of which a shard is made, in the order in which they are written."""

INTERVAL_CHUNK_ROWS = 1 << 18


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
    """SHA-256 of the intervals, see `digest.intervals_digest`."""
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
    format_version: str = FORMAT_VERSION
    """Version of the format that the segment follows."""

    def __post_init__(self) -> None:
        if self.n_rows < 1:
            raise AtlasError("an atlas needs at least one interval, and there is none.")
        if self.chunk_rows < 1 or self.shard_rows % self.chunk_rows:
            raise AtlasError(
                f"shard_rows {self.shard_rows} is not a multiple of chunk_rows {self.chunk_rows}."
            )

    @property
    def n_shards(self) -> int:
        """Shards in the segment; the last may be short."""
        return -(-self.n_rows // self.shard_rows)

    def shard_slice(self, shard: int) -> slice:
        """Rows of a shard within the segment."""
        return slice(shard * self.shard_rows, min((shard + 1) * self.shard_rows, self.n_rows))

    def shard_files(self, shard: int) -> dict[str, str]:
        """Path below the segment of a shard's file, by column."""
        tails = {name: "/0" if name in ("embedding", "digest") else "" for name in ROW_COLUMNS}
        return {name: f"{name}/c/{shard}{tail}" for name, tail in tails.items()}

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON types, with the digest of the spec."""
        values = asdict(self) | {"spec": self.spec.to_json(), "contigs": list(self.contigs)}
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
            If the version is newer than this software, a field is missing, or the digest of the
            spec does not fit the spec.
        """
        check_version(values, where)
        try:
            spec = EmbeddingSpec.from_json(values["spec"])
            names = [name for name in cls.__dataclass_fields__ if name not in ("spec", "contigs")]
            kept = {name: values[name] for name in names if name in values}
            plan = cls(spec=spec, contigs=tuple(values["contigs"]), **kept)
        except (KeyError, TypeError) as error:
            raise AtlasError(f"{where} lacks or misnames a field: {error}.") from error
        if values.get("spec_digest") != spec.digest:
            raise AtlasError(f"{where}: spec_digest does not fit the spec; the file was edited.")
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
    major = version.split(".", maxsplit=1)[0]
    if not major.isdigit() or int(major) > int(FORMAT_VERSION.split(".", maxsplit=1)[0]):
        raise AtlasError(
            f"{where} has format version {version}, this software reads up to "
            f"{FORMAT_VERSION}. Install a newer peakatlas."
        )


def seal_manifest(values: Mapping[str, Any]) -> dict[str, Any]:
    """Add ``sha256``, the digest of everything else, to a manifest."""
    rest = {name: value for name, value in values.items() if name != "sha256"}
    return rest | {"sha256": json_digest(rest)}


def check_manifest(values: Mapping[str, Any], where: str) -> None:
    """Refuse a manifest of a newer version or one that was edited.

    Raises
    ------
    AtlasError
    """
    check_version(values, where)
    if seal_manifest(values)["sha256"] != values.get("sha256"):
        raise AtlasError(f"{where} does not fit its own digest: it was edited or damaged.")


def create_row_columns(store: Store, plan: Plan) -> dict[str, zarr.Array[Any]]:
    """Lay out the sharded columns of a segment in a store, with no rows yet."""
    rows = plan.n_rows
    return {
        "embedding": _sharded(store, "embedding", (rows, plan.spec.dim), "float16", plan),
        "digest": _sharded(store, "digest", (rows, DIGEST_BYTES), "uint8", plan),
        "n_fraction": _sharded(store, "n_fraction", (rows,), "float32", plan),
        "state": _sharded(store, "state", (rows,), "uint8", plan),
    }


def write_interval_columns(store: Store, columns: Mapping[str, np.ndarray[Any, Any]]) -> None:
    """Write the columns that name the rows of a segment, unsharded."""
    for name, values in columns.items():
        zarr.create_array(
            store,
            name=name,
            data=values,
            chunks=(min(INTERVAL_CHUNK_ROWS, len(values)),),
            compressors=[Crc32cCodec()],
            fill_value=-1,
            config={"write_empty_chunks": True},
        )


def _sharded(
    store: Store, name: str, shape: tuple[int, ...], dtype: str, plan: Plan
) -> zarr.Array[Any]:
    return zarr.create_array(
        store,
        name=name,
        shape=shape,
        dtype=dtype,
        shards=(plan.shard_rows, *shape[1:]),
        chunks=(plan.chunk_rows, *shape[1:]),
        compressors=[Crc32cCodec()],
        fill_value=float("nan") if dtype.startswith("float") else 0,
        config={"write_empty_chunks": True},
    )
