"""Where an atlas lies: a local folder, or a folder behind any fsspec URL.

What reads an atlas goes through a `Storage` and names files by their path below the atlas, with
slashes. Readers list nothing: a plain web server has no listing, and the manifest is one. What
writes an atlas goes through a `WritableStorage`: a local folder or an object store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

from peakatlas.engine.errors import AtlasError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from zarr.abc.store import Store

ByteRange: TypeAlias = tuple[str, int, int]
"""File, first byte, byte past the last."""


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


class WritableStorage(Storage, Protocol):
    """A folder that is also written; every file is whole or absent."""

    def names(self, folder: str = "") -> list[str]:
        """Names of the files and folders right in a folder, sorted; none if it is absent."""
        ...

    def write_files(self, contents: Mapping[str, Iterable[bytes | memoryview]]) -> None:
        """Put files in place whole; each consists of its pieces, and replaces what stood there.

        AtlasError if they are refused.
        """
        ...

    def write_folder(self, name: str, contents: Mapping[str, bytes]) -> None:
        """Put a new folder in place; a reader that sees its last file sees all of them.

        AtlasError if it is refused.
        """
        ...

    def locked(self, name: str, *, wait: bool = False) -> AbstractContextManager[None]:
        """Hold an exclusive lock of this path; it is free again when the process dies.

        ShardOwnershipError if another process holds it and `wait` is False, AtlasError if it is
        refused.
        """
        ...

    def holder(self, name: str) -> str:
        """Who holds a lock, as text; empty if nobody says so."""
        ...

    def sweep(self, folder: str) -> None:
        """Remove locks and what dead writers left in a folder whose files are all written."""
        ...


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
