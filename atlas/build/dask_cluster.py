"""Build an atlas on a Dask cluster: one task a shard; Dask retries those of workers that are lost.

Workers read genome and atlas by the same paths as the process that hands the shards out.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peakatlas.atlas.storage.urls import local_path
from peakatlas.engine.errors import (
    MissingDependencyError,
    PeakAtlasError,
    ShardOwnershipError,
    WorldSizeError,
)
from peakatlas.engine.run.cores import usable_cores

from .cluster import finalise_atlas, init_atlas, load_embedder, write_shards

if TYPE_CHECKING:
    from collections.abc import Callable

    from peakatlas.atlas.atlas import Atlas
    from peakatlas.engine.embedder import Embedder

    from .inputs import Peaks

LOCAL = "local"
"""Address that stands for a cluster on this machine, made for the build."""
RETRIES = 3
_HELD_S, _POLL_S = 300.0, 1.0


def build_on_dask(  # noqa: PLR0913 (the options of build_atlas)
    genome: str | Path,
    peaks: Peaks,
    out: str | Path,
    embedder: Embedder,
    address: str = LOCAL,
    *,
    match_contigs: bool = False,
    trust_remote_code: bool = False,
    progress: Callable[[int], None] | None = None,
    said: Callable[[str], None] | None = None,
) -> Atlas:
    """Embed peaks into an atlas, each shard as a task of a Dask cluster.

    The same call again, or `build_atlas`, finishes one that was interrupted.

    Parameters
    ----------
    genome : str or Path
        FASTA; a path that every worker can read.
    peaks, embedder, match_contigs
        As in `build_atlas`. Each worker loads the model anew, once.
    out : str or Path
        Folder of the atlas, or its URL, which every worker can write.
    address : str
        Of the scheduler (``tcp://host:8786``), or ``local``: a process for each core of this
        machine.
    trust_remote_code : bool
        Whether workers may run the model's own Python code.
    progress : callable, optional
        Called with the number of peaks of each shard that is done.
    said : callable, optional
        Called with where the dashboard is to be seen, if there is one.

    Returns
    -------
    Atlas
        Finished and open.

    Raises
    ------
    PeakAtlasError
        As `build_atlas`; the first error of a worker that retries did not mend.
    MissingDependencyError
        If Dask is not installed.
    WorldSizeError
        If no scheduler answers at the address.
    """
    local, report = local_path(out), progress or (lambda _: None)
    folder = str(out) if local is None else str(local.resolve())
    writer = init_atlas(genome, peaks, folder, embedder, match_contigs=match_contigs)
    missing = writer.segment.missing_shards()
    rows = {shard: writer.shard_rows_of(shard) for shard in range(writer.n_shards)}
    sizes = {shard: at.stop - at.start for shard, at in rows.items()}
    report(sum(sizes.values()) - sum(sizes[shard] for shard in missing))
    job = (folder, str(Path(genome).resolve()), trust_remote_code)
    with ExitStack() as stack:
        client = _client(address, min(len(missing), usable_cores()), stack) if missing else None
        if client is not None and said is not None and client.dashboard_link:
            said(client.dashboard_link)
        for shard in _done(client, job, missing):
            report(sizes[shard])
    return finalise_atlas(folder)


def write_one(job: tuple[str, str, bool], shard: int) -> int:
    """Write a shard; what a worker runs.

    Parameters
    ----------
    job : (str, str, bool)
        Atlas, genome, and whether the model's own code may be run.
    shard : int

    Returns
    -------
    int
        The shard.

    Raises
    ------
    PeakAtlasError
        As `write_shards`.
    """
    out, genome, _ = job
    until = time.monotonic() + _HELD_S
    while True:
        try:
            write_shards(out, [shard], genome, _embedder_of(job))
        except ShardOwnershipError:  # of a worker that was lost and does not know it yet
            if time.monotonic() > until:
                raise
            time.sleep(_POLL_S)
        else:
            return shard


@lru_cache(maxsize=1)
def _embedder_of(job: tuple[str, str, bool]) -> Embedder:
    return load_embedder(job[0], trust_remote_code=job[2])


def _done(client: Any, job: tuple[str, str, bool], shards: list[int]) -> Any:  # noqa: ANN401
    """Shards as they are done."""
    if client is None:
        return
    killed = import_module("distributed.scheduler").KilledWorker
    as_completed = import_module("distributed").as_completed
    tasks = [client.submit(write_one, job, i, pure=False, retries=RETRIES) for i in shards]
    try:
        for task in as_completed(tasks):
            yield task.result()
    except killed as fault:
        raise PeakAtlasError(
            f"workers died again and again over one shard of {job[0]} ({fault}). See their logs, "
            "memory first; then run the same command again, it goes on where it stopped."
        ) from fault
    finally:
        client.cancel(tasks)


def _client(address: str, n_workers: int, stack: ExitStack) -> Any:  # noqa: ANN401 (untyped)
    try:
        dask: Any = import_module("distributed")
    except ImportError as fault:
        raise MissingDependencyError(
            "Dask is not installed. Install it with: pip install 'peakatlas[dask]'"
        ) from fault
    if address == LOCAL:
        cluster = dask.LocalCluster(n_workers, threads_per_worker=1, dashboard_address=":0")
        return stack.enter_context(dask.Client(stack.enter_context(cluster)))
    try:
        return stack.enter_context(dask.Client(address))
    except (OSError, ValueError) as fault:
        raise WorldSizeError(
            f"no Dask scheduler answers at {address!r} ({fault}). Start one with `dask scheduler` "
            "and give its address, such as tcp://host:8786, or local."
        ) from fault
