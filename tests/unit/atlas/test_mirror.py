"""The local copy of a remote atlas."""

import json
import shutil

import numpy as np
import pytest

from peakatlas.atlas import Atlas, mirror
from peakatlas.atlas.build.append import append_rows
from peakatlas.atlas.format.schema import seal_manifest
from peakatlas.atlas.mirror import cached_mirror, mirror_atlas
from peakatlas.atlas.storage import remote
from peakatlas.engine.errors import AtlasError
from tests.atlas_tools import ToyEmbeddings, random_intervals, toy_rows, tree_bytes, write_toy_atlas
from tests.web_server import serving

pytest.importorskip("aiohttp", reason="reading http:// needs aiohttp")


@pytest.fixture
def web(tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "_PAUSE_S", 0.001)
    write_toy_atlas(tmp_path / "srv/a.zarr", random_intervals(40), shard_rows=8)
    with serving(tmp_path / "srv") as server:
        server.atlas = tmp_path / "srv/a.zarr"
        yield server


def append(path, n=5, seed=9):
    values, digests, n_fraction, _ = toy_rows(n, seed)
    rows = ToyEmbeddings(values=values, digests=digests, n_fraction=n_fraction)
    append_rows(path, random_intervals(n, seed, contigs=("chr7",)), rows, genome={"name": "toy.fa"})


def test_a_copy_is_the_same_files_and_is_used_without_asking_for_more(web, tmp_path):
    url, copy = f"{web.url}/a.zarr", tmp_path / "copy"
    counted = []
    mirror_atlas(url, copy, progress=counted.append)
    assert tree_bytes(copy) == tree_bytes(web.atlas)
    assert (copy / "manifest.json").read_bytes() == (web.atlas / "manifest.json").read_bytes()
    assert sum(counted) == Atlas.open(copy).info()["bytes"]
    web.log.clear()
    again = Atlas.open(url, mirror=copy)
    np.testing.assert_array_equal(again.gather([3, 39]), Atlas.open(web.atlas).gather([3, 39]))
    assert web.log == ["/a.zarr/manifest.json"]


def test_the_cache_is_the_default_folder(web):
    atlas = Atlas.open(f"{web.url}/a.zarr", mirror=True)
    assert atlas.path == cached_mirror(f"{web.url}/a.zarr/")
    assert len(atlas) == 40


def test_an_interrupted_copy_goes_on_where_it_stopped(web, tmp_path):
    url, copy = f"{web.url}/a.zarr", tmp_path / "copy"
    web.truncate = "embedding/c/2"
    with pytest.raises(AtlasError, match="embedding/c/2/0 cannot be read"):
        mirror_atlas(url, copy)
    with pytest.raises(AtlasError, match=r"is not an atlas|is unfinished"):
        Atlas.open(copy)
    fetched = {path.relative_to(copy).as_posix() for path in copy.rglob("*") if path.is_file()}
    web.truncate = ""
    web.log.clear()
    mirror_atlas(url, copy)
    assert tree_bytes(copy) == tree_bytes(web.atlas)
    asked = {line.split(" ")[0].removeprefix("/a.zarr/") for line in web.log}
    assert fetched & asked == set()
    assert "segment-0000/embedding/c/2/0" in asked


def test_part_of_a_file_is_not_fetched_twice(web, tmp_path, monkeypatch):
    monkeypatch.setattr(mirror, "BLOCK_BYTES", 64)
    name = "segment-0000/embedding/c/0/0"
    whole = (web.atlas / name).read_bytes()
    partial = tmp_path / "copy" / "segment-0000/embedding/c/0/.0.part"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(whole[:70])
    mark = json.dumps({"url": f"{web.url}/a.zarr", "manifest_sha256": ""})
    (tmp_path / "copy/.mirror.json").write_text(mark)
    mirror_atlas(f"{web.url}/a.zarr", tmp_path / "copy")
    asked = [line.split("bytes=")[1] for line in web.log if name in line]
    assert asked[0] == "70-133"
    assert (tmp_path / "copy" / name).read_bytes() == whole


def test_what_is_appended_is_fetched_and_no_more(web, tmp_path):
    url, copy = f"{web.url}/a.zarr", tmp_path / "copy"
    mirror_atlas(url, copy)
    append(web.atlas)
    web.log.clear()
    assert len(Atlas.open(url, mirror=copy)) == 45
    assert tree_bytes(copy) == tree_bytes(web.atlas)
    assert not [line for line in web.log if "segment-0000" in line]


def test_a_rebuilt_atlas_replaces_the_copy(web, tmp_path):
    url, copy = f"{web.url}/a.zarr", tmp_path / "copy"
    mirror_atlas(url, copy)
    shutil.rmtree(web.atlas)
    values = write_toy_atlas(web.atlas, random_intervals(40, seed=5), shard_rows=8)
    atlas = Atlas.open(url, mirror=copy)
    np.testing.assert_array_equal(atlas.gather(np.arange(40)), values)
    assert atlas.intervals == random_intervals(40, seed=5)


