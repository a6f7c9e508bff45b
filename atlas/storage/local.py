"""A folder on this machine that is only read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import ByteRange, check_length

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from zarr.abc.store import Store


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
