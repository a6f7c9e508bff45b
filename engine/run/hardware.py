"""What a model runs on, and the memory that this process has used."""

from __future__ import annotations

import platform
import re
import resource
import sys
from pathlib import Path

_DRIVER = Path("/proc/driver/nvidia/version")
_CPU = Path("/proc/cpuinfo")
_STATUS = Path("/proc/self/status")


def hardware_of(device: str) -> dict[str, str]:
    """Version of torch, name of the device, and version of its driver where it has one.

    Parameters
    ----------
    device : str
        ``cpu``, ``cuda:0``, …

    Returns
    -------
    dict
        ``torch`` and ``device``; ``driver`` of an NVIDIA GPU, or ``cpu_capability`` of a CPU.
    """
    import torch  # noqa: PLC0415 - slow, and here only for those who have embedded

    found = {"torch": str(torch.__version__)}
    if not device.startswith("cuda"):
        capability = str(torch.backends.cpu.get_cpu_capability())
        return found | {"device": _cpu_name(), "cpu_capability": capability}
    found["device"] = str(torch.cuda.get_device_name(device))
    driver = _first(r"Kernel Module.*?\s(\d+\.[\d.]+)", _DRIVER)
    return found | ({"driver": driver} if driver else {})


def peak_memory() -> int:
    """Greatest resident memory of this process so far, in bytes.

    Linux says it by itself; what ``getrusage`` gives there holds the memory that a parent had when
    it started this process.
    """
    if found := _first(r"VmHWM:\s*(\d+) kB", _STATUS):
        return 1024 * int(found)
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _cpu_name() -> str:
    return _first(r"model name\s*:\s*(.+)", _CPU) or platform.processor() or platform.machine()


def _first(pattern: str, path: Path) -> str:
    """What a pattern finds in a file of the system; empty without it."""
    try:
        match = re.search(pattern, path.read_text(errors="replace"))
    except OSError:
        return ""
    return match[1].strip() if match else ""
