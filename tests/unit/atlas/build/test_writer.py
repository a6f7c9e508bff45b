import json
import os
import re

import numpy as np
import pytest
import zarr

from peakatlas.atlas import Atlas, AtlasWriter
from peakatlas.atlas.format.digests import file_digest
from peakatlas.atlas.format.schema import MASKED
from peakatlas.atlas.format.shard_rows import ShardRows
from peakatlas.atlas.storage.locks import locked
from peakatlas.engine.errors import (
    AtlasError,
    GenomeError,
    IncompleteAtlasError,
    ShardOwnershipError,
    SpecMismatchError,
)
from peakatlas.engine.intervals.table import Intervals
from tests.atlas_tools import (
    begin_toy_atlas,
    random_intervals,
    toy_rows,
    toy_spec,
    tree_bytes,
    write_toy_atlas,
)


@pytest.fixture
def intervals():
    return random_intervals(10)


def write_some(writer, shards):
    rows = toy_rows(writer.plan.n_rows)
    for shard in shards:
        writer.write_shard(shard, *(column[writer.shard_rows_of(shard)] for column in rows))


def test_what_was_written_is_read(tmp_path, intervals):
    values = write_toy_atlas(tmp_path / "a.zarr", intervals)
    with Atlas.open(tmp_path / "a.zarr") as atlas:
        assert atlas.intervals == intervals
        np.testing.assert_array_equal(atlas.gather(np.arange(10)), values)


def test_the_last_shard_is_short(tmp_path, intervals):
    writer = begin_toy_atlas(tmp_path / "a.zarr", intervals)
    assert writer.n_shards == 3
    assert writer.shard_rows_of(2) == slice(8, 10)


def test_a_small_atlas_gets_a_small_shard(tmp_path, intervals):
    writer = begin_toy_atlas(tmp_path / "a.zarr", intervals, shard_rows=16384)
    assert (writer.n_shards, writer.plan.shard_rows, writer.plan.chunk_rows) == (1, 1024, 1024)


def test_finalise_names_what_is_missing(tmp_path, intervals):
    writer = begin_toy_atlas(tmp_path / "a.zarr", intervals)
    write_some(writer, [1])
    with pytest.raises(IncompleteAtlasError, match=r"2 of 3 shards are missing \(shard 0, 2\)"):
        writer.finalise()
    with pytest.raises(IncompleteAtlasError, match=r"shard 0, 2.*Run the same `peakatlas atlas"):
        Atlas.open(tmp_path / "a.zarr")


def test_an_atlas_without_manifest_is_unfinished_even_with_all_shards(tmp_path, intervals):
    writer = begin_toy_atlas(tmp_path / "a.zarr", intervals)
    write_some(writer, range(3))
    with pytest.raises(IncompleteAtlasError, match="all shards are written, the manifest is not"):
        Atlas.open(tmp_path / "a.zarr")


def test_order_of_writing_does_not_change_a_byte(tmp_path, intervals):
    write_toy_atlas(tmp_path / "a.zarr", intervals)
    writer = begin_toy_atlas(tmp_path / "b.zarr", intervals)
    write_some(writer, [2, 0])
    writer = begin_toy_atlas(tmp_path / "b.zarr", intervals)
    assert writer.done_shards() == [0, 2]
    write_some(writer, [1])
    writer.finalise()
    assert tree_bytes(tmp_path / "a.zarr") == tree_bytes(tmp_path / "b.zarr")


def test_the_log_holds_the_digest_of_each_file(tmp_path, intervals):
    write_toy_atlas(tmp_path / "a.zarr", intervals)
    segment = tmp_path / "a.zarr" / "segment-0000"
    entry = json.loads((segment / "log" / "shard-00001.json").read_text())
    assert entry["rows"] == [4, 8]
    assert entry["spec_digest"] == toy_spec().digest
    assert {name.split("/")[0] for name in entry["files"]} == {
        "embedding", "digest", "n_fraction", "state",
    }  # fmt: skip
    for name, file in entry["files"].items():
        assert file["sha256"] == file_digest(segment / name)
        assert file["bytes"] == (segment / name).stat().st_size


def test_the_manifest_lists_every_file_but_the_log(tmp_path, intervals):
    write_toy_atlas(tmp_path / "a.zarr", intervals)
    manifest = json.loads((tmp_path / "a.zarr" / "manifest.json").read_text())
    listed = {f"segment-0000/{name}" for name in manifest["segments"][0]["files"]}
    there = {name for name in tree_bytes(tmp_path / "a.zarr") if "/log/" not in name}
    assert listed == there - {"zarr.json"}


