"""Files that are either whole and on the disk, or not there.

Every file of an atlas is written aside, flushed to the disk, renamed into place, and its folder
is flushed too: after a crash a name either holds all its bytes or does not exist.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peakatlas.engine.errors import AtlasError, ShardOwnershipError

if TYPE_CHECKING:
    from collections.abc import Mapping

ASIDE_SUFFIX = ".aside"
LOCK_SUFFIX = ".lock"


def write_files(contents: Mapping[Path, Iterable[bytes | memoryview]]) -> None:
    """Put files in place whole: all aside and flushed, then renamed, then their folders flushed.

    After a crash some of the files may be there and others not; none is there in part.

    Parameters
    ----------
    contents : mapping of Path to bytes-like pieces
        A file consists of its pieces, one after the other. It is replaced if it exists; missing
        folders are made.

    Raises
    ------
    AtlasError
        If the disk refuses (full, read-only, no permission); what stood at a path still stands.
    """
    path = Path()
    try:
        for path, pieces in contents.items():
            _make_folder(path.parent)
            with _aside(path).open("wb") as handle:
                handle.writelines(pieces)
                handle.flush()
                os.fsync(handle.fileno())
        for path in contents:
            _aside(path).replace(path)
        for folder in dict.fromkeys(path.parent for path in contents):
            sync_folder(folder)
    except OSError as error:
        raise _refused(path, error) from error


def write_bytes(path: Path, data: bytes | memoryview) -> None:
    """`write_files` of one file.

    Raises
    ------
    AtlasError
        If the disk refuses; what stood at `path` still stands.
    """
    write_files({path: [data]})


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """`write_bytes` of indented JSON with sorted keys, so that equal values give equal bytes.

    Raises
    ------
    AtlasError
        If the disk refuses.
    """
    write_bytes(path, json_bytes(values))


def json_bytes(values: Mapping[str, Any]) -> bytes:
    """The one way to write a JSON document of an atlas: ASCII, indented by one, keys sorted."""
    return (json.dumps(values, indent=1, sort_keys=True) + "\n").encode()


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises
    ------
    AtlasError
        If the file is not a JSON object.
    FileNotFoundError
        If it does not exist.
    """
    return parse_json(path.read_bytes(), str(path))


def parse_json(data: bytes, where: str) -> dict[str, Any]:
    """The JSON object in a document of an atlas.

    Parameters
    ----------
    data : bytes
    where : str
        Where they come from, for the text.

    Raises
    ------
    AtlasError
        If they are not a JSON object.
    """
    try:
        values = json.loads(data)
    except ValueError as error:
        raise AtlasError(f"{where} is not JSON ({error}); the atlas is damaged.") from error
    if not isinstance(values, dict):
        raise AtlasError(f"{where} does not hold a JSON object; the atlas is damaged.")
    return values


def sync_folder(path: Path) -> None:
    """Flush the names in a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(path: Path) -> None:
    """Flush every file and folder below `path`, itself included, to the disk."""
    for folder, _, names in os.walk(path, topdown=False):
        for name in names:
            with (Path(folder) / name).open("rb") as handle:
                os.fsync(handle.fileno())
        sync_folder(Path(folder))


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Fill a folder aside and rename it to `path` when the block ends well.

    Raises
    ------
    AtlasError
        If the disk refuses, or `path` exists already.
    """
    aside = _aside(path)
    try:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        yield aside
        sync_tree(aside)
        aside.rename(path)
        sync_folder(path.parent)
    except OSError as error:
        raise _refused(path, error) from error


def remove_folder(path: Path) -> None:
    """Remove a folder; a crash midway leaves nothing under its name.

    Raises
    ------
    AtlasError
        If the disk refuses.
    """
    aside = _aside(path)
    try:
        shutil.rmtree(aside, ignore_errors=True)
        path.rename(aside)
        shutil.rmtree(aside)
    except OSError as error:
        raise _refused(path, error) from error


def sweep(folder: Path) -> None:
    """Remove what interrupted writers left behind below `folder`."""
    for pattern in (f".*{ASIDE_SUFFIX}", f".*{LOCK_SUFFIX}"):
        for path in sorted(folder.rglob(pattern)):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


@contextmanager
def locked(folder: Path, name: str, *, wait: bool = False) -> Iterator[None]:
    """Hold an exclusive lock; the system drops it when the process dies, however it dies.

    Parameters
    ----------
    folder : Path
        Where the lock file lies; made if missing.
    name : str
        What is locked.
    wait : bool
        Whether to wait for another holder instead of raising.

    Raises
    ------
    ShardOwnershipError
        If another process holds the lock and `wait` is False.
    AtlasError
        If the disk refuses.
    """
    path = folder / f".{name}{LOCK_SUFFIX}"
    try:
        _make_folder(folder)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise _refused(path, error) from error
    try:
        _lock(descriptor, path, wait)
        yield
    finally:
        os.close(descriptor)


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}{ASIDE_SUFFIX}")


def _make_folder(path: Path) -> None:
    if not path.is_dir():
        _make_folder(path.parent)
        path.mkdir(exist_ok=True)
        sync_folder(path.parent)


def _lock(descriptor: int, path: Path, wait: bool) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError as error:
        raise ShardOwnershipError(
            f"{path} is held by another process, which is writing the same part of the atlas. "
            "Give every writer its own shards, or wait until that process is done."
        ) from error


def _refused(path: Path, error: OSError) -> AtlasError:
    return AtlasError(
        f"cannot write {path}: {error.strerror or error}. Shards already written are kept; "
        "make room or give permission and run the same command again."
    )
