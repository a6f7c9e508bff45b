"""Atlases built straight into an object store are those of a local build, whatever dies."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from peakatlas.atlas import Atlas, build_atlas
from peakatlas.atlas.build.cluster import finalise_atlas, init_atlas, write_shards
from peakatlas.atlas.build.local import build_partition
from peakatlas.atlas.check.verify import verify_atlas
from peakatlas.atlas.derive.subset import subset_atlas
from peakatlas.atlas.storage.object_store import ObjectStorage
from peakatlas.atlas.storage.urls import writable_storage
from peakatlas.engine.errors import AtlasError, IncompleteAtlasError, ShardOwnershipError
from peakatlas.engine.run.distributed import Partition
from tests.atlas_tools import ToyEmbedder, random_intervals, tree_bytes
from tests.s3_server import fetched

N_ROWS, N_SHARDS = 12, 3
TESTS = Path(__file__).parents[3]
BUILD_AND_DIE = """
import os, signal, sys
from peakatlas.atlas import build_atlas
from peakatlas.atlas.storage.object_store import ObjectStorage
from atlas_tools import ToyEmbedder, random_intervals

write = ObjectStorage._write


def dies(self, name, data):
    write(self, name, data)
    if name.endswith("digest/c/1/0"):  # of a shard of four files and a log entry
        os.kill(os.getpid(), signal.SIGKILL)


