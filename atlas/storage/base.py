"""Where an atlas lies, for reading: a local folder, or a folder behind any fsspec URL.

What reads an atlas goes through a `Storage` and names files by their path below the atlas, with
slashes. Nothing is ever listed: a plain web server has no listing, and the manifest is one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias
from urllib.parse import unquote

from peakatlas.engine.errors import AtlasError

from .atomic import parse_json

if TYPE_CHECKING:
    from zarr.abc.store import Store

ByteRange: TypeAlias = tuple[str, int, int]
"""File, first byte, byte past the last."""

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(://|::)")


class Storage(Protocol):
    """A folder that is only read; safe to share between threads."""

    @property
    def name(self) -> str:
        """Path or URL of the folder, as named in errors."""
        ...

    def where(self, name: str) -> str:
        """Path or URL of a file, as named in errors."""
        ...

    def local_path(self, name: str = "") -> Path | None:
        """Path of a file (or, without a name, of the folder); None if it is not a local one."""
        ...

    def exists(self, name: str) -> bool:
        """Whether a file is there."""
        ...

    def size(self, name: str) -> int:
        """Size of a file in bytes; FileNotFoundError if it is absent."""
        ...

    def read_bytes(self, name: str) -> bytes:
        """All bytes of a file; FileNotFoundError if it is absent."""
        ...

    def read_ranges(self, ranges: Sequence[ByteRange]) -> list[bytes]:
        """Bytes of each range, in their order, several requests at a time.

        FileNotFoundError if a file is absent, AtlasError if it ends before its range does.
        """
        ...

    def zarr_store(self, folder: str) -> Store:
        """Zarr store of a folder below this one, read-only."""
        ...


class LocalStorage:
    """A folder on this machine.

    Parameters
    ----------
    root : Path
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def name(self) -> str:
        """Path of the folder."""
        return str(self.root)

    def where(self, name: str) -> str:
        """Path of a file, for errors."""
        return str(self.root / name)

    def local_path(self, name: str = "") -> Path:
        """Path of a file, or of the folder."""
        return self.root / name

    def exists(self, name: str) -> bool:
        """Whether a file is there."""
        return (self.root / name).is_file()

    def size(self, name: str) -> int:
        """Size of a file in bytes.

        Raises
        ------
        FileNotFoundError
            If it is absent.
        """
        return (self.root / name).stat().st_size

    def read_bytes(self, name: str) -> bytes:
        """All bytes of a file.

        Raises
        ------
        FileNotFoundError
            If it is absent.
        """
        return (self.root / name).read_bytes()

    def read_ranges(self, ranges: Sequence[ByteRange]) -> list[bytes]:
        """Bytes of each range, in their order.

        Raises
        ------
        FileNotFoundError
            If a file is absent.
        AtlasError
            If a file ends before its range does.
        """
        return [self._read_range(*wanted) for wanted in ranges]

    def zarr_store(self, folder: str) -> Store:
        """Zarr store of a folder below this one, read-only."""
        from zarr.storage import LocalStore  # noqa: PLC0415 - slow, and seldom needed

        return LocalStore(self.root / folder, read_only=True)

    def _read_range(self, name: str, start: int, stop: int) -> bytes:
        with (self.root / name).open("rb") as handle:
            handle.seek(start)
            data = handle.read(stop - start)
        check_length(data, stop - start, self.where(name))
        return data


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


def check_length(data: bytes, wanted: int, where: str) -> None:
    """Refuse fewer bytes than were asked for.

    Raises
    ------
    AtlasError
    """
    if len(data) != wanted:
        raise AtlasError(
            f"{where} ends too early ({len(data)} of {wanted} bytes came): it is truncated, or its "
            "transfer broke off. Try again; if it stays so, restore the file from a copy."
        )
