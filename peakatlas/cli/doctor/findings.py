"""What `peakatlas doctor` looks at; each finding says what is there and, if need be, what to do."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distributions, requires, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from peakatlas.cli.terminal import shown_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_EXTRAS = {
    "matplotlib": ("plot", "figures"),
    "aiohttp": ("remote", "https URLs"),
    "s3fs": ("remote", "s3 URLs"),
    "distributed": ("dask", "--dask"),
}
"""Extra that brings each optional package, and what needs it."""

State = Literal["ok", "note", "broken"]

_PROBE_BYTES = 1 << 26
_SLOW_DISK_MB_S = 50
_LITTLE_SPACE_BYTES = 5_000_000_000
_LITTLE_MEMORY_BYTES = 4_000_000_000
_LARGE_CACHE_BYTES = 10_000_000_000
_FAST_BF16 = ("amx_bf16", "avx512_bf16", "bf16")
_SHOWN_CPU = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    name: str
    text: str
    state: State = "ok"
    """``note`` costs speed or space at most, ``broken`` keeps something from working."""
    remedy: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    """The same as JSON types."""


def check_python() -> Finding:
    """The interpreter."""
    found = ".".join(map(str, sys.version_info[:3]))
    return Finding(name="python", text=f"{found}, {sys.executable}", facts={"version": found})


def check_packages() -> Finding:
    """Versions of what peakatlas needs, against what it asks for."""
    from packaging.requirements import Requirement  # noqa: PLC0415 - needed here only

    versions, wrong = {"peakatlas": version("peakatlas")}, []
    for need in map(Requirement, requires("peakatlas") or []):
        if need.marker is not None and not need.marker.evaluate({"extra": ""}):
            continue
        try:
            versions[need.name] = version(need.name)
        except PackageNotFoundError:
            versions[need.name] = "absent"
        if versions[need.name] == "absent" or not need.specifier.contains(
            versions[need.name], prereleases=True
        ):
            wrong.append(need)
    shown = ", ".join(f"{name} {number}" for name, number in versions.items())
    if not wrong:
        return Finding(name="packages", text=shown, facts=versions)
    return Finding(
        name="packages",
        text=f"{shown}; absent or too old: {', '.join(map(str, wrong))}",
        state="broken",
        remedy="pip install " + " ".join(f"'{need}'" for need in wrong),
        facts=versions,
    )


def check_extras() -> Finding:
    """Packages that only some things need."""
    facts = {name: _version_or_none(name) for name in _EXTRAS}
    shown = [f"{name} {found or 'absent'} ({_EXTRAS[name][1]})" for name, found in facts.items()]
    absent = dict.fromkeys(_EXTRAS[name][0] for name, found in facts.items() if found is None)
    return Finding(
        name="extras",
        text=", ".join(shown),
        remedy=f"if needed: pip install 'peakatlas[{','.join(absent)}]'" if absent else "",
        facts=facts,
    )


def _version_or_none(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def check_torch() -> Finding:
    """Whether torch loads, and with which kernels."""
    try:
        torch = import_module("torch")
    except Exception as error:
        return Finding(
            name="torch",
            text=f"does not load: {' '.join(str(error).split())}",
            state="broken",
            remedy="install torch anew: pip install --force-reinstall torch",
        )
    facts = {
        "version": str(torch.__version__),
        "cuda": torch.version.cuda,
        "onednn": bool(torch.backends.mkldnn.is_available()),
        "mkl": bool(torch.backends.mkl.is_available()),
        "threads": torch.get_num_threads(),
    }
    kernels = f"oneDNN {_yes(facts['onednn'])}, MKL {_yes(facts['mkl'])}"
    text = f"{facts['version']}, CUDA {facts['cuda'] or 'no'}, {kernels}"
    slow = not facts["onednn"] and not torch.cuda.is_available()
    return Finding(
        name="torch",
        text=text,
        state="note" if slow else "ok",
        remedy="models run slowly without oneDNN: install torch from pip" if slow else "",
        facts=facts,
    )


def check_blas() -> Finding:
    """The linear algebra that numpy uses."""
    import numpy as np  # noqa: PLC0415 - keeps the help fast

    config: Any = np.show_config(mode="dicts")
    blas = config["Build Dependencies"]["blas"]
    facts = {"name": blas.get("name"), "version": blas.get("version")}
    return Finding(name="numpy BLAS", text=f"{facts['name']} {facts['version']}", facts=facts)


def check_cpu(cpuinfo: str) -> Finding:
    """Whether products in bf16 are fast.

    Parameters
    ----------
    cpuinfo : str
        ``/proc/cpuinfo``; empty where there is none.
    """
    pairs = (line.partition(":") for line in cpuinfo.splitlines())
    lines = {name.strip(): value.strip() for name, _, value in pairs}
    flags = set(lines.get("flags", lines.get("Features", "")).split())
    shown = [name for name in _SHOWN_CPU if name in flags]
    model = lines.get("model name", "unknown processor")
    facts = {"model": model, "flags": shown}
    if not flags or flags & set(_FAST_BF16):
        text = ", ".join([model, *shown, *(["bf16 products"] if flags else [])])
        return Finding(name="CPU", text=text, facts=facts | {"products": "bf16"})
    return Finding(
        name="CPU",
        text=", ".join([model, *shown, "no bf16 instructions: bf16 weights, fp32 products"]),
        state="note",
        remedy="none needed; results agree with those of bf16 products to rounding",
        facts=facts | {"products": "fp32"},
    )


def check_gpu() -> Finding:
    """GPUs, and whether torch can use them."""
    driver = shutil.which("nvidia-smi") is not None or Path("/proc/driver/nvidia/version").exists()
    try:
        torch = import_module("torch")
    except Exception:
        return Finding(name="GPU", text="not looked at, as torch does not load", state="note")
    facts: dict[str, Any] = {"driver": driver, "devices": []}
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            card = torch.cuda.get_device_properties(number)
            facts["devices"].append({"name": card.name, "bytes": card.total_memory})
        shown = ", ".join(
            f"{card['name']}, {shown_bytes(card['bytes'])}" for card in facts["devices"]
        )
        return Finding(name="GPU", text=f"{shown}; CUDA {torch.version.cuda}", facts=facts)
    if not driver:
        return Finding(name="GPU", text="none; models run on the CPU", facts=facts)
    build = "is a CPU build" if torch.version.cuda is None else "cannot reach it"
    return Finding(
        name="GPU",
        text=f"there is an NVIDIA driver, but torch {torch.__version__} {build}",
        state="note",
        remedy="install the CUDA build of torch that fits the driver (`nvidia-smi` says which)",
        facts=facts,
    )


def installed_faiss() -> dict[str, str]:
    """Distributions of FAISS, with their versions."""
    found = ((each.metadata["Name"] or "", each.version) for each in distributions())
    return {name.lower(): number for name, number in found if name.lower().startswith("faiss")}


def check_faiss(installed: Mapping[str, str]) -> Finding:
    """Which FAISS there is, and whether two of them share a folder.

    Parameters
    ----------
    installed : mapping of str to str
        Distributions and their versions.
    """
    facts: dict[str, Any] = {"installed": dict(installed)}
    shown = ", ".join(f"{name} {number}" for name, number in installed.items())
    if len(installed) > 1:
        names = " ".join(installed)
        keep = next((name for name in installed if "gpu" in name), next(iter(installed)))
        return Finding(
            name="FAISS",
            text=f"{shown}: they share a folder and break each other",
            state="broken",
            remedy=f"pip uninstall -y {names} && pip install {keep}",
            facts=facts,
        )
    if not installed:
        return Finding(
            name="FAISS",
            text="not installed; --index faiss and ivf do not work",
            state="note",
            remedy="pip install 'peakatlas[cpu]', or 'peakatlas[gpu]' where there is a GPU",
            facts=facts,
        )
    try:
        faiss = import_module("faiss")
    except Exception as error:
        return Finding(
            name="FAISS",
            text=f"{shown} does not load: {' '.join(str(error).split())}",
            state="broken",
            remedy=f"pip install --force-reinstall {next(iter(installed))}",
            facts=facts,
        )
    gpus = faiss.get_num_gpus() if hasattr(faiss, "get_num_gpus") else 0
    return Finding(name="FAISS", text=f"{shown}, {gpus} GPU(s)", facts=facts | {"gpus": gpus})


def check_threads(cores: int, limit: float | None, omp: str | None) -> Finding:
    """Threads against the cores that this process may use.

    Parameters
    ----------
    cores : int
        Cores that the process may run on.
    limit : float or None
        Cores' worth of time that its cgroup allows.
    omp : str or None
        ``OMP_NUM_THREADS``.
    """
    usable = max(1, min(cores, round(limit) if limit else cores))
    facts = {"cores": cores, "cgroup_limit": limit, "OMP_NUM_THREADS": omp, "usable": usable}
    shown_limit = f", of which the cgroup allows {limit:g}" if limit else ""
    text = f"{cores} core(s){shown_limit}; OMP_NUM_THREADS {omp or 'not set'}"
    threads = int(omp) if omp and omp.isdecimal() else cores
    if threads > usable:
        return Finding(
            name="threads",
            text=f"{text}: {threads} threads would share {usable} core(s)",
            state="note",
            remedy=f"export OMP_NUM_THREADS={usable}",
            facts=facts,
        )
    return Finding(name="threads", text=text, facts=facts)


def check_memory(n_bytes: int, limit: int | None) -> Finding:
    """Memory of the machine, or of the cgroup if that is less.

    Parameters
    ----------
    n_bytes : int
        Of the machine.
    limit : int or None
        Of the cgroup, in bytes.
    """
    usable = min(n_bytes, limit or n_bytes)
    text = shown_bytes(usable) + (
        f" of {shown_bytes(n_bytes)} (cgroup)" if usable < n_bytes else ""
    )
    facts = {"bytes": n_bytes, "cgroup_limit": limit}
    if usable < _LITTLE_MEMORY_BYTES:
        remedy = "large models and queries may be killed; --plan says what a build needs"
        return Finding(name="memory", text=text, state="note", remedy=remedy, facts=facts)
    return Finding(name="memory", text=text, facts=facts)


def check_disk(folder: Path, *, n_bytes: int = _PROBE_BYTES) -> Finding:
    """Free space of a folder, and how fast it takes a file that is flushed.

    Parameters
    ----------
    folder : Path
    n_bytes : int
        Size of the file, which is removed again.
    """
    name = f"disk {folder}"
    block = os.urandom(1 << 20)
    try:
        free = shutil.disk_usage(folder).free
        with tempfile.TemporaryFile(dir=folder) as file:
            began = time.perf_counter()
            for _ in range(0, n_bytes, len(block)):
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
            mb_s = n_bytes / 1e6 / (time.perf_counter() - began)
    except OSError as error:
        return Finding(
            name=name,
            text=f"cannot be written: {(error.strerror or str(error)).lower()}",
            state="broken",
            remedy="give another folder (--folder), make room, or give permission",
        )
    facts = {"free_bytes": free, "write_mb_s": round(mb_s, 1)}
    text = f"{shown_bytes(free)} free, writes {mb_s:,.0f} MB/s with fsync"
    remedies = []
    if free < _LITTLE_SPACE_BYTES:
        remedies.append("there is little room: `peakatlas atlas build --plan` says what is needed")
    if mb_s < _SLOW_DISK_MB_S:
        remedies.append("this disk is slow: build on a local one and copy the atlas")
    state: State = "note" if remedies else "ok"
    return Finding(name=name, text=text, state=state, remedy="; ".join(remedies), facts=facts)


def check_cache(folder: Path) -> Finding:
    """Size of the cache, which nothing prunes.

    Parameters
    ----------
    folder : Path
    """
    genomes = sum(path.stat().st_size for path in cached_genomes(folder))
    total = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    free = shutil.disk_usage(folder).free
    facts = {"path": str(folder), "bytes": total, "genome_bytes": genomes, "free_bytes": free}
    text = (
        f"{folder}: {shown_bytes(total)}, of which decompressed genomes {shown_bytes(genomes)}; "
        f"{shown_bytes(free)} free"
    )
    if not os.access(folder, os.W_OK):
        remedy = "set XDG_CACHE_HOME to a folder that can be written to"
        return Finding(name="cache", text=text, state="broken", remedy=remedy, facts=facts)
    remedy = "peakatlas doctor --clear-cache" if genomes else ""
    state: State = "note" if total > _LARGE_CACHE_BYTES or free < _LITTLE_SPACE_BYTES else "ok"
    return Finding(name="cache", text=text, state=state, remedy=remedy, facts=facts)


def cached_genomes(folder: Path) -> list[Path]:
    """Decompressed genomes and indexes of FASTA files in the cache; they are made again."""
    return sorted(path for path in folder.iterdir() if path.is_file())


def broken(findings: Iterable[Finding]) -> bool:
    """Whether something does not work."""
    return any(finding.state == "broken" for finding in findings)


def _yes(true: object) -> str:
    return "yes" if true else "no"
