"""Atlases behind URLs: the same rows, few requests, clear errors."""

import os

import numpy as np
import pytest

from peakatlas.atlas import Atlas
from peakatlas.atlas.storage import remote
from peakatlas.atlas.storage.local import LocalStorage
from peakatlas.atlas.storage.urls import open_storage
from peakatlas.engine.errors import AtlasError, MissingDependencyError
from tests.atlas_tools import random_intervals, write_toy_atlas
from tests.web_server import serving

N_ROWS = 400


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("remote")
    write_toy_atlas(root / "a.zarr", random_intervals(N_ROWS, extent=500_000), shard_rows=32)
    return root


@pytest.fixture
def web(folder):
    pytest.importorskip("aiohttp", reason="reading http:// needs aiohttp")
    with serving(folder) as server:
        yield server


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(remote, "_PAUSE_S", 0.001)


@pytest.fixture
def in_memory(folder):
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    memory.put(str(folder / "a.zarr"), "/atlases/a.zarr", recursive=True)
    yield "memory://atlases/a.zarr"
    memory.rm("/atlases", recursive=True)


def check_equal(url, folder, **options):
    far, near = Atlas.open(url, **options), Atlas.open(folder / "a.zarr")
    rows = np.random.default_rng(0).integers(0, N_ROWS, 300)
    np.testing.assert_array_equal(far.gather(rows), near.gather(rows))
    np.testing.assert_array_equal(far.digests, near.digests)
    np.testing.assert_array_equal(far.state, near.state)
    assert far.intervals == near.intervals
    peaks = near.intervals.take(rows)
    np.testing.assert_array_equal(far.lookup(peaks).row, rows)
    assert far.info() | {"path": ""} == near.info() | {"path": ""}


def test_a_server_that_does_not_answer_is_not_an_absent_file(quick):
    pytest.importorskip("aiohttp", reason="reading http:// needs aiohttp")
    storage = open_storage("http://localhost:9/a.zarr")
    with pytest.raises(AtlasError, match=r"manifest.json cannot be read \(Client.*attempts: 3"):
        storage.size("manifest.json")


def test_memory_reads_as_the_folder(in_memory, folder):
    check_equal(in_memory, folder)


def test_file_url_is_a_local_path(folder):
    assert isinstance(open_storage(f"file://{folder}/a.zarr"), LocalStorage)
    check_equal(f"file://{folder}/a.zarr", folder)


@pytest.mark.parametrize("ranges", [True, False])
def test_http_reads_as_the_folder(web, folder, ranges):
    web.ranges = ranges
    check_equal(f"{web.url}/a.zarr/", folder)


def test_s3_reads_as_the_folder(folder):
    moto = pytest.importorskip("moto.server", reason="needs moto[server]")
    s3fs = pytest.importorskip("s3fs")
    server = moto.ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    options = {"key": "k", "secret": "s", "endpoint_url": f"http://{host}:{port}"}
    try:
        bucket = s3fs.S3FileSystem(**options)
        bucket.mkdir("elements")
        bucket.put(str(folder / "a.zarr"), "elements/a.zarr", recursive=True)
        check_equal("s3://elements/a.zarr", folder, storage_options=options)
        with pytest.raises(AtlasError, match=r"s3://elements/none is not an atlas.*manifest"):
            Atlas.open("s3://elements/none", storage_options=options)
    finally:
        server.stop()


def test_a_region_takes_a_handful_of_requests(web):
    atlas = Atlas.open(f"{web.url}/a.zarr")
    assert [line.split("/a.zarr/")[1] for line in web.log] == [
        "manifest.json", "segment-0000/plan.json",
    ]  # fmt: skip
    web.log.clear()
    atlas.gather(np.arange(40, 60))
    assert len(web.log) == 2  # one shard: its embeddings, its states
    web.log.clear()
    atlas.lookup(random_intervals(3, seed=4))
    assert len(web.log) == 2  # start, end; contigs follow from the plan


def test_ranges_of_a_large_shard_are_fetched_not_the_shard(tmp_path, monkeypatch):
    pytest.importorskip("aiohttp", reason="reading http:// needs aiohttp")
    monkeypatch.setattr("peakatlas.atlas.build.writer.CHUNK_ROWS", 16)
    monkeypatch.setattr("peakatlas.atlas.format.shard_files._SMALL_FILE", 1000)
    values = write_toy_atlas(tmp_path / "a.zarr", random_intervals(400), shard_rows=256)
    with serving(tmp_path) as web:
        atlas = Atlas.open(f"{web.url}/a.zarr")
        web.log.clear()
        rows = np.array([50, 20, 130, 40])  # chunks 1, 2, 3 in one run, and 8
        np.testing.assert_array_equal(atlas.gather(rows), values[rows])
        shard = (tmp_path / "a.zarr/segment-0000/embedding/c/0/0").stat().st_size
        wanted = [line.split("bytes=")[1] for line in web.log if "/embedding/" in line]
        chunk, index = 16 * 8 * 2 + 4, 16 * 16 + 4
        assert wanted[0] == f"{shard - index}-{shard - 1}"
        assert sorted(wanted[1:]) == sorted(
            [f"{chunk}-{4 * chunk - 1}", f"{8 * chunk}-{9 * chunk - 1}"]
        )
        web.log.clear()
        atlas.gather([0])
        assert len([line for line in web.log if "/embedding/" in line]) == 1  # the index is known


