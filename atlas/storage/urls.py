"""From a path or URL to the storage behind it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from .atomic import parse_json
from .local import LocalStorage

if TYPE_CHECKING:
    from .base import Storage, WritableStorage

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(://|::)")


def open_storage(path: str | Path, *, storage_options: Mapping[str, Any] | None = None) -> Storage:
    """Storage of a local path or URL; nothing is read yet.

    Parameters
    ----------
    path : str or Path
        Folder, or any URL that fsspec knows: ``https://``, ``s3://``, ``memory://``, ``file://``.
    storage_options : mapping, optional
        Given to the fsspec filesystem of a URL, such as ``{"anon": True}`` for a public bucket.

    Returns
    -------
    Storage

    Raises
    ------
    AtlasError
        If the protocol of the URL is unknown.
    MissingDependencyError
        If the package that speaks it is not installed.
    """
    local = local_path(path)
    if local is not None:
        return LocalStorage(local)
    from .remote import RemoteStorage  # noqa: PLC0415 - local atlases need no fsspec

    return RemoteStorage.open(str(path), storage_options or {})


def writable_storage(place: str | Path | WritableStorage) -> WritableStorage:
    """Storage of a local path or of a URL of an object store, to write an atlas.

    Parameters
    ----------
    place : str, Path or WritableStorage
        A storage stands for itself.

    Raises
    ------
    AtlasError
        If nothing can be written to such a URL, or no credentials are to be found.
    MissingDependencyError
        If a package that this takes is not installed.
    """
    if not isinstance(place, str | Path):
        return place
    path = local_path(place)
    if path is not None:
        return LocalStorage(path)
    from .object_store import FRESH, ObjectStorage  # noqa: PLC0415 - as above

    return ObjectStorage.open(str(place), FRESH)


def local_path(place: str | Path) -> Path | None:
    """The path on this machine that a path or URL stands for; None if it is elsewhere.

    Examples
    --------
    >>> local_path("s3://bucket/atlas.zarr") is None
    True
    """
    text = str(place)
    if not isinstance(place, str) or not _URL.match(text):
        return Path(place)
    return Path(unquote(text.removeprefix("file://"))) if text.startswith("file://") else None


def read_json(storage: Storage, name: str) -> dict[str, Any]:
    """Read a JSON object.

    Raises
    ------
    AtlasError
        If the file is not a JSON object.
    FileNotFoundError
        If it does not exist.
    """
    return parse_json(storage.read_bytes(name), storage.where(name))