def test_nothing_is_left_aside(tmp_path, intervals):
    write_toy_atlas(tmp_path / "a.zarr", intervals)
    assert not list((tmp_path / "a.zarr" / "segment-0000").rglob(".*"))


def test_inner_chunks_carry_crc32c_and_nan_is_the_fill(tmp_path, intervals):
    write_toy_atlas(tmp_path / "a.zarr", intervals)
    array = zarr.open_array(tmp_path / "a.zarr" / "segment-0000" / "embedding", mode="r")
    described = array.metadata.to_dict()
    assert described["fill_value"] == "NaN"
    inner = described["codecs"][0]["configuration"]["codecs"]
    assert [codec["name"] for codec in inner] == ["bytes", "crc32c"]


def test_a_fully_masked_shard_is_written(tmp_path, intervals):
    writer = begin_toy_atlas(tmp_path / "a.zarr", intervals)
    rows = [column[:4] for column in toy_rows(10)]
    rows[0] = np.full_like(rows[0], np.nan)
    rows[3] = np.full(4, MASKED)
    writer.write_shard(0, *rows)
    write_some(writer, [1, 2])
    writer.finalise()
    with Atlas.open(tmp_path / "a.zarr") as atlas:
        assert np.isnan(atlas.gather([0, 1, 2, 3])).all()
        assert atlas.info()["states"] == {"absent": 0, "embedded": 6, "masked": 4}


def test_a_shard_has_one_owner(tmp_path, intervals):
    begin_toy_atlas(tmp_path / "a.zarr", intervals)
    second = AtlasWriter.open(tmp_path / "a.zarr", rank=1, world_size=2)
    assert list(second.owned_shards()) == [1]
    with pytest.raises(ShardOwnershipError, match="shard 2 belongs to rank 0 of 2, not to rank 1"):
        write_some(second, [2])


def test_a_shard_is_written_once(tmp_path, intervals):
    writer = begin_toy_atlas(tmp_path / "a.zarr", intervals)
    write_some(writer, [1])
    with pytest.raises(ShardOwnershipError, match=r"shard 1 .* is written already"):
        write_some(writer, [1])


def test_a_shard_in_another_process_hands_is_refused(tmp_path, intervals):
    writer = begin_toy_atlas(tmp_path / "a.zarr", intervals)
    log = tmp_path / "a.zarr" / "segment-0000" / "log"
    with (
        locked(log, "shard-00001"),
        pytest.raises(ShardOwnershipError, match="held by another process"),
    ):
        write_some(writer, [1])
    write_some(writer, [1])


@pytest.mark.parametrize(
    ("column", "value", "text"),
    [
        (0, np.zeros((3, 8)), r"embedding has shape \(3, 8\), it must be \(4, 8\)"),
        (0, np.full((4, 8), 1e6), r"4 row\(s\) do not fit their state \(rows 4, 5, 6, 7\)"),
        (0, np.full((4, 8), np.nan), "do not fit their state"),
        (3, np.zeros(4, np.uint8), "do not fit their state"),
    ],
)
def test_wrong_rows_are_refused(tmp_path, intervals, column, value, text):
    writer = begin_toy_atlas(tmp_path / "a.zarr", intervals)
    rows = [part[4:8] for part in toy_rows(10)]
    rows[column] = value
    with pytest.raises(AtlasError, match=text):
        writer.write_shard(1, *rows)


def test_unsorted_and_repeated_rows_are_refused(tmp_path):
    unsorted = Intervals.from_columns(["chr1", "chr1"], [50, 5], [60, 10])
    with pytest.raises(AtlasError, match=r"not in genome order \(first at row 0: chr1:50-60\)"):
        begin_toy_atlas(tmp_path / "a.zarr", unsorted)
    repeated = Intervals.from_columns(["chr1", "chr1"], [5, 5], [10, 10])
    with pytest.raises(AtlasError, match=r"1 interval\(s\) are repeated: chr1:5-10"):
        begin_toy_atlas(tmp_path / "a.zarr", repeated)
    none = Intervals.from_columns([], [], [])
    with pytest.raises(AtlasError, match="at least one interval"):
        begin_toy_atlas(tmp_path / "a.zarr", none)
    assert not (tmp_path / "a.zarr").exists()


