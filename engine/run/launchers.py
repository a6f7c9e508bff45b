"""What a launcher says of this process: torchrun, Accelerate, srun, mpirun, or none of them."""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass

from peakatlas.engine.errors import WorldSizeError

from .cores import usable_cores

_RANK = ("RANK",)
_SIZE = ("WORLD_SIZE",)
_MPI_RANK = ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "MV2_COMM_WORLD_RANK")
_MPI_SIZE = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE")
_LOCAL_RANK = (
    "LOCAL_RANK", "SLURM_LOCALID", "OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID",
    "MV2_COMM_WORLD_LOCAL_RANK",
)  # fmt: skip
_LOCAL_SIZE = (
    "LOCAL_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS",
    "MV2_COMM_WORLD_LOCAL_SIZE",
)  # fmt: skip
THREADS = "PEAKATLAS_THREADS"
"""Variable that sets the threads of a process, whatever a launcher says."""
_FIRST_PORT, _N_PORTS = 20_000, 20_000


@dataclass(frozen=True, kw_only=True)
class Launch:
    """One process among those that a launcher started."""

    rank: int = 0
    """From 0 to ``world_size - 1``."""
    world_size: int = 1
    local_rank: int = 0
    """Its number among those of its machine."""
    local_size: int = 1
    """How many there are on its machine."""
    by: str = "none"
    """``torch`` (torchrun, Accelerate, or set by hand), ``slurm``, ``mpi`` or ``none``."""


def launch_of(environ: Mapping[str, str]) -> Launch:
    """Read the variables of a launcher.

    The batch script of a SLURM job is one process, whatever ``SLURM_NTASKS`` says: only the tasks
    of a step (``srun``) are ranks.

    Parameters
    ----------
    environ : mapping of str to str

    Raises
    ------
    WorldSizeError
        If they contradict one another.

    Examples
    --------
    >>> launch_of({"PMI_RANK": "3", "PMI_SIZE": "4", "MPI_LOCALRANKID": "1"})
    Launch(rank=3, world_size=4, local_rank=1, local_size=4, by='mpi')
    """
    for by, ranks, sizes in (
        ("torch", _RANK, _SIZE),
        ("slurm", ("SLURM_PROCID",), ("SLURM_STEP_NUM_TASKS",)),
        ("mpi", _MPI_RANK, _MPI_SIZE),
    ):
        size, rank = _number(environ, sizes), _number(environ, ranks)
        if size is None or rank is None or (size == 1 and by != "torch"):
            continue
        if not 0 <= rank < size:
            raise WorldSizeError(
                f"the launcher says that this is rank {rank} of {size}. Start anew with: "
                f"torchrun --nproc_per_node {size} …"
            )
        local = _number(environ, _LOCAL_RANK)
        return Launch(
            rank=rank,
            world_size=size,
            local_rank=local if local is not None else (rank if by != "slurm" else 0),
            local_size=_local_size(environ, size),
            by=by,
        )
    return Launch(local_rank=_number(environ, _LOCAL_RANK) or 0)


def announce(launch: Launch, environ: MutableMapping[str, str]) -> None:
    """Set the variables by which torch's ranks find each other, where a launcher set its own.

    Parameters
    ----------
    launch : Launch
    environ : mutable mapping of str to str

    Raises
    ------
    WorldSizeError
        If the ranks are on several machines and none is named where they can meet.
    """
    if launch.world_size == 1:
        return
    for name, value in (
        ("RANK", launch.rank),
        ("WORLD_SIZE", launch.world_size),
        ("LOCAL_RANK", launch.local_rank),
        ("LOCAL_WORLD_SIZE", launch.local_size),
    ):
        environ.setdefault(name, str(value))
    if "MASTER_ADDR" not in environ:
        environ["MASTER_ADDR"] = _first_host(launch, environ)
    job = ",".join(
        environ.get(name, "")
        for name in ("SLURM_JOB_ID", "SLURM_STEP_ID", "PMI_ID", "PMIX_NAMESPACE", "HYDI_CONTROL_FD")
    )
    environ.setdefault("MASTER_PORT", str(_FIRST_PORT + zlib.crc32(job.encode()) % _N_PORTS))


def threads_of(launch: Launch, environ: Mapping[str, str]) -> int | None:
    """Threads for a process; None to leave them as they are.

    torchrun and Accelerate set ``OMP_NUM_THREADS=1`` when the user did not set it: under them that
    value counts for nothing. `THREADS` counts always.

    Parameters
    ----------
    launch : Launch
    environ : mapping of str to str

    Raises
    ------
    WorldSizeError
        If `THREADS` is no number above 0.
    """
    asked = environ.get(THREADS)
    if asked is not None:
        if not asked.isdecimal() or int(asked) < 1:
            raise WorldSizeError(f"{THREADS}={asked} is no number of threads. Example: 8.")
        return int(asked)
    by_launcher = any(name.startswith(("TORCHELASTIC_", "ACCELERATE_")) for name in environ)
    omp = environ.get("OMP_NUM_THREADS")
    if launch.local_size == 1 or (omp is not None and not (by_launcher and omp == "1")):
        return None
    return max(1, _own_cores(launch, environ))


def _own_cores(launch: Launch, environ: Mapping[str, str]) -> int:
    """Cores of this rank: those that it is bound to, or its share of its machine's."""
    per_task = _number(environ, ("SLURM_CPUS_PER_TASK",)) if launch.by == "slurm" else None
    cores = usable_cores()
    if per_task:
        return min(per_task, cores)
    bound = launch.by in ("slurm", "mpi") and cores * launch.local_size <= (os.cpu_count() or 1)
    return cores if bound else cores // launch.local_size


def _local_size(environ: Mapping[str, str], world_size: int) -> int:
    """Ranks on this machine; all of them where nobody says."""
    told = _number(environ, _LOCAL_SIZE)
    if told is not None:
        return told
    counts: list[int] = []
    text = environ.get("SLURM_STEP_TASKS_PER_NODE", "")
    for count, times in re.findall(r"(\d+)(?:\(x(\d+)\))?", text):
        counts += [int(count)] * int(times or 1)
    node = _number(environ, ("SLURM_NODEID",)) or 0
    return counts[node] if node < len(counts) else world_size


def _first_host(launch: Launch, environ: Mapping[str, str]) -> str:
    """Machine of rank 0."""
    if launch.local_size == launch.world_size:
        return "127.0.0.1"
    names = environ.get("SLURM_STEP_NODELIST", environ.get("SLURM_JOB_NODELIST", ""))
    found = re.match(r"([^,\[]+)(?:\[(\d+)[^\]]*\]([^,]*))?", names)
    if found:
        return found[1] + (found[2] or "") + (found[3] or "")
    raise WorldSizeError(
        f"{launch.world_size} ranks on several machines have no place to meet: MASTER_ADDR is not "
        "set. Export it on all of them as the host name of rank 0, or start with torchrun."
    )


def _number(environ: Mapping[str, str], names: tuple[str, ...]) -> int | None:
    """The first of some variables that is a number."""
    values = (environ.get(name, "") for name in names)
    return next((int(value) for value in values if value.isdecimal()), None)
