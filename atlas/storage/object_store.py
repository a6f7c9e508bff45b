"""A folder in an object store that is written: read like any URL, written by conditional puts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from peakatlas.engine.errors import ShardOwnershipError

from .leases import Leases
from .locks import MARKER_SUFFIX
from .objects import Objects
from .remote import RemoteStorage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from contextlib import AbstractContextManager

    from .remote import FileSystem

FRESH = {"skip_instance_cache": True, "use_listings_cache": False}
"""Options of the filesystem that reads: what others write meanwhile has to be seen."""


class ObjectStorage(RemoteStorage):
    """A folder in an object store, to write an atlas; use `open` with `FRESH`.

    Parameters
    ----------
    url, fs, root, options
        As in `RemoteStorage`.

    Raises
    ------
    AtlasError
        If nothing can be written to such a URL, or no credentials are to be found.
    MissingDependencyError
        If `obstore` is not installed.
    """

    def __init__(self, url: str, fs: FileSystem, root: str, options: Mapping[str, Any]) -> None:
        super().__init__(url, fs, root, options)
        self._objects = Objects.open(self.name)
        self._leases = Leases(self._objects)

    def names(self, folder: str = "") -> list[str]:
        """Names of what lies right in a folder, sorted; none if it is absent.

        Raises
        ------
        AtlasError
            If the store refuses, or there is no such bucket.
        """
        return self._objects.names(folder)

    def write_files(self, contents: Mapping[str, Iterable[bytes | memoryview]]) -> None:
        """Put objects whole, while every lock of this process is still held.

        Raises
        ------
        ShardOwnershipError
            If a lock was lost, or another process puts the same object.
        AtlasError
            If the store refuses.
        """
        self._leases.confirm()
        for name, pieces in contents.items():
            self._write(name, b"".join(pieces))

    def write_folder(self, name: str, contents: Mapping[str, bytes]) -> None:
        """Put the objects of a folder, the last one last; what a dead writer left of it goes.

        Raises
        ------
        ShardOwnershipError, AtlasError
            As `write_files`.
        """
        paths = {f"{name}/{file}": [data] for file, data in contents.items()}
        self._leases.confirm()
        self._objects.remove(path for path in self._objects.below(name) if path not in paths)
        self.write_files(paths)

    def locked(self, name: str, *, wait: bool = False) -> AbstractContextManager[None]:
        """Hold an exclusive lock of this path, see `Leases.locked`."""
        return self._leases.locked(name, wait=wait)

    def holder(self, name: str) -> str:
        """Who holds a lock, as text; empty if nobody does."""
        return self._leases.holder(name)

    def sweep(self, folder: str) -> None:
        """Remove the locks in a folder whose files are all written.

        Raises
        ------
        AtlasError
            If the store refuses.
        """
        paths = self._objects.below(folder)
        self._objects.remove(path for path in paths if path.endswith(MARKER_SUFFIX))

    def _write(self, name: str, data: bytes) -> None:
        if self._objects.create(name, data) is not None:
            return
        found = self._objects.read(name)
        if found.data == data or self._objects.replace(name, data, found.version) is not None:
            return
        if self._objects.read(name).data != data:  # else the answer to our own put was lost
            raise ShardOwnershipError(
                f"{self.where(name)} was written by another process at the same time. Run the "
                "same command again; it goes on with what is missing."
            )
