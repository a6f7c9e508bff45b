"""Locks in an object store: an object that says who holds it, refreshed while it is held.

It is made on the condition that it is absent and taken over on the condition that it is still the
version that was seen, so that of two writers one succeeds. As with the marker of a local lock, a
holder that ended is known at once on its own machine, and anywhere by an object that was not
refreshed for `LEASE_S`. Before its files are put, a writer refreshes the objects that it holds: one
that slept and lost them finds out.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from contextlib import contextmanager, suppress
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peakatlas.engine.errors import AtlasError, ShardOwnershipError
from peakatlas.engine.run.periodic import repeated

from .atomic import json_bytes, parse_json
from .locks import LEASE_S, MARKER_SUFFIX, has_ended, held

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .objects import Found, Objects, Version

HEARTBEAT_S = 20.0
_POLL_S = (0.05, 2.0)
"""First and longest pause between attempts."""


class Leases:
    """Locks of one process in a folder of an object store.

    Parameters
    ----------
    objects : Objects
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._held: dict[str, _Lease] = {}

    @contextmanager
    def locked(self, name: str, *, wait: bool) -> Iterator[None]:
        """Hold a lock; see `base.WritableStorage.locked`.

        Raises
        ------
        ShardOwnershipError
            If another process holds it and `wait` is False; names it and its host.
        AtlasError
            If the store refuses.
        """
        lease = _Lease(self._objects, marker_of(name))
        pause, longest = _POLL_S
        while not lease.take(self._ahead):
            if not wait:
                raise held(f"{self._objects.url}/{name}", self.holder(name))
            time.sleep(pause)
            pause = min(2 * pause, longest)
        self._held[name] = lease
        try:
            with repeated(HEARTBEAT_S, lease.beat):
                yield
        finally:
            del self._held[name]
            lease.release()

    def confirm(self) -> None:
        """Refresh every lock that is held.

        Raises
        ------
        ShardOwnershipError
            If one was lost.
        AtlasError
            If the store refuses.
        """
        for lease in list(self._held.values()):
            lease.confirm()

    def holder(self, name: str) -> str:
        """Who holds a lock: ``process 123 on host``; empty if nobody does."""
        try:
            mark = _mark_in(self._objects.read(marker_of(name)))
        except (FileNotFoundError, AtlasError):
            return ""
        return f"process {mark['pid']} on {mark['host']}" if mark.get("pid") else ""

    @cached_property
    def _ahead(self) -> float:
        """Of the clock of the store; the store is checked before its first lock."""
        return self._objects.check()


class _Lease:
    """One lock."""

    def __init__(self, objects: Objects, path: str) -> None:
        self._objects, self._path = objects, path
        self._token, self._beat = secrets.token_hex(8), 0
        self._version: Version = {}
        self._busy = threading.Lock()

    def take(self, ahead: float) -> bool:
        """Whether it is ours now; of another, only if it is free or its holder is gone."""
        version = self._objects.create(self._path, self._mark())
        if version is None:
            try:
                found = self._objects.read(self._path)
            except FileNotFoundError:  # swept meanwhile: the next attempt makes it
                return False
            if _mark_in(found).get("token") == self._token:  # the answer to our own was lost
                version = found.version
            elif _is_free(found, time.time() + ahead):
                version = self._objects.replace(self._path, self._mark(), found.version)
        self._version = version or {}
        return version is not None

    def beat(self) -> bool:
        """Refresh it; whether it is still ours, as far as is known."""
        try:
            self.confirm()
        except ShardOwnershipError:
            return False  # whoever writes next finds out as well
        except AtlasError:
            return True
        return True

    def confirm(self) -> None:
        with self._busy:
            self._beat += 1
            version = self._objects.replace(self._path, self._mark(), self._version)
            if version is None:  # lost, or the answer to an earlier refresh was
                with suppress(FileNotFoundError):
                    found = self._objects.read(self._path)
                    ours = _mark_in(found).get("token") == self._token
                    version = found.version if ours else None
            if version is None:
                raise ShardOwnershipError(
                    f"{self._objects.url}/{self._path} was taken over: this process did not "
                    f"refresh it for {LEASE_S:.0f} s. Run the same command again; it goes on with "
                    "what is missing."
                )
            self._version = version

    def release(self) -> None:
        """Mark it as free; what stays of it is taken over."""
        with self._busy, suppress(AtlasError):
            free = json_bytes({"token": f"{self._token}-free"})
            self._objects.replace(self._path, free, self._version)

    def _mark(self) -> bytes:
        me = {"host": socket.gethostname(), "machine": _machine(), "pid": os.getpid()}
        return json_bytes({**me, "token": self._token, "beat": self._beat})


def marker_of(name: str) -> str:
    """Path of the object that stands for a lock."""
    folder, slash, last = name.rpartition("/")
    return f"{folder}{slash}.{last}{MARKER_SUFFIX}"


def _mark_in(found: Found) -> dict[str, Any]:
    try:
        return parse_json(found.data, "a lock")
    except AtlasError:
        return {}


def _is_free(found: Found, now: float) -> bool:
    mark = _mark_in(found)
    pid = mark.get("pid")
    if not isinstance(pid, int) or now - found.changed > LEASE_S:
        return True
    here = (mark.get("host"), mark.get("machine")) == (socket.gethostname(), _machine())
    return here and has_ended(pid)


@lru_cache(maxsize=1)
def _machine() -> str:
    """What tells machines, and containers, of one host name apart since they were started."""
    try:
        booted = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{booted} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""
