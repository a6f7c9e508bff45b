"""Where an atlas lies, for reading: a local folder, or a folder behind any fsspec URL.

What reads an atlas goes through a `Storage` and names files by their path below the atlas, with
slashes. Nothing is ever listed: a plain web server has no listing, and the manifest is one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

from peakatlas.engine.errors import AtlasError

if TYPE_CHECKING:
    from collections.abc import Sequence
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