def test_going_on_with_something_else_is_refused(tmp_path, intervals):
    path = tmp_path / "a.zarr"
    genome = {"name": "hg19.fa", "contigs": {"chr1": {"bp": 9, "digest": "SQ.a"}}}
    AtlasWriter.create(path, intervals, toy_spec(), genome=genome, model={})
    with pytest.raises(SpecMismatchError, match=r"another model or setting \(model: toy != other"):
        AtlasWriter.create(path, intervals, toy_spec(model="other"), genome=genome, model={})
    with pytest.raises(AtlasError, match=r"begun with other intervals \(10 rows; this run has 9"):
        AtlasWriter.create(path, intervals.take(np.arange(9)), toy_spec(), genome={}, model={})
    other = {"name": "hg38.fa", "contigs": {"chr1": {"bp": 9, "digest": "SQ.b"}}}
    with pytest.raises(GenomeError, match=r"hg19\.fa, and hg38\.fa is another build.*SQ\.b"):
        AtlasWriter.create(path, intervals, toy_spec(), genome=other, model={})


def test_a_folder_of_something_else_is_left_alone(tmp_path, intervals):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(AtlasError, match=r"is not an atlas \(it holds thesis.tex\)"):
        begin_toy_atlas(tmp_path, intervals)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(AtlasError, match="is a file, not an atlas"):
        begin_toy_atlas(tmp_path / "thesis.tex", intervals)


def test_an_interrupted_layout_is_begun_again(tmp_path, intervals):
    path = tmp_path / "a.zarr"
    (path / ".segment-0000.aside" / "embedding").mkdir(parents=True)
    (path / ".segment-0000.aside" / "embedding" / "zarr.json").write_text("half")
    write_toy_atlas(path, intervals)
    write_toy_atlas(tmp_path / "b.zarr", intervals)
    assert tree_bytes(path) == tree_bytes(tmp_path / "b.zarr")
    assert not (path / ".segment-0000.aside").exists()


def test_a_truncated_shard_counts_as_missing_and_is_written_again(tmp_path, intervals):
    path = tmp_path / "a.zarr"
    write_toy_atlas(path, intervals)
    whole = tree_bytes(path)
    os.truncate(path / "segment-0000" / "embedding" / "c" / "1" / "0", 10)
    writer = begin_toy_atlas(path, intervals)
    assert writer.done_shards() == [0, 2]
    write_some(writer, [1])
    writer.finalise()
    assert tree_bytes(path) == whole
    assert len(Atlas.open(path)) == 10


def test_a_disk_that_refuses_keeps_what_there_is(tmp_path, intervals, monkeypatch):
    writer = begin_toy_atlas(tmp_path / "a.zarr", intervals)
    write_some(writer, [0])

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    text = re.compile(r"cannot write .*No space left on device.*run the same command again")
    with pytest.raises(AtlasError, match=text):
        write_some(writer, [1])
    monkeypatch.undo()
    assert writer.done_shards() == [0]
    write_some(writer, [1, 2])
    writer.finalise()


def rows_of(writer, rows):
    def rows_of(shard):
        part = [column[writer.shard_rows_of(shard)] for column in rows]
        return ShardRows(values=part[0], digests=part[1], n_fraction=part[2], state=part[3])

    return rows_of


def test_many_shards_at_once_are_those_written_one_by_one(tmp_path):
    intervals = random_intervals(50)
    write_toy_atlas(tmp_path / "one.zarr", intervals)
    writer = begin_toy_atlas(tmp_path / "many.zarr", intervals)
    writer.write_shards(reversed(range(13)), rows_of(writer, toy_rows(50)))
    writer.finalise()
    assert tree_bytes(tmp_path / "many.zarr") == tree_bytes(tmp_path / "one.zarr")


def test_of_many_shards_the_first_that_fails_is_named(tmp_path):
    writer, rows = begin_toy_atlas(tmp_path / "a.zarr", random_intervals(50)), toy_rows(50)
    rows[0][17] = np.inf
    with pytest.raises(AtlasError, match=r"do not fit their state \(rows 17\)"):
        writer.write_shards(range(13), rows_of(writer, rows))
    assert set(writer.done_shards()) <= {0, 1, 2, 3}
    with pytest.raises(AtlasError, match="has the shards 0-12; 13 was asked for"):
        writer.write_shards([13], rows_of(writer, rows))
    with pytest.raises(AtlasError, match="has the shards 0-12; none was asked for"):
        writer.check_shards([])
