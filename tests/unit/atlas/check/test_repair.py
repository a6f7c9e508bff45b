"""The remedies that `verify` names are true: an atlas mended is the one that was written."""

import shutil

import numpy as np
import pytest

from peakatlas.atlas import Atlas, build_atlas
from peakatlas.atlas.check.repair import repair_atlas
from peakatlas.atlas.check.verify import verify_atlas
from peakatlas.engine.dna.genome import open_genome
from peakatlas.engine.errors import AtlasError, GenomeError, SpecMismatchError
from tests.atlas_tools import (
    ToyEmbedder,
    append_toy_rows,
    flip,
    random_intervals,
    toy_spec,
    tree_bytes,
    write_toy_genome,
)


@pytest.fixture(scope="module")
def kept(tmp_path_factory, genome):
    """Atlas of two segments."""
    out = tmp_path_factory.mktemp("kept") / "a.zarr"
    build_atlas(genome, random_intervals(40), out, ToyEmbedder(), shard_rows=8)
    more = random_intervals(10, seed=7)
    append_toy_rows(out, more, genome)
    return out


@pytest.fixture
def built(kept, tmp_path):
    return shutil.copytree(kept, tmp_path / "a.zarr")


def whole_tree(root):
    return tree_bytes(root) | {"manifest.json": (root / "manifest.json").read_bytes()}


DOCUMENTS = [
    "zarr.json", "segment-0000/zarr.json", "segment-0000/embedding/zarr.json",
    "segment-0001/intervals/contig/zarr.json", "segment-0000/log/shard-00002.json",
    "segment-0001/log/shard-00000.json",
]  # fmt: skip
SHARDS = [
    "segment-0000/embedding/c/1/0", "segment-0000/state/c/4", "segment-0000/digest/c/0/0",
    "segment-0001/n_fraction/c/0", "segment-0001/embedding/c/0/0",
]  # fmt: skip


@pytest.mark.parametrize("damage", ["flip", "remove"])
@pytest.mark.parametrize("name", DOCUMENTS + SHARDS)
def test_a_mended_atlas_is_the_same_to_the_byte(built, genome, name, damage):
    before = whole_tree(built)
    if damage == "flip":
        flip(built / name)
    else:
        (built / name).unlink()
    assert whole_tree(built) != before
    repair_atlas(built, source=genome, embedder=ToyEmbedder)
    assert whole_tree(built) == before
    assert verify_atlas(built, deep=True).ok


@pytest.mark.parametrize("name", ["embedding/c/1/0", "state/c/4"])
def test_so_is_one_whose_damaged_shard_was_deleted_before_the_same_build(built, genome, name):
    before = whole_tree(built)
    (built / "segment-0000" / name).unlink()
    embedder = ToyEmbedder()
    build_atlas(genome, random_intervals(40), built, embedder)
    assert embedder.n_embedded == 8
    assert whole_tree(built) == before


def test_everything_at_once(built, genome):
    before = whole_tree(built)
    for name in DOCUMENTS + SHARDS:
        flip(built / name)
    mended = repair_atlas(built, source=genome, embedder=ToyEmbedder)
    assert whole_tree(built) == before
    assert set(DOCUMENTS) < set(mended)
    assert "segment-0000: shard 4" in mended


def test_a_lost_manifest_is_written_from_plans_and_logs(built):
    before, rows = tree_bytes(built), Atlas.open(built).gather(np.arange(50))
    for damage in (flip, lambda path: path.unlink()):
        damage(built / "manifest.json")
        assert repair_atlas(built) == ["manifest.json"]
        assert verify_atlas(built, deep=True).ok
        assert tree_bytes(built) == before
        np.testing.assert_array_equal(Atlas.open(built).gather(np.arange(50)), rows)


def test_a_lost_manifest_and_a_lost_shard_leave_a_question(built):
    (built / "manifest.json").unlink()
    (built / "segment-0001" / "embedding" / "c" / "0" / "0").unlink()
    with pytest.raises(AtlasError, match=r"segment-0001 lacks shards \[0\]: whether it was listed"):
        repair_atlas(built)
    assert not (built / "manifest.json").exists()


@pytest.mark.parametrize("name", ["plan.json", "intervals/start/c/0"])
def test_what_no_other_file_knows_is_left_and_named(built, genome, name):
    flip(built / "segment-0000" / name)
    flip(built / "segment-0000" / "embedding" / "c" / "1" / "0")
    flip(built / "segment-0001" / "embedding" / "c" / "0" / "0")
    repair_atlas(built, source=genome, embedder=ToyEmbedder)
    report = verify_atlas(built, deep=True)
    assert {fault.file for fault in report.faults} == {
        "segment-0000/embedding/c/1/0", f"segment-0000/{name}",
    }  # fmt: skip
    lost = next(fault for fault in report.faults if fault.file.endswith(name))
    assert "restore it from a copy" in lost.remedy("a.zarr")


def test_damage_to_the_layout_is_not_sealed_by_building_again(built, genome):
    """A build that goes on must not put a new digest on what was changed since."""
    flip(built / "segment-0000" / "embedding" / "zarr.json")
    (built / "segment-0000" / "state" / "c" / "4").unlink()
    with pytest.raises(AtlasError, match=r"segment-0000/embedding/zarr\.json is not what the mani"):
        build_atlas(genome, random_intervals(40), built, ToyEmbedder())
    assert [f.file for f in verify_atlas(built).faults] == ["segment-0000/embedding/zarr.json"]


def test_without_a_genome_shards_stay(built):
    flip(built / "segment-0000" / "embedding" / "c" / "1" / "0")
    flip(built / "zarr.json")
    assert repair_atlas(built) == ["zarr.json"]
    (fault,) = verify_atlas(built, deep=True).faults
    assert "--repair --genome GENOME.fa" in fault.remedy("a.zarr")


def test_repair_wants_the_genome_and_model_of_the_atlas(built, tmp_path, genome):
    flip(built / "segment-0000" / "embedding" / "c" / "1" / "0")
    before = whole_tree(built)
    other = write_toy_genome(tmp_path / "other.fa", {"chr1": 50_000, "chr2": 50_000}, seed=9)
    with pytest.raises(GenomeError, match="another build"):
        repair_atlas(built, source=open_genome(other), embedder=ToyEmbedder)
    with pytest.raises(SpecMismatchError, match="centre:90"):
        repair_atlas(
            built, source=genome, embedder=lambda: ToyEmbedder(spec=toy_spec(window="centre:90"))
        )
    assert whole_tree(built) == before


def test_a_sound_atlas_is_left_alone(built, genome):
    before = whole_tree(built)
    stamp = (built / "manifest.json").stat().st_mtime_ns
    assert repair_atlas(built, source=genome, embedder=ToyEmbedder) == []
    assert whole_tree(built) == before
    assert (built / "manifest.json").stat().st_mtime_ns == stamp


def test_an_atlas_that_was_never_laid_out_is_refused(tmp_path):
    (tmp_path / "a.zarr").mkdir()
    with pytest.raises(AtlasError, match="neither manifest nor segments"):
        repair_atlas(tmp_path / "a.zarr")
