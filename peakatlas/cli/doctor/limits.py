"""What the system lets this process use: time on its cores, memory."""

from __future__ import annotations

import os
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")


def machine_bytes() -> int:
    """Memory of the machine, in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def core_limit(root: Path = _CGROUPS, own: str | None = None) -> float | None:
    """Cores' worth of time that the cgroups of this process allow; None without a limit.

    Parameters
    ----------
    root : Path
        Where cgroups are mounted.
    own : str, optional
        Path of the process's group below it; asked of the system if not given.
    """
    found = []
    for text in _read_all(root, own, "cpu.max"):
        quota, period = text.split()[:2]
        found += [] if quota == "max" else [int(quota) / int(period)]
    older = _read(root / "cpu" / "cpu.cfs_quota_us"), _read(root / "cpu" / "cpu.cfs_period_us")
    if all(older) and int(older[0]) > 0:
        found.append(int(older[0]) / int(older[1]))
    return min(found, default=None)


def memory_limit(root: Path = _CGROUPS, own: str | None = None) -> int | None:
    """Bytes of memory that the cgroups of this process allow; None without a limit.

    Parameters
    ----------
    root, own
        As for `core_limit`.
    """
    texts = _read_all(root, own, "memory.max")
    texts.append(_read(root / "memory" / "memory.limit_in_bytes"))
    found = [int(text) for text in texts if text.isdecimal()]
    return min((n for n in found if n < machine_bytes()), default=None)


def _read_all(root: Path, own: str | None, name: str) -> list[str]:
    """A setting of the process's group and of all groups above it, where it is set."""
    group = _own_group() if own is None else own
    folder = root / group.lstrip("/")
    folders = [folder, *(each for each in folder.parents if each.is_relative_to(root))]
    return [text for each in folders if (text := _read(each / name))]


def _own_group() -> str:
    lines = _read(Path("/proc/self/cgroup")).splitlines()
    return next((line.removeprefix("0::") for line in lines if line.startswith("0::")), "/")


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
