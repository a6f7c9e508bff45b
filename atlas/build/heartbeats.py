"""Signs of life of the ranks of a build: a hidden file each in the folder of the atlas.

A rank that has nothing left to do but waits for another one says which: on which machine, which
process, at which shard, and since when it gave no sign.
"""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from peakatlas.atlas.storage import atomic as files
from peakatlas.engine.errors import AtlasError

if TYPE_CHECKING:
    from collections.abc import Callable

    from peakatlas.engine.run.distributed import RankState

EVERY_S = 5.0
"""A sign is given no more often."""
SILENT_S = 60.0
"""A rank without a sign for so long is named."""


class Heartbeat:
    """Signs of one rank; does nothing when there is but one, or no folder.

    Parameters
    ----------
    root : Path or None
        Folder of the atlas; None where it lies in an object store.
    state : RankState
    """

    def __init__(self, root: Path | None, state: RankState) -> None:
        self._root = root or Path()
        self._state, self._alone = state, root is None or state.world_size == 1
        self._last, self._shard = -EVERY_S, -1

    def beat(self, shard: int | None = None) -> None:
        """Give a sign, and say which shard is in hand when that changes."""
        new = shard is not None and shard != self._shard
        if self._alone or not (new or time.monotonic() > self._last + EVERY_S):
            return
        self._last, self._shard = time.monotonic(), self._shard if shard is None else shard
        with suppress(AtlasError, OSError):  # a full disk is found by what matters
            files.make_folder(self._root)
            path, aside = self._path(self._state.rank), self._aside()
            aside.write_bytes(files.json_bytes(self._sign()))  # needs no flush
            aside.replace(path)

    def counted(self, report: Callable[[int], None]) -> Callable[[int], None]:
        """A report of progress that gives a sign as well."""

        def both(n_peaks: int) -> None:
            self.beat()
            report(n_peaks)

        return both

    def end(self) -> None:
        """Take the sign back: this rank is done."""
        if self._alone:
            return
        with suppress(OSError):
            self._path(self._state.rank).unlink(missing_ok=True)

    def silent(self) -> str:
        """Ranks that gave no sign for `SILENT_S`, or ended, as text; empty if there are none."""
        if self._alone:
            return ""
        own = self._root / f".{socket.gethostname()}-{os.getpid()}.now"
        try:
            own.touch()  # the time as the file system has it
            now = own.stat().st_mtime
            own.unlink()
        except OSError:
            return ""
        found = [
            self._named(rank, now)
            for rank in range(self._state.world_size)
            if rank != self._state.rank
        ]
        return "; ".join(text for text in found if text)

    def _named(self, rank: int, now: float) -> str:
        path = self._path(rank)
        try:
            age = now - path.stat().st_mtime
            sign = files.read_json(path)
        except (OSError, AtlasError):
            return ""
        who = f"rank {rank} (process {sign.get('pid')} on {sign.get('host')}"
        at = f", at shard {sign['shard']}" if sign.get("shard", -1) != -1 else ""
        here = sign.get("host") == socket.gethostname()
        if here and isinstance(sign.get("pid"), int) and not files.is_alive(sign["pid"]):
            return f"{who}{at}) has ended"
        return f"{who}{at}) gave no sign for {age:.0f} s" if age > SILENT_S else ""

    def _sign(self) -> dict[str, object]:
        return {
            "rank": self._state.rank,
            "world_size": self._state.world_size,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "shard": self._shard,
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }

    def _path(self, rank: int) -> Path:
        return self._root / f".rank-{rank:05d}.json"

    def _aside(self) -> Path:
        return self._root / files.owned_name(f"rank-{self._state.rank:05d}.json")


def clear_signs(root: Path) -> None:
    """Remove the signs of all ranks, dead ones included, once there is nothing to wait for."""
    for path in root.glob(".rank-*.json"):
        with suppress(OSError):
            path.unlink(missing_ok=True)
