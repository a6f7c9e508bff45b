"""Checks of the files of an atlas: each is there, whole, and says what the others say."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from peakatlas.atlas.format.digests import bytes_digest
from peakatlas.atlas.format.layout import CHECKSUM_BYTES, ZARR_NAME
from peakatlas.atlas.format.opening import listed_files
from peakatlas.atlas.format.schema import (
    CARD_NAME,
    LOG_FOLDER,
    MANIFEST_NAME,
    NEWEST_VERSION,
    PLAN_NAME,
    ROOT_GROUP,
    SHOWN,
    Plan,
    check_listed,
    check_manifest,
    version_key,
)
from peakatlas.atlas.storage import atomic as files
from peakatlas.engine.documents import parse_object
from peakatlas.engine.errors import AtlasError, PeakAtlasError
from peakatlas.engine.run.cores import usable_cores

from .faults import Fault, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from peakatlas.atlas.storage.base import Storage

_FEW_BYTES = 1 << 22
"""Up to so many bytes, threads cost more than they save."""


@dataclass(frozen=True, kw_only=True)
class CheckedSegment:
    """A segment whose plan could be read, and what is wrong with its files."""

    name: str
    plan: Plan
    faults: tuple[Fault, ...]


def check_manifest_file(storage: Storage) -> tuple[dict[str, Any] | None, list[Fault]]:
    """Read the manifest and check all that it says of itself.

    Returns
    -------
    dict or None
        The manifest; None if it cannot be believed.
    list of Fault
    """
    kind: Kind = "manifest"
    try:
        data = storage.read_bytes(MANIFEST_NAME)
        manifest = parse_object(data, MANIFEST_NAME, AtlasError)
        kind = "manifest" if _is_known(manifest) else "newer"
        check_manifest(manifest, MANIFEST_NAME)
        what = _manifest_fault(manifest, data)
    except FileNotFoundError:
        what = "is absent: the atlas was not finished, or lost it"
    except AtlasError as error:
        what = f"cannot be believed ({error})"
    if what:
        return None, [Fault(file=MANIFEST_NAME, what=what, kind=kind)]
    return manifest, []


def check_root_group(storage: Storage) -> Iterator[Fault]:
    """Compare the Zarr group of the atlas with the one content that it may have."""
    what = "is not the group of an atlas as the format has it"
    yield from _document_faults(storage, ZARR_NAME, files.json_bytes(ROOT_GROUP), what)


def check_segment_files(
    storage: Storage,
    manifest: Mapping[str, Any],
    entry: Mapping[str, Any],
    *,
    deep: bool,
    progress: Callable[[int], None],
) -> tuple[CheckedSegment | None, list[Fault]]:
    """Check the files of a segment against the manifest, and the log against both.

    Parameters
    ----------
    storage : Storage
    manifest, entry : mapping
        Believed manifest, and the entry of the segment in it.
    deep : bool
        Whether to read the shards as well; without, only their sizes are compared.
    progress : callable
        Called with the number of bytes of each file that was read.

    Returns
    -------
    CheckedSegment or None
        None if the plan cannot be believed.
    list of Fault
        All that is wrong with its files.
    """
    faults = list(_listed_faults(storage, entry, deep=deep, progress=progress))
    name = str(entry["name"])
    if f"{name}/{PLAN_NAME}" in {fault.file for fault in faults}:
        return None, faults
    plan, about_plan = _read_plan(storage, name)
    if plan is None:
        return None, faults + about_plan
    faults += _plan_faults(plan, manifest, entry)
    try:
        check_listed(plan, entry["files"], f"{name}/{PLAN_NAME}")
    except AtlasError as error:
        what = f"does not fit a plan ({error})"
        return None, [*faults, Fault(file=MANIFEST_NAME, what=what, kind="manifest")]
    faults += [*_unlisted_faults(plan, entry), *_log_faults(storage, entry, plan)]
    faults += _checksum_faults(storage, entry, plan) if deep and not faults else ()
    return CheckedSegment(name=name, plan=plan, faults=tuple(faults)), faults


def check_strays(
    storage: Storage, manifest: Mapping[str, Any], segments: list[CheckedSegment]
) -> tuple[list[Fault], list[str]]:
    """Look for files that no part of the atlas accounts for; only in a local folder.

    Returns
    -------
    list of Fault
        One for each such file in the folder of the atlas or of a listed segment.
    list of str
        A note on each folder of a segment that is not listed: an append that is under way or died.
    """
    root = storage.local_path()
    if root is None:
        return [], ["the folder cannot be listed, so stray files were not looked for"]
    known = {MANIFEST_NAME, ZARR_NAME, CARD_NAME}
    known |= {name for name, _ in listed_files(manifest)}
    for segment in segments:
        known |= {
            f"{segment.name}/{segment.plan.log_name(shard)}"
            for shard in range(segment.plan.n_shards)
        }
    listed = {str(s["name"]) for s in manifest["segments"]}
    unlisted = sorted(path.name for path in root.glob("segment-*") if path.name not in listed)
    notes = [
        f"{name} is not listed: an append or a compaction is under way, or left it when it died; "
        "the next one takes it up or removes it"
        for name in unlisted
    ]
    unknown = listed - {segment.name for segment in segments}  # how many shards, and so logs
    apart = (*(f"{name}/" for name in unlisted), *(f"{name}/{LOG_FOLDER}/" for name in unknown))
    found = [name for name in _names_below(str(root)) if not name.startswith(apart)]
    strays = [
        Fault(file=name, what="is no part of the atlas", kind="stray")
        for name in sorted(set(found) - known)
    ]
    return strays, notes


def _is_shard(name: str) -> bool:
    """Whether a path below a segment is that of a shard of a row column."""
    return "/c/" in name and not name.startswith("intervals/")


def _is_known(manifest: Mapping[str, Any]) -> bool:
    major = str(manifest.get("format_version")).partition(".")[0]
    return not major.isdecimal() or version_key(major) <= version_key(NEWEST_VERSION)[:1]


def _manifest_fault(manifest: Mapping[str, Any], data: bytes) -> str:
    if data != files.json_bytes(manifest):
        return "is not written as the format has it: its bytes were changed"
    return ""


def _read_plan(storage: Storage, segment: str) -> tuple[Plan | None, list[Fault]]:
    name = f"{segment}/{PLAN_NAME}"
    try:
        return Plan.from_json(parse_object(storage.read_bytes(name), name, AtlasError), name), []
    except FileNotFoundError:
        what = "is absent"
    except PeakAtlasError as error:
        what = f"cannot be used ({error})"
    return None, [Fault(file=name, what=what, kind="original")]


def _plan_faults(
    plan: Plan, manifest: Mapping[str, Any], entry: Mapping[str, Any]
) -> Iterator[Fault]:
    spec, n_rows = manifest["spec_digest"], entry["n_rows"]
    if plan.spec.digest != spec or plan.spec.to_json() != manifest["spec"]:
        what = f"has spec {plan.spec.digest[:12]}, {PLAN_NAME} of {entry['name']}"
        yield Fault(file=MANIFEST_NAME, what=f"{what} another: {spec[:12]}", kind="manifest")
    if plan.n_rows != n_rows:
        what = f"gives {entry['name']} {n_rows} rows, its {PLAN_NAME} {plan.n_rows}"
        yield Fault(file=MANIFEST_NAME, what=what, kind="manifest")
    if version_key(manifest["format_version"]) < version_key(plan.format_version):
        what = f"is of format {manifest['format_version']}, {entry['name']} {plan.format_version}"
        yield Fault(file=MANIFEST_NAME, what=what, kind="manifest")


def _unlisted_faults(plan: Plan, entry: Mapping[str, Any]) -> Iterator[Fault]:
    absent = sorted(set(plan.laid_out) - entry["files"].keys())
    if absent:
        what = (
            f"does not list {len(absent)} file(s) of {entry['name']} ({', '.join(absent[:SHOWN])})"
        )
        yield Fault(file=MANIFEST_NAME, what=what, kind="manifest")


def _log_faults(storage: Storage, entry: Mapping[str, Any], plan: Plan) -> Iterator[Fault]:
    for shard in range(plan.n_shards):
        name = f"{entry['name']}/{plan.log_name(shard)}"
        held = {file: entry["files"].get(file) for file in plan.shard_files(shard).values()}
        what = "does not say what plan and manifest say of its shard"
        wanted = files.json_bytes(plan.log_entry(shard, held))
        yield from _document_faults(storage, name, wanted, what)


def _document_faults(storage: Storage, name: str, wanted: bytes, what: str) -> Iterator[Fault]:
    """A fault if a document is absent, or is not the one that it must be."""
    try:
        if storage.read_bytes(name) != wanted:
            yield Fault(file=name, what=what, kind="document")
    except FileNotFoundError:
        yield Fault(file=name, what="is absent", kind="document")


def _checksum_faults(storage: Storage, entry: Mapping[str, Any], plan: Plan) -> Iterator[Fault]:
    """Compare the checksums that the manifest lists with those in the files."""
    for layout in plan.layouts.values():
        for name in layout.files:
            path, file = f"{entry['name']}/{name}", entry["files"][name]
            listed, size = file.get("crc32c"), file["bytes"]
            if listed is None:
                continue
            (index,) = storage.read_ranges([(path, size - layout.index_bytes, size)])
            ends = layout.ends_of(index, size) or ()
            held = storage.read_ranges([(path, end - CHECKSUM_BYTES, end) for end in ends])
            if "".join(each[::-1].hex() for each in held) != listed:
                what = "holds other checksums than the manifest lists for its chunks"
                yield Fault(file=path, what=what, kind=_kind(name))


def _listed_faults(
    storage: Storage,
    entry: Mapping[str, Any],
    *,
    deep: bool,
    progress: Callable[[int], None],
) -> Iterator[Fault]:
    jobs = [(f"{entry['name']}/{name}", name, file) for name, file in entry["files"].items()]

    def check(job: tuple[str, str, Mapping[str, Any]]) -> tuple[str, int]:
        path, name, file = job
        return _content_fault(storage, path, file, whole=deep or not _is_shard(name))

    few = sum(file["bytes"] for _, _, file in jobs) <= _FEW_BYTES
    with ThreadPoolExecutor(usable_cores()) as pool:
        found = map(check, jobs) if few else pool.map(check, jobs)
        for (path, name, _), (what, n_read) in zip(jobs, found, strict=True):
            progress(n_read)
            if what:
                yield Fault(file=path, what=what, kind=_kind(name))


def _content_fault(
    storage: Storage, path: str, file: Mapping[str, Any], *, whole: bool
) -> tuple[str, int]:
    """What is wrong with a file, "" if nothing, and how many of its bytes were read."""
    try:
        size = storage.size(path)
        if size != file["bytes"]:
            return f"has {size} bytes, the manifest {file['bytes']}", 0
        if not whole:
            return "", 0
        if bytes_digest(storage.read_bytes(path)) != file["sha256"]:
            return "has another SHA-256 than the manifest: its bytes were changed", size
    except FileNotFoundError:
        return "is absent", 0
    return "", size


def _kind(name: str) -> Kind:
    if _is_shard(name):
        return "shard"
    return "document" if name.endswith(ZARR_NAME) else "original"


def _names_below(root: str) -> Iterator[str]:
    """Files below a folder, with slashes; without those whose path has a part with a dot ahead."""
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        below = os.path.relpath(folder, root).replace(os.sep, "/")
        for name in names:
            if not name.startswith("."):
                yield name if below == "." else f"{below}/{name}"
