"""Ranks: who am I, how many are we, and which units are mine."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from accelerate import PartialState

from .errors import WorldSizeError

if TYPE_CHECKING:
    from numpy.typing import NDArray


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


def rank_state(expected: int | None = None) -> RankState:
    """Join the other processes, if any, and limit the threads of this one to its share.

    Works under ``torchrun``, ``accelerate launch`` and alone. Launchers can start fewer processes
    than were asked for, or processes that each believe they are alone and do all the work twice,
    without any error; hence the check.

    Parameters
    ----------
    expected : int, optional
        Number of processes that there must be; ``WORLD_SIZE`` of the launcher when not given.

    Raises
    ------
    WorldSizeError
        If there are more or fewer processes.
    """
    state = PartialState() if torch.cuda.is_available() else PartialState(cpu=True)
    announced = int(os.environ.get("WORLD_SIZE", "1"))
    wanted = announced if expected is None else expected
    if not state.num_processes == wanted == announced:
        raise WorldSizeError(
            f"{state.num_processes} process(es) found each other, {wanted} were asked for and the "
            f"launcher announced {announced}. Start with: torchrun --nproc_per_node {wanted} …"
        )
    _share_threads(int(os.environ.get("LOCAL_WORLD_SIZE", str(announced))))
    return RankState(
        rank=state.process_index, world_size=state.num_processes, device=str(state.device)
    )


def owned_units(n_units: int, state: RankState) -> NDArray[np.int64]:
    """Units of this rank: every `world_size`-th one, so that each has exactly one owner.

    Parameters
    ----------
    n_units : int
        Number of units (shards) in all.
    state : RankState

    Returns
    -------
    int64, ascending
    """
    return np.arange(state.rank, n_units, state.world_size, dtype=np.int64)


def _share_threads(local_ranks: int) -> None:
    """Cores divided by ranks, unless OMP_NUM_THREADS says otherwise."""
    if local_ranks > 1 and "OMP_NUM_THREADS" not in os.environ:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        torch.set_num_threads(max(1, (cores or 1) // local_ranks))
