"""A disk that loses power: what was not flushed may be there, in part, or not at all.

`run_with_power_cut` runs work in a forked process whose calls of ``os`` are recorded. When the
power fails, a folder is filled with what a disk might hold then: names and bytes that were flushed
(`fsync` of the file, `fsync` of its folder), and of all others a random legal choice. A name that
was not flushed may be missing or be the old one; a file may be empty, cut short or hold zeros.
Renames within a folder happen or do not. The process ends as by a failure, without clean-up.
"""

# pathlib would call what is replaced here:
# ruff: noqa: PTH112, PTH115, PTH118, PTH119, PTH120, PTH208

from __future__ import annotations

import builtins
import io
import os
import random
import stat
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Work = Callable[[Path, Callable[[str], None]], None]
"""Works in a folder, and calls the second argument with what it has finished."""
_CUT = 77
_BEFORE_S = 3600.0
"""The power was off for so long."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a run."""

    was_cut: bool
    """Whether the power failed within the work, not after it."""
    said: tuple[str, ...]
    """What the work said to be finished."""
    n_steps: int
    """Steps up to the end; 0 when it was cut."""
    error: str
    """What the work failed with by itself, if it did; the image is empty then."""


def run_with_power_cut(
    work: Work, root: Path, image: Path, *, step: int | None = None, seed: int = 0
) -> Outcome:
    """Run work in a folder, let the power fail, and fill another folder with what is left.

    Parameters
    ----------
    work : callable
    root : Path
        Existing folder; what lies there is on the disk already.
    image : Path
        Made: what the disk holds of `root` after the failure.
    step : int, optional
        Before which of its steps (calls that change names, or flush) the power fails, from 1; after
        the work if not given, or if there are fewer.
    seed : int
        For what is chosen of all that was not flushed.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        _in_child(work, root, image, step, seed, writing)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        lines = pipe.read().splitlines()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    error = "" if code in (0, _CUT) else f"exit code {code}:\n" + "\n".join(lines)
    said = tuple(line.removeprefix("said ") for line in lines if line.startswith("said "))
    n_steps = next((int(line.split()[1]) for line in lines if line.startswith("steps ")), 0)
    return Outcome(was_cut=code == _CUT, said=said, n_steps=n_steps, error=error)


def _in_child(work: Work, root: Path, image: Path, step: int | None, seed: int, pipe: int) -> None:
    code = 1
    try:
        disk = _Disk(root, image, step, random.Random(seed))
        disk.record()
        work(root, lambda text: (os.write(pipe, f"said {text}\n".encode()), None)[1])
        disk.leave(image)
        os.write(pipe, f"steps {disk.n_steps}\n".encode())
        code = 0
    except BaseException:
        os.write(pipe, traceback.format_exc().encode())
    os._exit(code)


class _Disk:
    """What a disk is sure to hold of a folder, and what was done since."""

    def __init__(self, root: Path, image: Path, step: int | None, rng: random.Random) -> None:
        self.root, self.image, self.step, self.rng = os.path.realpath(root), image, step, rng
        self.n_steps = 0
        self.lock = threading.RLock()
        self.real = {name: getattr(os, name) for name in _NAMES}
        self.real_open = io.open
        self.names: dict[int, dict[str, int]] = {}
        self.data: dict[int, bytes] = {}
        self.held: dict[int, int] = {}
        self.done: list[list[tuple[int, str, int | None]]] = []
        for folder, _, files in os.walk(self.root):
            self._flush_folder(folder)
            for name in files:
                self._flush_file(Path(folder, name).stat().st_ino)

    def record(self) -> None:
        """Put the recording calls in place of those of ``os`` and ``open``."""
        os.fsync = self._fsync  # type: ignore[assignment]
        os.mkdir = self._made(self.real["mkdir"])
        os.open = self._made(self.real["open"])
        os.link = self._made(self.real["link"], at=1)
        os.unlink = os.remove = self._gone(self.real["unlink"])
        os.rmdir = self._gone(self.real["rmdir"])
        os.rename = os.replace = self._moved  # type: ignore[assignment]
        builtins.open = io.open = self._made(self.real_open)

    def leave(self, image: Path) -> None:
        """Fill a folder with what the disk might hold."""
        names = {folder: dict(held) for folder, held in self.names.items()}
        kept = self.rng.choice(("none", "all", "first", "any", "any"))
        n_first = self.rng.randint(0, len(self.done))
        for number, change in enumerate(self.done):
            chosen = {
                "none": False, "all": True, "first": number < n_first,
                "any": self.rng.random() < 0.5,
            }[kept]  # fmt: skip
            for folder, name, inode in change if chosen else ():
                held = names.setdefault(folder, {})
                held.pop(name, None)
                if inode is not None:
                    held[name] = inode
        self._fill(image, Path(self.root).stat().st_ino, names)

    def _fill(self, place: Path, folder: int, names: dict[int, dict[str, int]]) -> None:
        self.real["mkdir"](place)
        for name, inode in sorted(names.get(folder, {}).items()):
            if stat.S_ISDIR(os.fstat(self.held[inode]).st_mode):
                self._fill(place / name, inode, names)
                continue
            with self.real_open(place / name, "wb") as file:
                file.write(self._left_of(inode))
            then = time.time() - _BEFORE_S
            os.utime(place / name, (then, then))

    def _left_of(self, inode: int) -> bytes:
        """Bytes of a file: those flushed, and of later ones any part."""
        flushed, written = self.data.get(inode, b""), self._read(inode)
        if written == flushed:
            return written
        kept = len(flushed) if written.startswith(flushed) else 0
        cut = self.rng.randint(kept, len(written))
        return self.rng.choice(
            (flushed, written, written[:cut], written[:cut] + bytes(len(written) - cut))
        )

    def _read(self, inode: int) -> bytes:
        held = self.held[inode]
        return os.pread(held, os.fstat(held).st_size, 0)

    def _hold(self, path: str) -> int:
        """Inode of a path, kept open so that its number is not used again."""
        inode = Path(path).stat().st_ino
        if inode not in self.held:
            self.held[inode] = self.real["open"](path, os.O_RDONLY)
        return inode

    def _flush_folder(self, path: str) -> None:
        folder = self._hold(path)
        held = {name: self._hold(f"{path}/{name}") for name in os.listdir(path)}
        self.names[folder] = held
        left = [[part for part in change if part[0] != folder] for change in self.done]
        self.done = [change for change in left if change]

    def _flush_file(self, inode: int) -> None:
        self.data[inode] = self._read(inode)

    def _path(self, path: Any, dir_fd: int | None = None) -> str | None:
        """Absolute path if it lies below the root."""
        if isinstance(path, int):
            return None
        text = os.fsdecode(path)
        if dir_fd is not None:
            text = os.path.join(os.readlink(f"/proc/self/fd/{dir_fd}"), text)
        text = os.path.join(os.path.realpath(os.path.dirname(text)), os.path.basename(text))
        return text if text.startswith(f"{self.root}/") else None

    def _step(self) -> None:
        self.n_steps += 1
        if self.n_steps == self.step:
            try:
                self.leave(self.image)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(_CUT)

    def _named(self, path: str, inode: int | None) -> tuple[int, str, int | None]:
        return self._hold(os.path.dirname(path)), os.path.basename(path), inode

    def _made(self, real: Callable[..., Any], at: int = 0) -> Callable[..., Any]:
        """A call that may make a name."""

        def call(*args: Any, **kwargs: Any) -> Any:
            path = self._path(args[at], kwargs.get("dir_fd"))
            if path is None or os.path.lexists(path):
                return real(*args, **kwargs)
            with self.lock:
                self._step()
                made = real(*args, **kwargs)
                inode = self._hold(path)
                if real is self.real["mkdir"]:
                    self.names[inode] = {}
                self.done.append([self._named(path, inode)])
            return made

        return call

    def _gone(self, real: Callable[..., Any]) -> Callable[..., None]:
        """A call that removes a name."""

        def call(path: Any, *, dir_fd: int | None = None) -> None:
            found = self._path(path, dir_fd)
            if found is None or not os.path.lexists(found):
                return real(path, dir_fd=dir_fd)
            with self.lock:
                self._step()
                self._hold(found)
                real(path, dir_fd=dir_fd)
                self.done.append([self._named(found, None)])
            return None

        return call

    def _moved(self, source: Any, target: Any, **kwargs: Any) -> None:
        old, new = self._path(source), self._path(target)
        if old is None or new is None:
            self.real["rename"](source, target, **kwargs)
            return
        with self.lock:
            self._step()
            inode = self._hold(old)
            if os.path.lexists(new):
                self._hold(new)
            self.real["rename"](source, target, **kwargs)
            self.done.append([self._named(old, None), self._named(new, inode)])

    def _fsync(self, descriptor: Any) -> None:
        number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
        path = os.readlink(f"/proc/self/fd/{number}")
        if not path.startswith(self.root):
            return
        with self.lock:
            self._step()
            if os.path.isdir(path):
                self._flush_folder(path)
            else:
                self._flush_file(self._hold(path))


_NAMES = ("mkdir", "open", "link", "unlink", "rmdir", "rename", "listdir")
