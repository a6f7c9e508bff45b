"""Files made from a FASTA, kept whole in the cache folder; one process at a time makes them."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import time
from typing import IO, TYPE_CHECKING

from filelock import SoftFileLease, Timeout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LEASE_S = 120.0
_PATIENCE_S = 1800.0
"""Wait so long for another process that makes the same file, then make it too."""
_ATTEMPT_S = 5.0
PART = ".part"
"""End of the names of files that are being written."""


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes its name only when the block ends well and its bytes are on the disk."""
    aside = path.with_name(f"{path.name}{secrets.token_hex(4)}{PART}")
    with aside.open("xb") as out:
        try:
            yield out
            out.flush()
            os.fsync(out.fileno())
            aside.replace(path)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_texts(path: Path) -> dict[str, str]:
    """The texts by name in a JSON file of the cache; none if it is absent or damaged."""
    try:
        values = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    pairs = values.items() if isinstance(values, dict) else ()
    return {name: text for name, text in pairs if isinstance(text, str)}


def write_texts(path: Path, values: dict[str, str]) -> None:
    """Keep texts by name, with those that are kept already; a cache that refuses is no fault."""
    with contextlib.suppress(OSError), written_whole(path) as out:
        out.write(json.dumps(read_texts(path) | values, sort_keys=True).encode())


@contextlib.contextmanager
def alone(held: Path) -> Iterator[bool]:
    """Wait for other processes that make a file; whether this one is alone then.

    It is not after a long wait for one that hangs, and may make the file all the same.

    Parameters
    ----------
    held : Path
        Marker file; one that nobody refreshes is taken over.
    """
    lease = SoftFileLease(held, lease_duration=_LEASE_S)
    limit = time.monotonic() + _PATIENCE_S
    while not lease.is_locked:
        with contextlib.suppress(OSError):  # a power failure may leave one that says nothing
            if time.time() - held.stat().st_mtime > _LEASE_S:
                held.unlink()
        try:
            lease.acquire(timeout=_ATTEMPT_S, poll_interval=0.1)
        except (Timeout, OSError) as error:
            if not isinstance(error, Timeout) or time.monotonic() > limit:
                yield False
                return
    try:
        yield True
    finally:
        with contextlib.suppress(OSError):
            lease.release()
