"""A copy of a remote atlas in a local folder, made once and kept in step with the original.

Each file is fetched aside, checked against the SHA-256 of the manifest and renamed into place; the
manifest comes last. What an interrupted copy fetched is kept. A finished copy asks the server for
nothing but the manifest: while that is the same, and every file here has the size that it lists,
the copy is used as it is.
"""

from __future__ import annotations

import os
import shutil
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peakatlas.atlas.format.digests import bytes_digest, file_digest
from peakatlas.atlas.format.layout import ZARR_NAME
from peakatlas.atlas.format.opening import listed_files, not_finished
from peakatlas.atlas.format.schema import MANIFEST_NAME, PLAN_NAME, check_manifest, read_plan
from peakatlas.engine.dna.fasta import cache_folder
from peakatlas.engine.errors import AtlasError

from .storage import atomic as files
from .storage.locks import locked
from .storage.urls import open_storage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .storage.base import Storage

MARK_NAME = ".mirror.json"
"""Says of what a folder is a copy, and of which manifest."""
BLOCK_BYTES = 1 << 25
"""Bytes of one request; what is lost of a file when a transfer breaks off."""
FILES_AT_ONCE = 4
_PARTIAL_SUFFIX = ".part"


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    """A file to fetch; digest and size are None where the manifest does not list it."""

    name: str
    n_bytes: int | None = None
    sha256: str | None = None


