"""Rows read off shards by several threads, against zarr."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import zarr
from zarr.storage import LocalStore

from peakatlas.atlas import Atlas
from peakatlas.atlas.format import columns, shard_files
from peakatlas.atlas.format.open_segment import OpenSegment
from peakatlas.atlas.format.opening import manifest_of
from peakatlas.atlas.format.schema import MASKED
from peakatlas.atlas.storage.urls import open_storage
from peakatlas.engine.errors import AtlasError
from tests.atlas_tools import begin_toy_atlas, random_intervals, toy_rows, write_toy_atlas

N_ROWS, SHARD_ROWS, CHUNK_ROWS = 300, 64, 8


@pytest.fixture
def path(tmp_path, monkeypatch):
    """Several chunks a shard, a short last shard, and masked rows."""
    monkeypatch.setattr("peakatlas.atlas.build.writer.CHUNK_ROWS", CHUNK_ROWS)
    monkeypatch.setattr(columns, "_FEW_ROWS", 0)
    monkeypatch.setattr(columns, "usable_cores", lambda: 3)
    writer = begin_toy_atlas(tmp_path / "a.zarr", random_intervals(N_ROWS), shard_rows=SHARD_ROWS)
    values, digests, n_fraction, state = toy_rows(N_ROWS)
    values[::9], state[::9] = np.nan, MASKED
    for shard in range(writer.n_shards):
        at = writer.shard_rows_of(shard)
        writer.write_shard(shard, values[at], digests[at], n_fraction[at], state[at])
    writer.finalise()
    return tmp_path / "a.zarr"


def naive(path, name="embedding"):
    store = LocalStore(path / "segment-0000", read_only=True)
    return zarr.open_array(store, path=name, mode="r")[:]


def shard_path(path, shard=2):
    return path / "segment-0000" / "embedding" / "c" / str(shard) / "0"


def flip(file, at):
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize("most", [1, 100, 1 << 23])
@pytest.mark.parametrize("few", [0, 3, 100])
def test_gather_is_what_zarr_reads(path, monkeypatch, most, few):
    monkeypatch.setattr(columns, "BYTES_AT_ONCE", most)
    monkeypatch.setattr(columns, "_DECODED_AT_ONCE", 3)
    monkeypatch.setattr(shard_files, "_FEW_ROWS", few)
    expected = naive(path).astype(np.float32)
    rng = np.random.default_rng(0)
    atlas = Atlas.open(path)
    for rows in (
        rng.integers(0, N_ROWS, 500), np.sort(rng.integers(0, N_ROWS, 50)), np.arange(N_ROWS),
        np.arange(N_ROWS)[::-1], [299, 0, 0, 299], [],
    ):  # fmt: skip
        np.testing.assert_array_equal(atlas.gather(rows), expected[np.asarray(rows, np.int64)])


@pytest.mark.parametrize("name", ["intervals/start", "digest", "n_fraction", "state"])
def test_columns_are_what_zarr_reads(path, name):
    segment = Atlas.open(path)._segments[0]
    expected = naive(path, name)
    got = segment.column(name)
    assert got.dtype == expected.dtype
    np.testing.assert_array_equal(got, expected)
    rows = np.array([200, 3, 3, 64])
    np.testing.assert_array_equal(segment.column(name, rows), expected[rows])


def test_chunks_that_are_compressed_are_read_by_zarr(path):
    expected = naive(path)
    store = LocalStore(path / "segment-0000")
    array = zarr.create_array(
        store, name="embedding", shape=expected.shape, dtype="float16", overwrite=True,
        shards=(SHARD_ROWS, 8), chunks=(CHUNK_ROWS, 8), fill_value=float("nan"),
        compressors=[zarr.codecs.ZstdCodec(), zarr.codecs.Crc32cCodec()],
    )  # fmt: skip
    array[:] = expected
    atlas = _opened_whatever_the_sizes(path)
    rows = np.random.default_rng(1).integers(0, N_ROWS, 90)
    np.testing.assert_array_equal(atlas.gather(rows), expected[rows].astype(np.float32))
    np.testing.assert_array_equal(atlas._segments[0].column("embedding"), expected)


def _opened_whatever_the_sizes(path):
    storage = open_storage(path)
    manifest = manifest_of(storage)
    for name, file in manifest["segments"][0]["files"].items():
        file.pop("crc32c", None)
        file["bytes"] = storage.size(f"segment-0000/{name}")
    return Atlas(storage, manifest)


def test_many_threads_read_one_atlas(path):
    atlas, expected = Atlas.open(path), naive(path).astype(np.float32)
    peaks = atlas.intervals
    atlas.close()

    def work(seed):
        rows = np.random.default_rng(seed).integers(0, N_ROWS, 80)
        same = np.array_equal(atlas.gather(rows), expected[rows], equal_nan=True)
        return same and np.array_equal(atlas.lookup(peaks.take(rows)).row, rows)

    with ThreadPoolExecutor(12) as pool:
        assert all(pool.map(work, range(120)))
    assert atlas.intervals is atlas.intervals


@pytest.mark.parametrize("at", [0, 5, CHUNK_ROWS * 16 - 1, CHUNK_ROWS * 16 + 3])
def test_a_flipped_bit_of_values_or_checksum_is_found(path, at):
    flip(shard_path(path), at)
    atlas = Atlas.open(path)
    atlas.gather([2 * SHARD_ROWS + CHUNK_ROWS])
    with pytest.raises(AtlasError, match="embedding/c/2/0 rows 128-136 do not fit their checksum"):
        atlas.gather([2 * SHARD_ROWS + 1])


def test_a_flipped_bit_of_the_index_is_found(path):
    flip(shard_path(path), shard_path(path).stat().st_size - 9)
    with pytest.raises(AtlasError, match="embedding/c/2/0 has an index that does not fit"):
        Atlas.open(path).gather([130])


@pytest.mark.parametrize("rows", [[130], np.arange(128, 190)])
def test_a_bit_flipped_after_the_first_read_is_found(path, rows):
    atlas = Atlas.open(path)
    before = atlas.gather(rows)
    np.testing.assert_array_equal(atlas.gather(rows), before)
    flip(shard_path(path), 2 * 8 * 2 + 3)  # row 130
    os.utime(shard_path(path), ns=(1, 1))
    with pytest.raises(AtlasError, match="embedding/c/2/0 rows 128-136 do not fit"):
        atlas.gather(rows)


def test_a_file_cut_after_opening_is_found(path):
    atlas = Atlas.open(path)
    os.truncate(shard_path(path), 100)
    with pytest.raises(AtlasError, match="embedding/c/2/0 ends too early"):
        atlas.gather([130])


def test_a_chunk_that_is_absent_is_not_read_as_fill(path):
    store = LocalStore(path / "segment-0000")
    array = zarr.create_array(
        store, name="embedding", shape=(N_ROWS, 8), dtype="float16", overwrite=True,
        shards=(SHARD_ROWS, 8), chunks=(CHUNK_ROWS, 8), fill_value=float("nan"),
        compressors=[zarr.codecs.Crc32cCodec()], config={"write_empty_chunks": False},
    )  # fmt: skip
    for first in range(0, N_ROWS, SHARD_ROWS):
        array[first : first + 8] = 1.0
    with pytest.raises(AtlasError, match="embedding/c/0/0 lacks chunk 1"):
        _opened_whatever_the_sizes(path).gather([9])


def test_a_sound_shard_of_another_atlas_is_found(path, tmp_path):
    write_toy_atlas(tmp_path / "b.zarr", random_intervals(N_ROWS, 1), shard_rows=SHARD_ROWS)
    shard_path(tmp_path / "b.zarr").replace(shard_path(path))
    with pytest.raises(AtlasError, match="embedding/c/2/0 rows 128-136 are not those that the man"):
        Atlas.open(path).gather([130])


def test_an_atlas_replaced_while_it_is_open_is_found(path, tmp_path):
    atlas = Atlas.open(path)
    atlas.gather([130])
    write_toy_atlas(tmp_path / "b.zarr", random_intervals(N_ROWS, 1), shard_rows=SHARD_ROWS)
    path.rename(tmp_path / "old.zarr")
    (tmp_path / "b.zarr").rename(path)
    with pytest.raises(AtlasError, match="or the atlas was replaced while it was open"):
        atlas.gather([130])
    with pytest.raises(AtlasError, match=r"start/c/0 (rows 0-300 are not those|ends too)"):
        atlas.intervals  # noqa: B018


def test_a_segment_is_opened_without_reading_rows(path, monkeypatch):
    monkeypatch.setattr(os, "preadv", None)
    atlas = Atlas.open(path)
    assert isinstance(atlas._segments[0], OpenSegment)
    assert len(atlas) == N_ROWS
