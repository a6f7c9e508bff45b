"""One segment of an atlas on disk: its folder, its plan, and which of its shards are whole."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, TypeAlias

from peakatlas.atlas.format.shard_lists import shown_shards
from peakatlas.atlas.storage import atomic as files
from peakatlas.atlas.storage.urls import read_json, writable_storage
from peakatlas.engine.documents import as_model
from peakatlas.engine.errors import AtlasError, IncompleteAtlasError

from .digests import bytes_digest, intervals_digest
from .documents import LogEntry
from .groups import segment_files
from .interval_runs import contig_rows_of, runs_of
from .layout import (
    INTERVAL_COLUMNS,
    MOST_PACKED,
    ZARR_NAME,
    fitting_shard_rows,
    interval_chunk_rows,
)
from .ordering import check_order
from .schema import (
    FORMAT,
    FORMAT_VERSION,
    INT8_VERSION,
    MANIFEST_NAME,
    PLAN_NAME,
    ROOT_GROUP,
    Plan,
    check_manifest,
    seal_manifest,
    version_key,
)
from .segment_names import segment_name, segment_number

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from peakatlas.atlas.storage.base import WritableStorage
    from peakatlas.engine.intervals.table import Intervals
    from peakatlas.engine.spec import EmbeddingSpec

    from .int8 import Int8Code
    from .layout import Layout

    Place: TypeAlias = Path | WritableStorage

_SEGMENT = re.compile(r"segment-\d{4,8}")


class Segment:
    """A segment that was laid out, finished or not.

    Parameters
    ----------
    root : Path or WritableStorage
        Folder of the atlas.
    name : str
        ``segment-NNNN``.
    """

    def __init__(self, root: Place, name: str) -> None:
        self.storage, self.name = writable_storage(root), name

    @property
    def where(self) -> str:
        """Path or URL of the segment."""
        return self.storage.where(self.name)

    @property
    def folder(self) -> Path:
        """Folder of a segment on this machine."""
        path = self.storage.local_path(self.name)
        assert path is not None  # what is asked for it is done to local atlases only
        return path

    @cached_property
    def plan(self) -> Plan:
        """What the segment holds."""
        path = f"{self.name}/{PLAN_NAME}"
        plan = Plan.from_json(read_json(self.storage, path), self.storage.where(path))
        stored = sum(self._stored(plan.layouts[name]) for name in INTERVAL_COLUMNS)
        if MOST_PACKED * stored < plan.n_rows:
            raise AtlasError(
                f"{self.storage.where(path)} plans {plan.n_rows:,} rows, and {stored:,} bytes of "
                "intervals are there: the atlas is damaged. Restore it from a copy."
            )
        return plan

    def is_done(self, shard: int) -> bool:
        """Whether a shard has a log entry of this spec and files of the size logged."""
        try:
            return all(
                self.storage.size(f"{self.name}/{name}") == file["bytes"]
                for name, file in self.logged_files(shard).items()
            )
        except (OSError, AtlasError):
            return False

    def logged_files(self, shard: int) -> dict[str, dict[str, Any]]:
        """What the log entry of a shard says of its files, by path below the segment.

        Raises
        ------
        AtlasError
            If the entry is damaged, or of another spec or other files.
        FileNotFoundError
            If there is none.
        """
        name = f"{self.name}/{Plan.log_name(shard)}"
        values, path = read_json(self.storage, name), self.storage.where(name)
        entry = as_model(values, LogEntry, path, AtlasError)
        wanted = set(self.plan.shard_files(shard).values())
        if entry.spec_digest != self.plan.spec.digest or entry.files.keys() != wanted:
            raise AtlasError(f"{path} is not of this segment: its plan has other files or spec.")
        listed: dict[str, dict[str, Any]] = values["files"]
        return listed

    def missing_shards(self) -> list[int]:
        """Shards that are still to be written, ascending."""
        return [shard for shard in range(self.plan.n_shards) if not self.is_done(shard)]

    def require_whole(self) -> None:
        """Raise unless every shard is written.

        Raises
        ------
        IncompleteAtlasError
            Names the missing shards.
        """
        missing = self.missing_shards()
        if missing:
            shown = shown_shards(missing)
            raise IncompleteAtlasError(
                f"{self.storage.name} is unfinished: {len(missing)} of {self.plan.n_shards} shards "
                f"are missing (shard {shown}). Run the same `peakatlas atlas build` or `append` "
                "again; it goes on where it stopped. Or write them one by one: `peakatlas atlas "
                "write-shard`."
            )

    def manifest_entry(self, made_with: Mapping[str, str] | None = None) -> dict[str, Any]:
        """What the manifest says of the segment: every file with its size and SHA-256.

        Parameters
        ----------
        made_with : mapping, optional
            Further software and devices by name.
        """
        listed: dict[str, Any] = {}
        for shard in range(self.plan.n_shards):
            listed |= self.logged_files(shard)
        for name in self.plan.laid_out:
            listed[name] = self._described(name)
        return {
            "name": self.name,
            "n_rows": self.plan.n_rows,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "software": software_versions() | dict(made_with or {}),
            "files": listed,
        }

    def _described(self, name: str) -> dict[str, Any]:
        """What is listed of a file that was laid out before the first shard."""
        try:
            data = self.storage.read_bytes(f"{self.name}/{name}")
            found = {"bytes": len(data), "sha256": bytes_digest(data)}
            layout = self.plan.layouts.get(name.partition("/c/")[0])
            listed = self.plan.lists_checksums and layout is not None and "/c/" in name
            sums = {"crc32c": layout.checksums_in(data)} if layout and listed else {}
        except OSError as error:
            raise AtlasError(
                f"{self.where}/{name} cannot be read ({error.strerror}): the atlas is damaged. "
                "Restore the file from a copy."
            ) from error
        return found | sums

    def _stored(self, layout: Layout) -> int:
        """Bytes of the files of an array, up to the first that is absent."""
        stored = 0
        with suppress(FileNotFoundError):
            for number in range(layout.n_files):
                stored += self.storage.size(f"{self.name}/{layout.file(number)}")
        return stored


def make_plan(
    intervals: Intervals,
    spec: EmbeddingSpec,
    *,
    shard_rows: int,
    chunk_rows: int,
    provenance: Mapping[str, Mapping[str, Any]],
    int8: Int8Code | None = None,
) -> Plan:
    """Plan a segment of these rows.

    Parameters
    ----------
    intervals : Intervals
        In genome order (contigs as listed), without duplicates.
    spec : EmbeddingSpec
    shard_rows, chunk_rows : int
        Upper bounds: a small segment gets a small shard.
    provenance : mapping
        ``genome``, ``model`` and ``peaks``; for rows of other atlases ``derived`` as well.
    int8 : Int8Code, optional
        Stores the embeddings as int8.

    Raises
    ------
    AtlasError
        If the rows are unsorted, repeated or none.
    """
    check_order(intervals)
    chunk_rows = min(chunk_rows, shard_rows)
    return Plan(
        spec=spec,
        n_rows=len(intervals),
        contigs=intervals.contigs,
        intervals_digest=intervals_digest(intervals),
        shard_rows=fitting_shard_rows(len(intervals), shard_rows, chunk_rows),
        chunk_rows=chunk_rows,
        genome=dict(provenance["genome"]),
        model=dict(provenance["model"]),
        peaks=dict(provenance["peaks"]),
        derived=dict(provenance.get("derived", {})),
        int8=int8,
        format_version=FORMAT_VERSION if int8 is None else INT8_VERSION,
        contig_rows=tuple(contig_rows_of(intervals).tolist()),
        interval_runs=tuple(runs_of(intervals, interval_chunk_rows(len(intervals), packed=True))),
    )


def lay_out(root: Place, name: str, intervals: Intervals, plan: Plan) -> None:
    """Put an empty segment in place: intervals, empty columns, plan; whole or not at all.

    The group of the atlas is written before it, so that a segment is never without one.

    Raises
    ------
    AtlasError
        If the disk refuses.
    """
    rows: list[NDArray[Any]] = [intervals.contig_ids, intervals.start, intervals.end]
    columns = dict(zip(INTERVAL_COLUMNS, rows, strict=True))
    storage = writable_storage(root)
    if not storage.exists(ZARR_NAME):
        storage.write_files({ZARR_NAME: [files.json_bytes(ROOT_GROUP)]})
    described = {PLAN_NAME: files.json_bytes(plan.to_json())}
    storage.write_folder(name, segment_files(plan, columns) | described)


def read_manifest(root: Place) -> dict[str, Any]:
    """Read and check the manifest of an atlas.

    Raises
    ------
    AtlasError
        If `root` is not an atlas, or one of a newer version, or the manifest was edited.
    IncompleteAtlasError
        If the atlas is not finished; names the missing shards.
    """
    storage = writable_storage(root)
    if not storage.exists(MANIFEST_NAME):
        raise _no_manifest(storage)
    manifest = read_json(storage, MANIFEST_NAME)
    check_manifest(manifest, storage.where(MANIFEST_NAME))
    return manifest


def list_segment(root: Place, segment: Segment, made_with: Mapping[str, str] | None = None) -> None:
    """Make a whole segment visible by replacing the manifest with one that lists it.

    Nothing is written when the manifest lists the very same files already, or lists segments into
    which this one was folded. A compacted segment replaces those before it.

    Parameters
    ----------
    root : Path or WritableStorage
    segment : Segment
    made_with : mapping, optional
        As in `Segment.manifest_entry`.

    Raises
    ------
    AtlasError
        If the disk refuses, or the manifest in place is damaged.
    """
    storage = writable_storage(root)
    listed = read_manifest(storage)["segments"] if storage.exists(MANIFEST_NAME) else []
    entry = segment.manifest_entry(made_with)
    number = segment_number(segment.name)
    folded = bool(listed) and number < segment_number(listed[0]["name"])
    if folded or any(other["files"] == entry["files"] for other in listed):
        return
    _check_layout_kept(storage, listed, entry)
    others = [other for other in listed if other["name"] != segment.name]
    if segment.plan.is_compacted:
        others = [other for other in others if segment_number(other["name"]) > number]
    write_manifest(storage, [*others, entry])


def write_manifest(root: Place, entries: list[dict[str, Any]]) -> None:
    """Replace the manifest of an atlas by one that lists these segments.

    Parameters
    ----------
    root : Path or WritableStorage
    entries : list of dict
        As `Segment.manifest_entry` gives them, in any order.

    Raises
    ------
    AtlasError
        If the disk refuses.
    """
    segments = sorted(entries, key=lambda entry: segment_number(entry["name"]))
    plans = [Segment(root, entry["name"]).plan for entry in segments]
    manifest = {
        "format": FORMAT,
        "format_version": max((plan.format_version for plan in plans), key=version_key),
        "spec": plans[0].spec.to_json(),
        "spec_digest": plans[0].spec.digest,
        "n_rows": sum(entry["n_rows"] for entry in segments),
        "segments": segments,
    }
    content = files.json_bytes(seal_manifest(manifest))
    writable_storage(root).write_files({MANIFEST_NAME: [content]})


def begun_segments(root: Place) -> list[str]:
    """Names of the segments that were laid out, finished or not, ascending."""
    storage = writable_storage(root)
    found = [name for name in storage.names() if _SEGMENT.fullmatch(name)]
    begun = [name for name in found if storage.exists(f"{name}/{PLAN_NAME}")]
    return sorted(begun, key=segment_number)


def first_segment(root: Place) -> str:
    """Name of the first segment that was laid out, or that of one that is to be."""
    return next(iter(begun_segments(root)), segment_name(0))


def software_versions() -> dict[str, str]:
    """Versions of the packages that shape the bytes of an atlas."""
    return {name: version(name) for name in ("peakatlas", "zarr", "numpy")}


def _check_layout_kept(
    storage: WritableStorage, listed: list[dict[str, Any]], entry: dict[str, Any]
) -> None:
    """Refuse to list what was laid out once and has changed since: only shards are rewritten."""
    held: dict[str, Any] = next(
        (other["files"] for other in listed if other["name"] == entry["name"]), {}
    )
    plan = Segment(storage, entry["name"]).plan
    shards = {n for shard in range(plan.n_shards) for n in plan.shard_files(shard).values()}
    changed = [
        name for name in held if name not in shards and held[name] != entry["files"].get(name)
    ]
    if changed:
        raise AtlasError(
            f"{storage.name} is damaged: {entry['name']}/{changed[0]} is not what the manifest "
            f"lists. `peakatlas atlas verify {storage.name}` names all faults and their remedies."
        )


def _no_manifest(storage: WritableStorage) -> AtlasError:
    root, begun = storage.name, begun_segments(storage)
    if not begun:
        path = storage.local_path()
        what = "is not an atlas" if path is None or path.exists() else "does not exist"
        return AtlasError(f"{root} {what} (no {MANIFEST_NAME}). Build one: peakatlas atlas build.")
    try:
        Segment(storage, begun[0]).require_whole()
    except IncompleteAtlasError as error:
        return error
    return IncompleteAtlasError(
        f"{root} is unfinished: all shards are written, the manifest is not. Run the same "
        "`peakatlas atlas build` again."
    )