def mirror_atlas(
    url: str | Path,
    folder: str | Path | None = None,
    *,
    storage_options: Mapping[str, Any] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Path:
    """Copy an atlas into a folder, or bring the copy up to date.

    Parameters
    ----------
    url : str or Path
        Any URL that fsspec knows, or a local path.
    folder : str or Path, optional
        Made if missing; the cache folder (``$XDG_CACHE_HOME/peakatlas``) when not given.
    storage_options : mapping, optional
        Given to the fsspec filesystem of a URL.
    progress : callable, optional
        Called with the number of bytes that are there since its last call, from any thread.

    Returns
    -------
    Path
        The folder: a whole atlas, checked when it was fetched.

    Raises
    ------
    AtlasError
        If there is no atlas at `url`, a file does not fit the manifest, `folder` holds something
        else or was changed, the disk refuses, or the server does not answer and there is no
        finished copy (if there is one, it is used, with a warning).
    MissingDependencyError
        If the package that speaks the protocol of the URL is not installed.
    """
    storage = open_storage(url, storage_options=storage_options)
    root = cached_mirror(storage.name) if folder is None else Path(folder)
    _check_mark(root, storage.name)
    try:
        text = storage.read_bytes(MANIFEST_NAME)
    except FileNotFoundError as error:
        raise not_finished(storage) from error
    except AtlasError as error:
        if not _is_whole(root):
            raise
        warnings.warn(f"{error} The copy in {root} is used as it is.", stacklevel=2)
        return root
    manifest = files.parse_json(text, storage.where(MANIFEST_NAME))
    check_manifest(manifest, storage.where(MANIFEST_NAME))
    with locked(root, "mirror", wait=True):
        if not _is_current(root, text):
            _Copy(storage, root, progress or (lambda _: None)).make(manifest, text)
    return root


def cached_mirror(url: str) -> Path:
    """Folder of the copy of a URL in the cache.

    Raises
    ------
    GenomeError
        If the cache folder cannot be made.
    """
    name = url.rstrip("/").rsplit("/", 1)[-1]
    return cache_folder() / "atlases" / f"{bytes_digest(url.rstrip('/').encode())[:16]}-{name}"


class _Copy:
    """The making of one copy."""

    def __init__(self, storage: Storage, root: Path, progress: Callable[[int], None]) -> None:
        self._storage, self._root, self._progress = storage, root, progress

    def make(self, manifest: Mapping[str, Any], text: bytes) -> None:
        listed = _listed(manifest)
        trusted = self._trusted()
        missing = [file for file in listed if not self._is_there(file, trusted)]
        self._check_room(missing)
        (self._root / MANIFEST_NAME).unlink(missing_ok=True)  # until done, this is no atlas
        files.sync_folder(self._root)
        mark = {"url": self._storage.name, "manifest_sha256": bytes_digest(text)}
        files.write_json(self._root / MARK_NAME, mark)
        self._fetch_all(missing)
        self._fetch_all(self._unlisted(manifest))
        files.write_bytes(self._root / MANIFEST_NAME, text)

    def _trusted(self) -> dict[str, str]:
        """Digests of the files of the finished copy that stands here, none if it is unfinished."""
        path = self._root / MANIFEST_NAME
        if not path.exists():
            return {}
        return {file.name: str(file.sha256) for file in _listed(files.read_json(path))}

    def _is_there(self, file: _Wanted, trusted: Mapping[str, str]) -> bool:
        path = self._root / file.name
        if _size(path) != file.n_bytes:
            return False
        there = trusted.get(file.name) or file_digest(path)
        if there == file.sha256:
            self._progress(path.stat().st_size)
        return there == file.sha256

    def _check_room(self, missing: list[_Wanted]) -> None:
        needed = sum(file.n_bytes or 0 for file in missing)
        free = shutil.disk_usage(self._root).free
        if needed > free:
            raise AtlasError(
                f"{self._root} has room for {free:,} bytes and the copy of {self._storage.name} "
                f"needs {needed:,} more. Give a folder on a larger disk."
            )

    def _unlisted(self, manifest: Mapping[str, Any]) -> list[_Wanted]:
        names = [ZARR_NAME]
        for entry in manifest["segments"]:
            path = self._root / entry["name"] / PLAN_NAME
            plan = read_plan(path.read_bytes(), entry, str(path))
            shards = range(plan.n_shards)
            names += [f"{entry['name']}/{plan.log_name(shard)}" for shard in shards]
        return [_Wanted(name=name) for name in names if not (self._root / name).exists()]

    def _fetch_all(self, wanted: list[_Wanted]) -> None:
        with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
            try:
                for _ in pool.map(self._fetch, wanted):
                    pass
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def _fetch(self, file: _Wanted) -> None:
        try:
            if file.n_bytes is None:
                files.write_bytes(self._root / file.name, self._storage.read_bytes(file.name))
                return
            path = self._root / file.name
            partial = path.with_name(f".{path.name}{_PARTIAL_SUFFIX}")
            files.make_folder(path.parent)
            resumed = self._fill(file.name, partial, file.n_bytes)
            if resumed and file_digest(partial) != file.sha256:  # what was there was damaged
                self._progress(-file.n_bytes)
                partial.unlink()
                self._fill(file.name, partial, file.n_bytes)
        except FileNotFoundError as error:
            raise AtlasError(
                f"{self._storage.where(file.name)} is absent: the atlas is damaged. Tell whoever "
                "serves it."
            ) from error
        except OSError as error:
            raise AtlasError(
                f"cannot write {self._root / file.name}: {error.strerror or error}. What was "
                "fetched is kept; make room or give permission and run the same command again."
            ) from error
        self._accept(file, partial, path)

    def _fill(self, name: str, partial: Path, n_bytes: int) -> bool:
        """Fetch what is missing of a file, a block at a time; whether some was there."""
        with partial.open("ab") as handle:
            begin = handle.tell()
            if begin > n_bytes:
                handle.truncate(0)
                begin = 0
            self._progress(begin)
            for low in range(begin, n_bytes, BLOCK_BYTES):
                high = min(low + BLOCK_BYTES, n_bytes)
                handle.write(self._storage.read_ranges([(name, low, high)])[0])
                handle.flush()
                self._progress(high - low)
            os.fsync(handle.fileno())
        return begin > 0

    def _accept(self, file: _Wanted, partial: Path, path: Path) -> None:
        found = file_digest(partial)
        if found != file.sha256:
            partial.unlink()
            raise AtlasError(
                f"{self._storage.where(file.name)} does not fit the manifest (SHA-256 {found}, "
                f"listed {file.sha256}): it is damaged or was changed meanwhile. Run the same "
                "command again; if it stays so, tell whoever serves the atlas."
            )
        partial.replace(path)
        files.sync_folder(path.parent)


def _listed(manifest: Mapping[str, Any]) -> list[_Wanted]:
    return [
        _Wanted(name=name, n_bytes=int(file["bytes"]), sha256=file["sha256"])
        for name, file in listed_files(manifest)
    ]


def _check_mark(root: Path, url: str) -> None:
    """Refuse a folder that holds something else, or a copy that was changed."""
    if not root.exists() or all(path.name.startswith(".") for path in root.iterdir()):
        return
    mark = files.read_json(root / MARK_NAME) if (root / MARK_NAME).exists() else {}
    if mark.get("url") != url:
        held = f"a copy of {mark['url']}" if mark else "not a copy of an atlas"
        raise AtlasError(f"{root} exists and is {held}, not of {url}. Give another folder.")
    manifest = root / MANIFEST_NAME
    if manifest.exists() and file_digest(manifest) != mark["manifest_sha256"]:
        raise AtlasError(
            f"{root} was changed since it was copied from {url}, such as by an append. Open the "
            "folder itself, or give another folder for the copy."
        )


def _is_current(root: Path, text: bytes) -> bool:
    path = root / MANIFEST_NAME
    return path.exists() and path.read_bytes() == text and _is_whole(root)


def _is_whole(root: Path) -> bool:
    """Whether a copy has its manifest, and every file that it lists with the size listed."""
    path = root / MANIFEST_NAME
    return path.exists() and all(
        _size(root / file.name) == file.n_bytes for file in _listed(files.read_json(path))
    )


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None
