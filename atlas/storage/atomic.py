"""Files that are either whole and on the disk, or not there.

Every file of an atlas is written aside, flushed to the disk, renamed into place, and its folder
is flushed too: after a crash a name either holds all its bytes or does not exist. The name aside
says which process writes it, so that two never write into one file.
"""

from __future__ import annotations

import errno
import filecmp
import json
import os
import secrets
import shutil
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peakatlas.engine.documents import parse_object
from peakatlas.engine.errors import AtlasError

if TYPE_CHECKING:
    from collections.abc import Mapping

ASIDE_SUFFIX = ".aside"
_LEFT_S = 86_400.0
"""A file aside of another machine that is older than this was left behind."""


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
    asides = {path: path.with_name(owned_name(path.name)) for path in contents}
    path = Path()
    try:
        for path, pieces in contents.items():
            make_folder(path.parent)
            with asides[path].open("wb") as handle:
                handle.writelines(pieces)
                handle.flush()
                os.fsync(handle.fileno())
        for path, aside in asides.items():
            aside.replace(path)
        for folder in dict.fromkeys(path.parent for path in contents):
            sync_folder(folder)
    except BaseException as error:
        for aside in asides.values():
            with suppress(OSError):
                aside.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise refused(path, error) from error
        raise


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
    return parse_object(data, where, AtlasError)


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
def new_file(path: Path) -> Iterator[Path]:
    """A path aside, for what must write a file itself; renamed to `path` when the block ends well.

    Raises
    ------
    AtlasError
        If the disk refuses; what stood at `path` still stands.
    """
    aside = path.with_name(owned_name(path.name))
    try:
        make_folder(path.parent)
        yield aside
        with aside.open("rb") as handle:
            os.fsync(handle.fileno())
        aside.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise refused(path, error) from error
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Fill a folder aside and rename it to `path` when the block ends well.

    A folder that stands there already with the same content is left as it is.

    Raises
    ------
    AtlasError
        If the disk refuses, or `path` exists with other content.
    """
    aside = path.with_name(owned_name(path.name))
    try:
        make_folder(path.parent)
        aside.mkdir()
        yield aside
        sync_tree(aside)
        try:
            aside.rename(path)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or not same_tree(aside, path):
                raise
        sync_folder(path.parent)
    except OSError as error:
        raise refused(path, error) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def same_tree(one: Path, other: Path) -> bool:
    """Whether two folders hold the same files, byte for byte; hidden ones do not count."""
    names, others = (
        {
            path.relative_to(root)
            for path in root.rglob("*")
            if path.is_file() and not path.name.startswith(".")
        }
        for root in (one, other)
    )
    return names == others and all(
        filecmp.cmp(one / name, other / name, shallow=False) for name in names
    )


def remove_folder(path: Path) -> None:
    """Remove a folder; a crash midway leaves nothing under its name.

    Raises
    ------
    AtlasError
        If the disk refuses.
    """
    aside = path.with_name(owned_name(path.name))
    try:
        path.rename(aside)
        sync_folder(path.parent)
        shutil.rmtree(aside)
    except OSError as error:
        raise refused(path, error) from error


def sweep(folder: Path, *, marks: Iterable[str] = (), deep: bool = True) -> None:
    """Remove what interrupted writers left behind in a folder; living writers keep theirs.

    Parameters
    ----------
    folder : Path
    marks : iterable of str, optional
        Hidden files with one of these in their names are removed as well.
    deep : bool
        Whether to go below the folder.
    """
    marks = tuple(marks)
    for path in sorted(folder.rglob(".*") if deep else folder.glob(".*")):
        left = path.name.endswith(ASIDE_SUFFIX) or any(mark in path.name for mark in marks)
        if not left or is_written(path):
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def owned_name(name: str) -> str:
    """Hidden name, used once, for what this process writes aside before it is called `name`."""
    owner = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    return f".{name}.{owner}{ASIDE_SUFFIX}"


def is_written(path: Path) -> bool:
    """Whether a name from `owned_name` may belong to a process that still writes."""
    named, _, rest = path.name.removesuffix(ASIDE_SUFFIX).rpartition("-")
    named, _, pid = named.rpartition("-")
    if not path.name.endswith(ASIDE_SUFFIX) or not (rest and pid.isdecimal()):
        return False
    if named.endswith(f".{socket.gethostname()}"):
        return is_alive(int(pid))
    with suppress(OSError):
        return time.time() - path.stat().st_mtime < _LEFT_S
    return False


def make_folder(path: Path) -> None:
    """Make a folder and its parents, and flush their names to the disk."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        sync_folder(path.parent)


def refused(path: Path, error: OSError) -> AtlasError:
    """What to say when the disk refuses a file."""
    return AtlasError(
        f"cannot write {path}: {error.strerror or error}. Shards already written are kept; "
        "make room or give permission and run the same command again."
    )


def is_alive(pid: int) -> bool:
    """Whether a process of this machine runs."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