def test_what_is_absent_is_named(web):
    with pytest.raises(AtlasError, match=r"/none is not an atlas, .* \(no manifest.json\)"):
        Atlas.open(f"{web.url}/none")


def test_a_shard_that_vanished_is_named(tmp_path):
    pytest.importorskip("aiohttp", reason="reading http:// needs aiohttp")
    write_toy_atlas(tmp_path / "a.zarr", random_intervals(40), shard_rows=8)
    (tmp_path / "a.zarr/segment-0000/embedding/c/3/0").unlink()
    with serving(tmp_path) as web:
        atlas = Atlas.open(f"{web.url}/a.zarr")
        with pytest.raises(AtlasError, match=r"embedding/c/3/0 cannot be read \(no such file"):
            atlas.gather([25])


def test_a_flipped_bit_is_found(tmp_path):
    pytest.importorskip("aiohttp", reason="reading http:// needs aiohttp")
    write_toy_atlas(tmp_path / "a.zarr", random_intervals(40), shard_rows=8)
    shard = tmp_path / "a.zarr/segment-0000/embedding/c/3/0"
    data = bytearray(shard.read_bytes())
    data[9] ^= 4
    shard.write_bytes(data)
    damaged = pytest.raises(AtlasError, match="embedding/c/3/0 rows 24-32 do not fit")
    with serving(tmp_path) as web, damaged:
        Atlas.open(f"{web.url}/a.zarr").gather([25])


def test_passing_errors_are_tried_again(web, folder, quick):
    web.errors = 2
    atlas = Atlas.open(f"{web.url}/a.zarr")
    web.errors = 1
    near = Atlas.open(folder / "a.zarr")
    np.testing.assert_array_equal(atlas.gather([3, 4]), near.gather([3, 4]))


def test_a_server_that_stays_down_is_named(web, quick):
    web.errors = 99
    with pytest.raises(AtlasError, match=r"manifest.json cannot be read \(.*500.*attempts: 3"):
        Atlas.open(f"{web.url}/a.zarr")


def test_a_transfer_that_breaks_off_is_named(web, quick):
    atlas = Atlas.open(f"{web.url}/a.zarr")
    web.truncate = "embedding"
    with pytest.raises(AtlasError, match=r"embedding/c/1/0 cannot be read"):
        atlas.gather([40])


def test_a_server_that_hangs_is_given_up(web, quick, monkeypatch):
    monkeypatch.setattr(remote, "STALL_S", 0.1)
    monkeypatch.setattr(remote, "ATTEMPTS", 1)
    web.stall_s = 0.4
    with pytest.raises(AtlasError, match=r"cannot be read \(.*[Tt]imeout"):
        Atlas.open(f"{web.url}/a.zarr/", storage_options={"skip_instance_cache": True})


def test_unknown_protocols_and_missing_packages_are_named(monkeypatch):
    with pytest.raises(AtlasError, match="Protocol not known: gopher"):
        Atlas.open("gopher://x/a")

    def refuse(*args, **kwargs):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(remote, "url_to_fs", refuse)
    with pytest.raises(MissingDependencyError, match=r"s3:// needs s3fs.*pip install s3fs"):
        Atlas.open("s3://bucket/a")


def test_a_remote_atlas_has_no_path(in_memory):
    atlas = Atlas.open(in_memory)
    assert "memory://atlases/a.zarr" in repr(atlas)
    with pytest.raises(AtlasError, match=r"read over the network .* peakatlas atlas mirror"):
        _ = atlas.path


def test_a_short_local_file_is_named(tmp_path):
    (tmp_path / "f").write_bytes(b"12345")
    storage = open_storage(tmp_path)
    assert storage.read_ranges([("f", 1, 3), ("f", 0, 5)]) == [b"23", b"12345"]
    with pytest.raises(AtlasError, match=r"f ends too early \(2 of 4 bytes came\)"):
        storage.read_ranges([("f", 3, 7)])
    with pytest.raises(FileNotFoundError):
        storage.read_bytes("g")
    assert storage.size("f") == 5
    assert not storage.exists("g")
    assert os.fspath(storage.local_path("f")) == str(tmp_path / "f")