ObjectStorage._write = dies
build_atlas(sys.argv[1], random_intervals(12), sys.argv[2], ToyEmbedder(), shard_rows=4)
"""


class Dies(ToyEmbedder):
    """Embeds two shards, then is interrupted."""

    def embed(self, peaks, source, progress=None):
        if self.n_embedded >= 8:
            raise KeyboardInterrupt
        return super().embed(peaks, source, progress)


@pytest.fixture
def url(server, request):
    return f"{server}/{request.node.name}.zarr"


@pytest.fixture
def peaks():
    return random_intervals(N_ROWS)


@pytest.fixture
def local(tmp_path, genome, peaks):
    build_atlas(genome, peaks, tmp_path / "local.zarr", ToyEmbedder(), shard_rows=4)
    return tmp_path / "local.zarr"


def check_same(url, local):
    """The same objects as files, to the byte; of the manifest, all but when it was made."""
    found = {
        path: data
        for path, data in fetched(url).items()
        if not any(part.startswith(".") for part in path.split("/"))
    }
    ours, theirs = json.loads(found.pop("manifest.json")), (local / "manifest.json").read_bytes()
    assert found == tree_bytes(local)
    (one,), (other,) = ours["segments"], json.loads(theirs)["segments"]
    assert one | {"finished": ""} == other | {"finished": ""}


def test_a_build_is_that_of_a_folder(url, local, genome, peaks):
    atlas = build_atlas(genome, peaks, url, ToyEmbedder(), shard_rows=4)
    check_same(url, local)
    assert verify_atlas(url, deep=True, source=genome).ok
    near = Atlas.open(local)
    np.testing.assert_array_equal(atlas.lookup(peaks).row, np.arange(N_ROWS))
    np.testing.assert_array_equal(atlas.gather([3, 11]), near.gather([3, 11]))
    again = ToyEmbedder()
    build_atlas(genome, peaks, url, again, shard_rows=4)
    assert again.n_embedded == 0
    hidden = [path for path in fetched(url) if "/." in f"/{path}"]
    assert hidden == [".atlas.held"]


def test_an_interrupted_build_goes_on(url, local, genome, peaks):
    with pytest.raises(KeyboardInterrupt):
        build_atlas(genome, peaks, url, Dies(), shard_rows=4)
    with pytest.raises(AtlasError, match=r"not a finished one \(no manifest"):
        Atlas.open(url)
    with pytest.raises(IncompleteAtlasError, match=rf"1 of {N_SHARDS} shards are missing"):
        finalise_atlas(url)
    rest = ToyEmbedder()
    build_atlas(genome, peaks, url, rest, shard_rows=4)
    assert rest.n_embedded == 4
    check_same(url, local)


def test_a_killed_build_costs_one_shard(url, local, genome, peaks):
    died = subprocess.run(
        [sys.executable, "-c", BUILD_AND_DIE, genome.path, url],
        env=os.environ | {"PYTHONPATH": f"{TESTS}{os.pathsep}{TESTS.parent}"},
        timeout=120, check=False,
    )  # fmt: skip
    assert died.returncode == -9
    held = fetched(url)
    assert "segment-0000/embedding/c/1/0" in held
    assert "segment-0000/log/shard-00001.json" not in held
    rest = ToyEmbedder()
    build_atlas(genome, peaks, url, rest, shard_rows=4)
    assert rest.n_embedded == 8  # the shard that was logged is kept
    check_same(url, local)


def test_two_writers_share_the_shards(url, local, genome, peaks):
    both = [ToyEmbedder(seconds_a_call=0.05), ToyEmbedder(seconds_a_call=0.05)]
    with ThreadPoolExecutor(2) as pool:
        built = list(pool.map(
            lambda embedder: build_atlas(genome, peaks, url, embedder, shard_rows=4), both
        ))  # fmt: skip
    assert [len(atlas) for atlas in built] == [N_ROWS, N_ROWS]
    assert sum(embedder.n_embedded for embedder in both) == N_ROWS
    check_same(url, local)


def test_two_that_put_one_shard_do_not_mix(url, genome, peaks):
    writer = init_atlas(genome, peaks, url, ToyEmbedder(), shard_rows=4)
    storage, other = writer.storage, writable_storage(url)
    with other.locked(f"{writer.segment.name}/log/claim-00001"):
        with pytest.raises(ShardOwnershipError, match=r"shard 1 of .* is held by another process"):
            write_shards(url, [0, 1], genome, ToyEmbedder())
        assert writer.done_shards() == [0]
    assert isinstance(storage, ObjectStorage)
    assert storage.holder(f"{writer.segment.name}/log/claim-00001") == ""


def test_separate_calls_make_the_same_atlas(url, local, genome, peaks):
    assert init_atlas(genome, peaks, url, ToyEmbedder(), shard_rows=4).n_shards == N_SHARDS
    write_shards(url, [2, 0], genome, ToyEmbedder())
    assert write_shards(url, [0, 1], genome, ToyEmbedder()) == [0]
    assert len(finalise_atlas(url)) == N_ROWS
    check_same(url, local)


def test_partitions_finish_the_atlas_together(url, local, genome, peaks):
    parts = [
        build_partition(
            genome, peaks, url, ToyEmbedder(), Partition(number=n, count=2), shard_rows=4
        )
        for n in (1, 2)
    ]
    assert parts[0] > parts[1] == 0
    check_same(url, local)


def test_rows_are_taken_from_one_url_to_another(url, local, genome, peaks, tmp_path):
    build_atlas(genome, peaks, url, ToyEmbedder(), shard_rows=4)
    far, near = subset_atlas(url, f"{url}.part", peaks.take(np.arange(4))), tmp_path / "part.zarr"
    subset_atlas(local, near, peaks.take(np.arange(4)))
    rows = np.arange(len(far))
    np.testing.assert_array_equal(far.gather(rows), Atlas.open(near).gather(rows))
    assert verify_atlas(f"{url}.part", deep=True).ok


def test_a_layout_that_broke_off_is_laid_out_again(url, local, genome, peaks, monkeypatch):
    write = ObjectStorage._write

    def breaks(self, name, data):
        if name.endswith("plan.json"):
            raise KeyboardInterrupt
        write(self, name, data)

    monkeypatch.setattr(ObjectStorage, "_write", breaks)
    with pytest.raises(KeyboardInterrupt):
        build_atlas(genome, random_intervals(30, seed=3), url, ToyEmbedder(), shard_rows=4)
    monkeypatch.undo()
    build_atlas(genome, peaks, url, ToyEmbedder(), shard_rows=4)
    check_same(url, local)


def test_what_lies_there_is_not_written_over(url, genome, peaks):
    writable_storage(url).write_files({"notes.txt": [b"mine"]})
    with pytest.raises(AtlasError, match=r"is not an atlas \(it holds notes.txt\)"):
        build_atlas(genome, peaks, url, ToyEmbedder())
    build_atlas(genome, peaks, f"{url}/a", ToyEmbedder())
    with pytest.raises(AtlasError, match="begun with other intervals"):
        build_atlas(genome, peaks.take(np.arange(5)), f"{url}/a", ToyEmbedder())
    with pytest.raises(AtlasError, match="there is no such bucket"):
        build_atlas(genome, peaks, "s3://nobody/a", ToyEmbedder())
