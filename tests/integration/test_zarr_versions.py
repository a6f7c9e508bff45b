"""Atlases are readable by another version of zarr, and read what it writes.

Newer zarr needs a newer Python. The test looks for one that has zarr: the interpreter named by
PEAKATLAS_OTHER_PYTHON, else python3.12 to python3.14 on the PATH.
"""

import json
import os
import shutil
import subprocess
import textwrap

import numpy as np
import pytest
import zarr

from peakatlas.atlas import Atlas
from tests.atlas_tools import begin_toy_atlas, random_intervals, toy_rows, write_toy_atlas

NAMES = ("embedding", "digest", "n_fraction", "state")
# Runs under the other Python, which needs numpy and zarr only.
READ = textwrap.dedent(
    """
    import json, sys
    import numpy, zarr
    group = zarr.open_group(sys.argv[1], mode="r")
    names = sys.argv[2].split(",")
    print(json.dumps({name: numpy.asarray(group[name][:]).tobytes().hex() for name in names}))
    """
)
WRITE = textwrap.dedent(
    """
    import sys
    import numpy, zarr
    from zarr.codecs import Crc32cCodec
    folder, n_rows, names = sys.argv[1], int(sys.argv[2]), sys.argv[3].split(",")
    for name in names:
        values = numpy.load(f"{folder}/{name}.npy")
        array = zarr.create_array(
            f"{folder}/{name}", shape=values.shape, dtype=values.dtype,
            shards=(4, *values.shape[1:]), chunks=(4, *values.shape[1:]),
            compressors=[Crc32cCodec()],
            fill_value=float("nan") if values.dtype.kind == "f" else 0,
            config={"write_empty_chunks": True},
        )
        array[:] = values
    """
)


def zarr_of(python):
    """Version of zarr under an interpreter, '' if it has none."""
    command = [python, "-c", "import zarr, numpy; print(zarr.__version__)"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


@pytest.fixture(scope="module")
def other():
    """Run a script under another Python, one with another version of zarr."""
    named = [os.environ.get("PEAKATLAS_OTHER_PYTHON", "")]
    found = [shutil.which(name) for name in (*named, "python3.14", "python3.13", "python3.12")]
    for python in filter(None, found):
        if zarr_of(python) not in ("", zarr.__version__):
            return lambda script, *given: (
                subprocess.run(
                    [python, "-c", script, *map(str, given)],
                    capture_output=True,
                    text=True,
                    check=True,
                ).stdout
            )
    pytest.skip("no Python >= 3.12 with another zarr; name one in PEAKATLAS_OTHER_PYTHON")


def test_another_zarr_reads_an_atlas(tmp_path, other):
    values = write_toy_atlas(tmp_path / "a.zarr", random_intervals(50))
    found = json.loads(other(READ, tmp_path / "a.zarr" / "segment-0000", ",".join(NAMES)))
    expected = toy_rows(50)
    assert found["embedding"] == values.astype(np.float16).tobytes().hex()
    assert found["digest"] == expected[1].tobytes().hex()
    assert found["state"] == expected[3].tobytes().hex()


def test_an_atlas_written_by_another_zarr_is_read(tmp_path, other):
    values, digests, n_fraction, state = toy_rows(50)
    for name, column in zip(
        NAMES, (values.astype(np.float16), digests, n_fraction, state), strict=True
    ):
        np.save(tmp_path / f"{name}.npy", column)
    other(WRITE, tmp_path, 50, ",".join(NAMES))
    writer = begin_toy_atlas(tmp_path / "a.zarr", random_intervals(50))
    for shard in range(writer.n_shards):
        rows = writer.shard_rows_of(shard)
        writer.write_shard(shard, values[rows], digests[rows],
                           n_fraction[rows], state[rows])  # fmt: skip
    writer.finalise()
    for name in NAMES:
        for file in (tmp_path / name / "c").rglob("*"):
            if file.is_file():
                target = (
                    tmp_path / "a.zarr" / "segment-0000" / name / file.relative_to(tmp_path / name)
                )
                assert target.read_bytes() == file.read_bytes()
                shutil.copy(file, target)
    np.testing.assert_array_equal(Atlas.open(tmp_path / "a.zarr").gather(np.arange(50)), values)
