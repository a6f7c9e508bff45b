"""Variables of launchers: who this process is, where ranks meet, how many threads it has."""

import pytest

from peakatlas.engine.errors import WorldSizeError
from peakatlas.engine.run import launchers
from peakatlas.engine.run.launchers import Launch, announce, launch_of, threads_of

TORCHRUN = {
    "RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4",
    "TORCHELASTIC_RUN_ID": "x", "OMP_NUM_THREADS": "1", "MASTER_ADDR": "n0", "MASTER_PORT": "1",
}  # fmt: skip
SRUN = {
    "SLURM_PROCID": "5", "SLURM_LOCALID": "2", "SLURM_STEP_NUM_TASKS": "6", "SLURM_NODEID": "1",
    "SLURM_STEP_TASKS_PER_NODE": "3(x2)", "SLURM_STEP_NODELIST": "gpu[07-08]",
    "SLURM_JOB_ID": "99", "SLURM_NTASKS": "6",
}  # fmt: skip
MPIRUN = {
    "OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_LOCAL_RANK": "1",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "4",
}  # fmt: skip
PMI = {"PMI_RANK": "3", "PMI_SIZE": "4", "MPI_LOCALRANKID": "1", "MPI_LOCALNRANKS": "2"}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, (0, 1, 0, 1, "none")),
        (TORCHRUN, (5, 8, 1, 4, "torch")),
        (SRUN, (5, 6, 2, 3, "slurm")),
        (MPIRUN, (1, 4, 1, 4, "mpi")),
        (PMI, (3, 4, 1, 2, "mpi")),
        (SRUN | TORCHRUN, (5, 8, 1, 4, "torch")),  # torchrun within a step
        ({"RANK": "5", "WORLD_SIZE": "8", "SLURM_LOCALID": "1"}, (5, 8, 1, 8, "torch")),
        # the batch script of a job of 6 tasks, and one task of an array, are one process each
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "6", "SLURM_LOCALID": "0"}, (0, 1, 0, 1, "none")),
        ({"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1"}, (0, 1, 0, 1, "none")),
    ],
)
def test_who_a_process_is(environ, expected):
    found = launch_of(environ)
    assert (found.rank, found.world_size, found.local_rank, found.local_size, found.by) == expected


def test_contradictions_are_refused():
    with pytest.raises(WorldSizeError, match="rank 4 of 4"):
        launch_of({"PMI_RANK": "4", "PMI_SIZE": "4"})


def test_ranks_are_told_where_to_meet():
    environ = dict(SRUN)
    announce(launch_of(environ), environ)
    assert (environ["RANK"], environ["WORLD_SIZE"], environ["LOCAL_RANK"]) == ("5", "6", "2")
    assert environ["MASTER_ADDR"] == "gpu07"
    other = SRUN | {"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"}
    announce(launch_of(other), other)
    assert other["MASTER_PORT"] == environ["MASTER_PORT"]
    one_node = dict(MPIRUN)
    announce(launch_of(one_node), one_node)
    assert one_node["MASTER_ADDR"] == "127.0.0.1"
    torchrun = dict(TORCHRUN)
    announce(launch_of(torchrun), torchrun)
    assert torchrun == TORCHRUN
    with pytest.raises(WorldSizeError, match="MASTER_ADDR is not set"):
        announce(launch_of(PMI), dict(PMI))


@pytest.mark.parametrize(
    ("environ", "threads"),
    [
        ({}, None),
        ({"OMP_NUM_THREADS": "3"}, None),
        (TORCHRUN, 8),  # torchrun's own 1 is not the user's
        (TORCHRUN | {"OMP_NUM_THREADS": "2"}, None),
        (TORCHRUN | {"PEAKATLAS_THREADS": "1"}, 1),
        (SRUN, 10),
        (SRUN | {"SLURM_CPUS_PER_TASK": "6"}, 6),
        (SRUN | {"OMP_NUM_THREADS": "1"}, None),
        (MPIRUN, 8),
        ({"PEAKATLAS_THREADS": "5"}, 5),
    ],
)
def test_threads_of_a_rank(monkeypatch, environ, threads):
    monkeypatch.setattr(launchers, "usable_cores", lambda: 32)
    monkeypatch.setattr("os.cpu_count", lambda: 32)
    assert threads_of(launch_of(environ), environ) == threads


def test_a_rank_that_is_bound_to_cores_uses_all_of_them(monkeypatch):
    monkeypatch.setattr(launchers, "usable_cores", lambda: 8)
    monkeypatch.setattr("os.cpu_count", lambda: 32)
    assert threads_of(launch_of(MPIRUN), MPIRUN) == 8
    assert threads_of(Launch(world_size=4, local_size=4, by="torch"), {}) == 2


@pytest.mark.parametrize("text", ["0", "many", "-1", ""])
def test_a_wrong_number_of_threads_is_refused(text):
    with pytest.raises(WorldSizeError, match="PEAKATLAS_THREADS"):
        threads_of(Launch(), {"PEAKATLAS_THREADS": text})
