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
    text = str(path)
    if not isinstance(path, str) or not _URL.match(text):
        return LocalStorage(Path(path))
    if text.startswith("file://"):
        return LocalStorage(Path(unquote(text.removeprefix("file://"))))
    from .remote import RemoteStorage  # noqa: PLC0415 - local atlases need no fsspec

    return RemoteStorage.open(text, storage_options or {})


def writable_storage(place: str | Path | WritableStorage) -> WritableStorage:
    """Storage of a local path, to write an atlas; a storage stands for itself.

    Parameters
    ----------
    place : str, Path or WritableStorage
    """
    return LocalStorage(Path(place)) if isinstance(place, str | Path) else place


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
