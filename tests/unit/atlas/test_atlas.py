import json
import os

import numpy as np
import pytest

from peakatlas.atlas import Atlas
from peakatlas.atlas.format.schema import seal_manifest
from peakatlas.engine.errors import AtlasError
from tests.atlas_tools import random_intervals, toy_spec, write_toy_atlas


@pytest.fixture
def path(tmp_path):
    write_toy_atlas(tmp_path / "a.zarr", random_intervals(50), shard_rows=8)
    return tmp_path / "a.zarr"


def edit_manifest(path, *, seal, **changes):
    manifest = json.loads((path / "manifest.json").read_text()) | changes
    (path / "manifest.json").write_text(json.dumps(seal_manifest(manifest) if seal else manifest))


def test_gather_equals_indexing(path):
    atlas = Atlas.open(path)
    everything = atlas.gather(np.arange(50))
    rows = np.random.default_rng(1).integers(0, 50, 200)
    np.testing.assert_array_equal(atlas.gather(rows), everything[rows])
    assert atlas.gather([]).shape == (0, 8)
    assert atlas.gather(rows).dtype == np.float32


def test_gather_refuses_rows_outside(path):
    with pytest.raises(AtlasError, match=r"2 row\(s\) are outside 0 … 49 of .*: \[-1, 50\]"):
        Atlas.open(path).gather([3, -1, 50])


def test_info_says_what_it_is(path):
    info = Atlas.open(path).info()
    assert info["n_intervals"] == 50
    assert info["n_shards"] == 7
    assert info["licence"] == "MIT"
    assert info["spec_digest"] == toy_spec().digest
    json.dumps(info)


def test_not_an_atlas(tmp_path):
    with pytest.raises(AtlasError, match="does not exist"):
        Atlas.open(tmp_path / "nothing")
    with pytest.raises(AtlasError, match="is not an atlas"):
        Atlas.open(tmp_path)


def test_a_newer_major_version_is_refused(path):
    edit_manifest(path, seal=True, format_version="3.0")
    with pytest.raises(AtlasError, match=r"format version 3\.0, this software reads up to 2\.1"):
        Atlas.open(path)


def test_a_newer_minor_version_is_read(path):
    edit_manifest(path, seal=True, format_version="1.7", novelty=[1])
    assert len(Atlas.open(path)) == 50


def test_an_edited_manifest_is_refused(path):
    edit_manifest(path, seal=False, n_rows=49)
    with pytest.raises(AtlasError, match="does not fit its own digest"):
        Atlas.open(path)


def test_a_plan_with_an_edited_spec_is_refused(path):
    plan = path / "segment-0000" / "plan.json"
    text = plan.read_text().replace('"mean"', '"cls" ')
    plan.write_text(text)
    with pytest.raises(AtlasError, match="is not the plan that the manifest lists"):
        Atlas.open(path)


@pytest.mark.parametrize("damage", ["absent", "empty", "short"])
def test_files_of_another_size_are_found_on_opening(path, damage):
    shard = path / "segment-0000" / "embedding" / "c" / "3" / "0"
    if damage == "absent":
        shard.unlink()
    else:
        os.truncate(shard, 0 if damage == "empty" else shard.stat().st_size - 1)
    with pytest.raises(AtlasError, match=r"1 file\(s\) are absent .*embedding/c/3/0"):
        Atlas.open(path)


def test_a_flipped_bit_is_found_on_reading(path):
    shard = path / "segment-0000" / "embedding" / "c" / "3" / "0"
    data = bytearray(shard.read_bytes())
    data[5] ^= 1
    shard.write_bytes(data)
    atlas = Atlas.open(path)
    atlas.gather([0, 49])
    with pytest.raises(
        AtlasError, match=r"embedding/c/3/0 rows 24-32 do not fit their checksum.*damaged"
    ):
        atlas.gather([25])


def test_a_shard_lost_after_opening_is_not_read_as_fill(path):
    atlas = Atlas.open(path)
    (path / "segment-0000" / "embedding" / "c" / "3" / "0").unlink()
    with pytest.raises(AtlasError, match=r"embedding/c/3/0 cannot be read \(no such file"):
        atlas.gather([25])
