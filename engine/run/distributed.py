"""Ranks: who am I, how many are we, and which units are mine."""

from __future__ import annotations

import heapq
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from peakatlas.engine.errors import PeakAtlasError, WorldSizeError

from .launchers import announce, launch_of, threads_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, kw_only=True)
class RankState:
    """One process among `world_size`."""

    rank: int
    """From 0 to ``world_size - 1``."""
    world_size: int
    device: str
    """``cpu``, ``cuda:0``, …"""

    @property
    def is_main(self) -> bool:
        """Whether this is rank 0."""
        return self.rank == 0


@dataclass(frozen=True, kw_only=True)
class Partition:
    """One share of a job that independent processes split, such as the tasks of a SLURM array."""

    number: int = 1
    """From 1 to `count`."""
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise WorldSizeError(
                f"partition {self.number}/{self.count}: the first number must be from 1 to the "
                "second. Example: --partition 3/16."
            )


def parse_partition(text: str) -> Partition:
    """Read ``k/n``: share k of n, k from 1 to n.

    Raises
    ------
    WorldSizeError
        If the text is not that.

    Examples
    --------
    >>> parse_partition("3/16")
    Partition(number=3, count=16)
    """
    number, slash, count = text.partition("/")
    if not (slash and number.isdecimal() and count.isdecimal()):
        raise WorldSizeError(
            f"partition {text!r} is not k/n, share k of n with k from 1 to n. "
            "Example: --partition 3/16; in a SLURM array $SLURM_ARRAY_TASK_ID/16."
        )
    return Partition(number=int(number), count=int(count))


def rank_state(expected: int | None = None) -> RankState:
    """Join the other processes, if any, and limit the threads of this one to its share.

    Works under ``torchrun``, ``accelerate launch``, ``srun``, ``mpirun`` and alone. Launchers can
    start fewer processes than were asked for, or processes that each believe they are alone and do
    all the work twice, without any error; hence the check.

    Parameters
    ----------
    expected : int, optional
        Number of processes that there must be; ``WORLD_SIZE`` of the launcher when not given.

    Raises
    ------
    WorldSizeError
        If there are more or fewer processes.
    """
    from accelerate import PartialState  # noqa: PLC0415 - seconds that one process alone needs not

    launch = launch_of(os.environ)
    announce(launch, os.environ)
    share_threads()
    state = PartialState() if torch.cuda.is_available() else PartialState(cpu=True)
    announced = int(os.environ.get("WORLD_SIZE", "1"))
    wanted = announced if expected is None else expected
    if not state.num_processes == wanted == announced:
        raise WorldSizeError(
            f"{state.num_processes} process(es) found each other, {wanted} were asked for and the "
            f"launcher announced {announced}. Start with: torchrun --nproc_per_node {wanted} …"
        )
    return RankState(
        rank=state.process_index, world_size=state.num_processes, device=str(state.device)
    )


def share_threads() -> None:
    """Limit torch to the threads of this process among those of its machine; see `threads_of`.

    Raises
    ------
    WorldSizeError
        If what the environment says is no number.
    """
    threads = threads_of(launch_of(os.environ), os.environ)
    if threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(threads)  # or Accelerate sets both to what it thinks
        torch.set_num_threads(threads)


_NO_DEVICE = "there is no device {!r} here. Give cpu, cuda or cuda:N (--device, PEAKATLAS_DEVICE)."


def default_device() -> str:
    """The GPU of this process among those of its machine, or ``cpu`` if there is none.

    ``PEAKATLAS_DEVICE`` (``cpu``, ``cuda``, ``cuda:1``) names another; ``cuda`` is the GPU of this
    process.

    Raises
    ------
    PeakAtlasError
        If the variable names no device of this machine.
    """
    asked = os.environ.get("PEAKATLAS_DEVICE", "")
    if asked not in ("", "cuda"):
        return _checked_device(asked)
    if asked == "cuda" and not torch.cuda.is_available():
        raise PeakAtlasError(_NO_DEVICE.format(asked))
    if not torch.cuda.is_available():
        return "cpu"
    return f"cuda:{launch_of(os.environ).local_rank % torch.cuda.device_count()}"


def _checked_device(name: str) -> str:
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:  # torch raises either, by how it was built
        raise PeakAtlasError(_NO_DEVICE.format(name)) from error
    return name


def owned_units(
    n_units: int,
    state: RankState,
    *,
    costs: ArrayLike | None = None,
    partition: Partition | None = None,
) -> NDArray[np.int64]:
    """Units of this rank, so that each unit has exactly one owner.

    Parameters
    ----------
    n_units : int
        Number of units (shards) in all.
    state : RankState
    costs : float, shape (n_units,), optional
        Work in each unit, in tokens or bp; all alike if not given.
    partition : Partition, optional
        Share of the units that the ranks of this start divide among them; all if not given.

    Returns
    -------
    int64, ascending
    """
    share = partition or Partition()
    work = np.ones(n_units) if costs is None else np.asarray(costs, np.float64)
    units = balanced_units(work, share.count)[share.number - 1]
    return units[balanced_units(work[units], state.world_size)[state.rank]]


def balanced_units(costs: ArrayLike, n_owners: int) -> list[NDArray[np.int64]]:
    """Split units so that the owners' work is nearly equal, the same on every rank.

    Units go from the costliest to the cheapest to the owner with the least work so far, the first
    of equals. The most loaded owner has at most 4/3 of the best possible.

    Parameters
    ----------
    costs : float, shape (n_units,)
    n_owners : int

    Returns
    -------
    list of int64 arrays
        Units of each owner, ascending.

    References
    ----------
    Graham, Bounds on multiprocessing timing anomalies, SIAM J. Appl. Math. 1969.

    Examples
    --------
    >>> [units.tolist() for units in balanced_units([5, 1, 3, 1, 2], 2)]
    [[0, 1], [2, 3, 4]]
    """
    work = np.asarray(costs, np.float64)
    loads = [(0.0, owner) for owner in range(n_owners)]
    owner_of = np.empty(len(work), np.int64)
    for unit in np.argsort(-work, kind="stable").tolist():
        load, owner = heapq.heappop(loads)
        owner_of[unit] = owner
        heapq.heappush(loads, (load + float(work[unit]), owner))
    return [np.flatnonzero(owner_of == owner) for owner in range(n_owners)]
