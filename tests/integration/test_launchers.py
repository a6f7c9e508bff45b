"""Several processes by each launcher, one killed midway: the bytes are those of one process.

Each process loads torch, so by default there are two of them and few launches;
``PEAKATLAS_TEST_RANKS=4`` starts four and resumes by each launcher.
"""

import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from peakatlas.atlas import Atlas, build_atlas
from peakatlas.atlas.build.cluster import finalise_atlas, init_atlas
from peakatlas.engine.embedder import Embedder
from tests.atlas_tools import tree_bytes, write_toy_genome

TESTS = Path(__file__).parents[1]
N_PEAKS, SHARD_ROWS = 96, 8
WORLD = int(os.environ.get("PEAKATLAS_TEST_RANKS", "2"))
ALL = "PEAKATLAS_TEST_RANKS" in os.environ
VICTIM = WORLD // 2
LOST = [-9 if rank == VICTIM else 0 for rank in range(WORLD)]
RANK = textwrap.dedent(
    """
    import os, pathlib, signal, sys, time
    from peakatlas.atlas import build_atlas
    from peakatlas.engine.embedder import Embedder
    from peakatlas.engine.run.launchers import launch_of
    genome, bed, model, out, shard_rows, victim = sys.argv[1:]
    launch = launch_of(os.environ)
    def die(n):
        if str(launch.rank) == victim:  # within its first shard
            os.kill(os.getpid(), signal.SIGKILL)
    embedder = Embedder.load(model, window="peak:120:30")
    # all begin at once, or the first to be ready would take the shards of the others
    ready = pathlib.Path(out).parent
    (ready / f"ready{victim}.{launch.rank}").touch()
    while len(list(ready.glob(f"ready{victim}.*"))) < launch.world_size:
        time.sleep(0.01)
    atlas = build_atlas(genome, bed, out, embedder, shard_rows=int(shard_rows), progress=die)
    print("rows", len(atlas))
    """
)
TASK = textwrap.dedent(
    """
    import os, signal, sys
    from peakatlas.atlas.build.cluster import load_embedder, write_shards
    genome, out, victim = sys.argv[1:]
    task, n_tasks = (int(os.environ[f"SLURM_ARRAY_TASK_{name}"]) for name in ("ID", "COUNT"))
    def die(n):
        if str(task) == victim:
            os.kill(os.getpid(), signal.SIGKILL)
    embedder = load_embedder(out, model=os.environ["MODEL"])
    write_shards(out, range(task, 12, n_tasks), genome, embedder, progress=die)
    """
)


@pytest.fixture(scope="module")
def job(tmp_path_factory, toy_peaklm):
    """Arguments of a build, and an atlas that one process made of the same peaks."""
    folder = tmp_path_factory.mktemp("job")
    genome = write_toy_genome(folder / "toy.fa", {"chr1": 50_000, "chr2": 50_000})
    rng = np.random.default_rng(0)
    start = np.sort(rng.choice(45_000, N_PEAKS, replace=False)) + 1000
    end = start + rng.integers(60, 400, N_PEAKS)
    bed = folder / "peaks.bed"
    bed.write_text("".join(f"chr1\t{s}\t{e}\n" for s, e in zip(start, end, strict=True)))
    (folder / "rank.py").write_text(RANK)
    embedder = Embedder.load(str(toy_peaklm), window="peak:120:30")
    build_atlas(genome, bed, folder / "one.zarr", embedder, shard_rows=SHARD_ROWS)
    return folder, [str(path) for path in (genome, bed, toy_peaklm)]


def environment(**more):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    return kept | {"PYTHONPATH": f"{TESTS}{os.pathsep}{TESTS.parent}", **more}


def start(commands):
    """Run processes at once; exit codes and what they said."""
    running = [
        subprocess.Popen(
            command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for command, env in commands
    ]
    said = ["".join(process.communicate(timeout=300)) for process in running]
    return [process.returncode for process in running], said


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def torchrun(script):
    launcher = ["torch.distributed.run", "--nproc_per_node", str(WORLD), "--standalone"]
    return start([([sys.executable, "-m", *launcher, *script], environment())])


def accelerate(script):
    launcher = [
        "accelerate.commands.launch", "--multi_gpu", "--num_processes", str(WORLD),
        "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no",
        "--main_process_port", str(free_port()),
    ]  # fmt: skip
    return start([([sys.executable, "-m", *launcher, *script], environment())])


def srun(script):
    job = str(free_port())
    return start(
        ([sys.executable, *script],
         environment(
             SLURM_PROCID=str(rank), SLURM_LOCALID=str(rank), SLURM_STEP_NUM_TASKS=str(WORLD),
             SLURM_STEP_TASKS_PER_NODE=str(WORLD), SLURM_NODEID="0", SLURM_JOB_ID=job,
             PMI_RANK=str(rank), PMI_SIZE=str(WORLD),
         ))
        for rank in range(WORLD)
    )  # fmt: skip


PAIRS = [(torchrun, accelerate)]
"""Who starts the ranks, and who starts them again."""
if ALL:
    PAIRS = [(torchrun, torchrun), (accelerate, accelerate), (accelerate, srun), (srun, torchrun)]


def check(out, folder):
    """The atlas is that of one process, and says what it was made with."""
    assert tree_bytes(out) == tree_bytes(folder / "one.zarr")
    assert not list(out.glob(".rank-*"))
    software = Atlas.open(out).provenance["segments"][0]["software"]
    assert {"torch", "device", "cpu_capability"} <= set(software)


@pytest.mark.parametrize(("launcher", "again"), PAIRS)
def test_a_launch_that_lost_a_rank_is_resumed(tmp_path, job, launcher, again):
    folder, arguments = job
    script = [str(folder / "rank.py"), *arguments, str(tmp_path / "a.zarr"), str(SHARD_ROWS)]
    codes, said = launcher([*script, str(VICTIM)])
    assert any(codes), said  # the rank that was killed
    codes, said = again([*script, "-1"])
    assert not any(codes), said
    assert "".join(said).count(f"rows {N_PEAKS}") == WORLD
    check(tmp_path / "a.zarr", folder)


def test_where_nobody_ends_the_others_they_take_up_the_shards_of_a_lost_rank(tmp_path, job):
    folder, arguments = job
    out = tmp_path / "a.zarr"
    codes, said = srun(
        [str(folder / "rank.py"), *arguments, str(out), str(SHARD_ROWS), str(VICTIM)]
    )
    assert codes == LOST, said
    assert "".join(said).count(f"rows {N_PEAKS}") == WORLD - 1
    check(out, folder)


def test_an_array_job_that_lost_a_task_is_resumed(tmp_path, job):
    folder, (genome, bed, model) = job
    out = tmp_path / "a.zarr"
    embedder = Embedder.load(model, window="peak:120:30")
    init_atlas(genome, bed, out, embedder, shard_rows=SHARD_ROWS)

    def start_tasks(numbers, victim):
        command = [sys.executable, "-c", TASK, genome, str(out), victim]
        return start(
            (
                command,
                environment(
                    SLURM_ARRAY_TASK_ID=str(task),
                    SLURM_ARRAY_TASK_COUNT=str(WORLD),
                    MODEL=model,
                    SLURM_PROCID="0",
                ),
            )
            for task in numbers
        )

    codes, said = start_tasks(range(WORLD) if ALL else [VICTIM], str(VICTIM))
    assert codes == (LOST if ALL else [-9]), said
    codes, said = start_tasks(range(WORLD), "-1")
    assert codes == [0] * WORLD, said
    finalise_atlas(out)
    assert tree_bytes(out) == tree_bytes(folder / "one.zarr")
