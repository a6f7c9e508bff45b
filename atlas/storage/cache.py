"""Files that can be made again: known to be whole by their last bytes, evicted when long unused."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from . import atomic as files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MOST_BYTES = 32 << 30
"""Files of a cache beyond this many bytes are removed, the longest unused first."""
UNUSED_S = 90 * 86_400.0
"""Files that were not used for so long are removed."""
_MARK = b"\npeakatlas cache file "
"""Before the number of bytes that a file has without this end; readers stop before it."""
_DIGITS = 20


def is_kept(path: Path) -> bool:
    """Whether a file is there and as long as it was written; notes that it was used.

    Parameters
    ----------
    path : Path
    """
    try:
        with path.open("rb") as handle:
            begin = handle.seek(-len(_MARK) - _DIGITS, os.SEEK_END)
            whole = handle.read() == _end(begin)
        state = path.stat()
    except OSError:
        return False
    with suppress(OSError):  # of another user, or on a disk that is only read
        os.utime(path, ns=(time.time_ns(), state.st_mtime_ns))
    return whole


def keep(path: Path, save: Callable[[Path], None]) -> None:
    """Write a file into its cache folder, whole or not at all, then evict what is too much.

    Parameters
    ----------
    path : Path
    save : callable
        Writes the file at the path that it is given.

    Raises
    ------
    AtlasError
        If the disk refuses.
    """
    with files.new_file(path) as aside:
        save(aside)
        with aside.open("ab") as handle:
            handle.write(_end(handle.tell()))
    evict(path.parent, kept=path)


def evict(folder: Path, *, kept: Path | None = None) -> None:
    """Remove files that were not used for `UNUSED_S`, and the longest unused beyond `MOST_BYTES`.

    Parameters
    ----------
    folder : Path
    kept : Path, optional
        A file that stays.
    """
    files.sweep(folder, deep=False)
    room, now = MOST_BYTES, time.time()
    for used, n_bytes, path in sorted(_held(folder), reverse=True):
        if path == kept or (n_bytes <= room and now - used <= UNUSED_S):
            room -= n_bytes
            continue
        with suppress(OSError):
            path.unlink()


def _held(folder: Path) -> list[tuple[float, int, Path]]:
    """Time of last use, size and path of each file."""
    found = []
    for path in folder.iterdir():
        with suppress(OSError):
            state = path.stat()
            if path.is_file() and not path.name.startswith("."):
                found.append((max(state.st_atime, state.st_mtime), state.st_size, path))
    return found


def _end(n_bytes: int) -> bytes:
    return _MARK + str(n_bytes).zfill(_DIGITS).encode()
