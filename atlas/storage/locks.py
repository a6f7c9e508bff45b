"""Locks between processes of one machine or of several, whatever the file system offers.

A lock has two halves. ``flock`` keeps the processes of one machine apart, and the system drops it
when its holder dies. Some file systems refuse it (Lustre, NFS without a lock service), keep it to
one machine, or accept it and do nothing. Hence the second half: a marker file, created exclusively
and refreshed while it is held, that names host and process (a lease of the package `filelock`).
The marker of a process that ended is taken over at once on its own machine, and from any machine
when it was not refreshed for `LEASE_S`.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import SoftFileLease, Timeout

from peakatlas.engine.errors import ShardOwnershipError

from .atomic import is_alive, make_folder, owned_name, refused

if TYPE_CHECKING:
    from collections.abc import Iterator

LOCK_SUFFIX = ".lock"
MARKER_SUFFIX = ".held"
BROKEN_MARK = f"{MARKER_SUFFIX}.break."
"""In the name of a marker that `filelock` takes away because its holder is gone."""
LEASE_S = 120.0
"""A marker that was not refreshed for so long belongs to nobody."""
BLANK_S = 10.0
"""As `LEASE_S`, of a marker that says nothing: its process ended between making and writing it."""
_HEARTBEAT_S = 20.0
_POLL_S = (0.01, 0.5)
"""First and longest pause between attempts."""
_NO_FLOCK = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}


@contextmanager
def locked(folder: Path, name: str, *, wait: bool = False) -> Iterator[None]:
    """Hold an exclusive lock; it is free again when the process dies, however it dies.

    Parameters
    ----------
    folder : Path
        Where the lock lies; made if missing.
    name : str
        What is locked.
    wait : bool
        Whether to wait for another holder instead of raising.

    Raises
    ------
    ShardOwnershipError
        If another process holds the lock and `wait` is False; names it and its host.
    AtlasError
        If the disk refuses.
    """
    path = folder / f".{name}{LOCK_SUFFIX}"
    lease = _lease(folder, name)
    descriptor = _opened(path)
    try:
        _flock(descriptor, path, lease, wait)
        _mark(path, lease, wait)
        try:
            yield
        finally:
            with suppress(OSError):  # what stays is taken over
                lease.release()
    finally:
        os.close(descriptor)


def holder(folder: Path, name: str) -> str:
    """Who holds a lock: ``process 123 on host``; empty if nobody says so.

    Parameters
    ----------
    folder, name
        As in `locked`.
    """
    return _owner(_lease(folder, name))


def _opened(path: Path) -> int:
    try:
        make_folder(path.parent)
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise refused(path, error) from error


def _flock(descriptor: int, path: Path, lease: SoftFileLease, wait: bool) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError as error:
        raise held(path, _owner(lease)) from error
    except OSError as error:
        if error.errno not in _NO_FLOCK:
            raise refused(path, error) from error


def _mark(path: Path, lease: SoftFileLease, wait: bool) -> None:
    """Publish the marker, once nobody else has one."""
    pause, longest = _POLL_S
    while True:
        try:
            lease.acquire(blocking=False)
            return
        except Timeout as error:
            if _clear_abandoned(Path(lease.lock_file), ended=_is_zombie(lease)):
                continue
            if not (wait or _is_blank(Path(lease.lock_file))):
                raise held(path, _owner(lease)) from error
        except OSError as error:
            raise refused(path, error) from error
        time.sleep(pause)
        pause = min(2 * pause, longest)


def _is_blank(marker: Path) -> bool:
    """Whether a marker is there and does not say whose it is, yet or for good."""
    try:
        return marker.stat().st_size == 0
    except OSError:
        return False


def _clear_abandoned(marker: Path, *, ended: bool) -> bool:
    """Remove a marker that nobody refreshes; whether there was one.

    `filelock` leaves it where a file system cannot exchange two names (NFS), or when a power
    failure took what it said. Its age is measured by the clock of the file system itself.
    """
    aside = marker.with_name(owned_name(marker.name))
    try:
        aside.touch()
        now = aside.stat().st_mtime
        seen = marker.stat()
        limit = LEASE_S if seen.st_size else BLANK_S
        if now - seen.st_mtime < limit and not ended:
            return False
        marker.replace(aside)
        if aside.stat().st_ino != seen.st_ino:  # a live one took its place meanwhile
            os.link(aside, marker)
            return False
    except OSError:
        return False
    finally:
        aside.unlink(missing_ok=True)
    return True


def _is_zombie(lease: SoftFileLease) -> bool:
    """Whether the holder is a process of this machine that ended and was not waited for."""
    owner = lease.owner
    if owner is None or owner.hostname.partition("?")[0] != socket.gethostname():
        return False
    return _is_unwaited(owner.pid)


def has_ended(pid: int) -> bool:
    """Whether a process of this machine is no more, waited for or not."""
    return not is_alive(pid) or _is_unwaited(pid)


def _is_unwaited(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state == "Z"


def held(where: object, who: str) -> ShardOwnershipError:
    """What to say of a lock that another process holds; `who` is empty where nobody says so."""
    return ShardOwnershipError(
        f"{where} is held by another process{f' ({who})' if who else ''}, which is writing the "
        "same part of the atlas. Give every writer its own shards, or wait until that process is "
        "done."
    )


def _owner(lease: SoftFileLease) -> str:
    owner = lease.owner
    return f"process {owner.pid} on {owner.hostname}" if owner else ""


def _lease(folder: Path, name: str) -> SoftFileLease:
    return SoftFileLease(
        folder / f".{name}{MARKER_SUFFIX}",
        lease_duration=LEASE_S,
        heartbeat_interval=_HEARTBEAT_S,
        thread_local=False,
    )