def test_a_damaged_file_is_refused_and_not_kept(web, tmp_path):
    shard = web.atlas / "segment-0000/digest/c/1/0"
    good = shard.read_bytes()
    shard.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(AtlasError, match="digest/c/1/0 does not fit the manifest"):
        mirror_atlas(f"{web.url}/a.zarr", tmp_path / "copy")
    shard.write_bytes(good)
    mirror_atlas(f"{web.url}/a.zarr", tmp_path / "copy")
    assert tree_bytes(tmp_path / "copy") == tree_bytes(web.atlas)


def test_an_absent_file_is_named(web, tmp_path):
    (web.atlas / "segment-0000/state/c/1").unlink()
    with pytest.raises(AtlasError, match="state/c/1 is absent: the atlas is damaged"):
        mirror_atlas(f"{web.url}/a.zarr", tmp_path / "copy")


def test_a_copy_that_was_changed_is_not_overwritten(web, tmp_path):
    url, copy = f"{web.url}/a.zarr", tmp_path / "copy"
    append(mirror_atlas(url, copy))
    with pytest.raises(AtlasError, match="was changed since it was copied"):
        Atlas.open(url, mirror=copy)
    assert len(Atlas.open(copy)) == 45


def test_a_folder_of_something_else_is_refused(web, tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own/thesis.tex").touch()
    with pytest.raises(AtlasError, match="exists and is not a copy of an atlas, not of http"):
        mirror_atlas(f"{web.url}/a.zarr", tmp_path / "own")


def test_without_the_server_a_finished_copy_is_used_with_a_warning(web, tmp_path):
    url, copy = f"{web.url}/a.zarr", tmp_path / "copy"
    mirror_atlas(url, copy)
    web.errors = 99
    with pytest.warns(UserWarning, match="500.*is used as it is"):
        assert len(Atlas.open(url, mirror=copy)) == 40
    with pytest.raises(AtlasError, match="500"):
        mirror_atlas(url, tmp_path / "new")


def test_a_file_of_the_copy_that_was_lost_or_cut_is_fetched_again(web, tmp_path):
    url, copy = f"{web.url}/a.zarr", tmp_path / "copy"
    mirror_atlas(url, copy)
    (copy / "segment-0000/state/c/1").unlink()
    (copy / "segment-0000/digest/c/2/0").write_bytes(b"")
    web.log.clear()
    mirror_atlas(url, copy)
    assert tree_bytes(copy) == tree_bytes(web.atlas)
    assert sorted({line.split(" ")[0].removeprefix("/a.zarr/") for line in web.log}) == [
        "manifest.json", "segment-0000/digest/c/2/0", "segment-0000/state/c/1",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["../../evil", "/etc/evil", "a//b"])
def test_names_that_lead_out_of_the_folder_are_refused(web, tmp_path, name):
    path = web.atlas / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["segments"][0]["files"][name] = {"bytes": 1, "sha256": "0" * 64}
    path.write_text(json.dumps(seal_manifest(manifest)))
    with pytest.raises(AtlasError, match=r"a text of another form .* in `.*files`"):
        mirror_atlas(f"{web.url}/a.zarr", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_disk_without_room_is_named_before_anything_is_fetched(web, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 9, 10))
    with pytest.raises(AtlasError, match="has room for 10 bytes and the copy of"):
        mirror_atlas(f"{web.url}/a.zarr", tmp_path / "copy")
    assert web.log == ["/a.zarr/manifest.json"]


def test_a_file_that_was_cut_short_is_fetched_again(web, tmp_path):
    url, copy, name = f"{web.url}/a.zarr", tmp_path / "copy", "segment-0000/embedding/c/2/0"
    mirror_atlas(url, copy)
    whole = (copy / name).read_bytes()
    (copy / name).write_bytes(whole[:-1])
    web.log.clear()
    mirror_atlas(url, copy)
    assert (copy / name).read_bytes() == whole
    assert {line.split(" ")[0] for line in web.log} == {"/a.zarr/manifest.json", f"/a.zarr/{name}"}


def test_a_copy_that_lost_a_file_is_not_used_without_the_server(web, tmp_path):
    url, copy = f"{web.url}/a.zarr", tmp_path / "copy"
    mirror_atlas(url, copy)
    (copy / "segment-0000/embedding/c/2/0").unlink()
    web.errors = 99
    with pytest.raises(AtlasError, match="cannot be read"):
        mirror_atlas(url, copy)


def test_damaged_partial_bytes_are_fetched_again(web, tmp_path):
    name = "segment-0000/embedding/c/0/0"
    whole = (web.atlas / name).read_bytes()
    partial = tmp_path / "copy" / "segment-0000/embedding/c/0/.0.part"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(bytes(70))
    mark = json.dumps({"url": f"{web.url}/a.zarr", "manifest_sha256": ""})
    (tmp_path / "copy/.mirror.json").write_text(mark)
    mirror_atlas(f"{web.url}/a.zarr", tmp_path / "copy")
    assert (tmp_path / "copy" / name).read_bytes() == whole


def test_files_of_the_system_are_no_part_of_a_copy(web, tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / ".DS_Store").touch()
    mirror_atlas(f"{web.url}/a.zarr", copy)
    (copy / "segment-0000" / ".nfs0000000001").touch()
    mirror_atlas(f"{web.url}/a.zarr", copy)
    assert tree_bytes(copy) == tree_bytes(web.atlas)
