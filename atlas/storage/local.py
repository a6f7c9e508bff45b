"""A folder on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import atomic as files
from .base import ByteRange, check_length
from .locks import BROKEN_MARK, LOCK_SUFFIX, MARKER_SUFFIX, holder, locked

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager
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

    def names(self, folder: str = "") -> list[str]:
        """Names of the files and folders right in a folder, sorted; none if it is absent."""
        path = self.root / folder
        return sorted(found.name for found in path.iterdir()) if path.is_dir() else []

    def write_files(self, contents: Mapping[str, Iterable[bytes | memoryview]]) -> None:
        """Put files in place whole, see `atomic.write_files`.

        Raises
        ------
        AtlasError
            If the disk refuses.
        """
        files.write_files({self.root / name: pieces for name, pieces in contents.items()})

    def write_folder(self, name: str, contents: Mapping[str, bytes]) -> None:
        """Put a new folder in place, see `atomic.new_folder`.

        Raises
        ------
        AtlasError
            If the disk refuses, or it exists with other content.
        """
        with files.new_folder(self.root / name) as folder:
            for file, data in contents.items():
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                (folder / file).write_bytes(data)

    def locked(self, name: str, *, wait: bool = False) -> AbstractContextManager[None]:
        """Hold an exclusive lock of this path, see `locks.locked`."""
        path = self.root / name
        return locked(path.parent, path.name, wait=wait)

    def holder(self, name: str) -> str:
        """Who holds a lock, as text; empty if nobody says so."""
        path = self.root / name
        return holder(path.parent, path.name)

    def sweep(self, folder: str) -> None:
        """Remove locks and what dead writers left in a folder, and the latter right above it."""
        files.sweep(self.root / folder, marks=(LOCK_SUFFIX, MARKER_SUFFIX))
        files.sweep(self.root, marks=(BROKEN_MARK,), deep=False)

    def _read_range(self, name: str, start: int, stop: int) -> bytes:
        with (self.root / name).open("rb") as handle:
            handle.seek(start)
            data = handle.read(stop - start)
        check_length(data, stop - start, self.where(name))
        return data
