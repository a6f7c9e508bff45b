"""Two processes write and extend one atlas where flock is refused or does nothing."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from peakatlas.atlas import Atlas, verify_atlas
from tests.atlas_tools import begin_toy_atlas, random_intervals, toy_rows, tree_bytes

ROUNDS = 20
TREE = Path(__file__).parents[2]
WRITER = textwrap.dedent(
    """
    import errno, fcntl, os, sys, time
    from pathlib import Path
    import numpy as np
    from peakatlas.atlas.build.append import append_rows
    from peakatlas.atlas.build.writer import LOCK_NAME
    from peakatlas.atlas.storage.locks import locked
    from peakatlas.engine.errors import ShardOwnershipError
    from atlas_tools import ToyEmbeddings, begin_toy_atlas, random_intervals, toy_rows

    folder, kind, me, rounds = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    refusals = [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP]

    def flock(descriptor, operation):
        if kind == "refuses":
            raise OSError(refusals[number % 3], "no locks here")

    fcntl.flock = flock
    os.fsync = lambda descriptor: None  # slow, and no matter here
    for number in range(rounds):
        (folder / f"{number}-{me}").touch()
        while not (folder / f"{number}-{1 - me}").exists():
            time.sleep(0.001)
        out, rows = folder / f"{number}.zarr", toy_rows(16)
        every = random_intervals(16)
        writer = begin_toy_atlas(out, every.take(np.arange(12)), shard_rows=4)
        while missing := writer.segment.missing_shards():
            for shard in missing:
                try:
                    with writer.claim(shard):
                        if not writer.segment.is_done(shard):
                            at = writer.shard_rows_of(shard)
                            writer.write_shard(shard, *(column[at] for column in rows))
                except ShardOwnershipError:
                    time.sleep(0.001)
        with locked(out, LOCK_NAME, wait=True):
            writer.finalise()
        more = np.arange(12 + 2 * me, 14 + 2 * me)
        made = ToyEmbeddings(values=rows[0][more], digests=rows[1][more], n_fraction=rows[2][more])
        append_rows(out, every.take(more), made, genome={"name": "toy.fa"})
    """
)


@pytest.mark.parametrize("kind", ["refuses", "does nothing"])
def test_two_writers_without_flock_lose_nothing(tmp_path, kind):
    command = [sys.executable, "-c", WRITER, str(tmp_path), kind]
    path = os.environ | {
        "PYTHONPATH": f"{TREE / 'tests'}{os.pathsep}{TREE}",
        "OMP_NUM_THREADS": "1",
    }
    writers = [
        subprocess.Popen([*command, str(me), str(ROUNDS)], env=path, stderr=subprocess.PIPE)
        for me in (0, 1)
    ]
    errors = [writer.communicate(timeout=120)[1].decode() for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0], errors
    every, values = random_intervals(16), toy_rows(16)[0]
    writer = begin_toy_atlas(tmp_path / "one.zarr", every.take(np.arange(12)))
    for shard in range(writer.n_shards):
        writer.write_shard(shard, *(column[writer.shard_rows_of(shard)] for column in toy_rows(16)))
    whole = tree_bytes(tmp_path / "one.zarr")
    for number in range(ROUNDS):
        out = tmp_path / f"{number}.zarr"
        with Atlas.open(out) as atlas:
            assert len(atlas) == 16
            np.testing.assert_array_equal(atlas.gather(atlas.lookup(every).row), values)
        assert whole.items() <= tree_bytes(out).items()
        assert not verify_atlas(out, deep=True).faults
        assert not [path for path in out.rglob(".*") if path.suffix in (".aside", ".held")]
