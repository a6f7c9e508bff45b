import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from peakatlas.atlas import Atlas, build_atlas
from peakatlas.atlas.check.verify import verify_atlas
from peakatlas.atlas.derive.contig_order import joint_contigs
from peakatlas.atlas.derive.merge import _refuse_other_names, merge_atlases
from peakatlas.atlas.derive.quantise import quantise_atlas
from peakatlas.atlas.derive.subset import subset_atlas
from peakatlas.atlas.format.seqcol import with_seqcol
from peakatlas.engine.dna.genome import open_genome
from peakatlas.engine.errors import AtlasError, GenomeError, ShardOwnershipError, SpecMismatchError
from peakatlas.engine.intervals.table import Intervals
from tests.atlas_tools import (
    ToyEmbedder,
    append_toy_rows,
    random_intervals,
    toy_spec,
    tree_bytes,
    write_toy_genome,
)


@pytest.fixture(scope="module")
def kept(tmp_path_factory, genome):
    """Two atlases that share ten intervals, one with two segments; `whole` has all rows."""
    folder = tmp_path_factory.mktemp("kept")
    every = random_intervals(60)
    masked = Intervals.from_columns(["chr1"], [20], [80])
    first = every.take(np.arange(0, 35))
    second = Intervals.concatenate([masked, every.take(np.arange(25, 45))])
    third = every.take(np.arange(45, 60))
    build_atlas(genome, first, folder / "a.zarr", ToyEmbedder(), shard_rows=8)
    build_atlas(genome, second, folder / "b.zarr", ToyEmbedder(), shard_rows=16)
    append_toy_rows(folder / "b.zarr", third, genome)
    rows = Intervals.concatenate([masked, every])
    build_atlas(genome, rows, folder / "whole.zarr", ToyEmbedder())
    return folder


@pytest.fixture
def world(kept, tmp_path):
    return shutil.copytree(kept, tmp_path / "world")


def data_bytes(root):
    """Every shard and interval chunk, by path: what does not depend on how rows came there."""
    return {name: data for name, data in tree_bytes(root).items() if "/c/" in name}


def test_a_merged_atlas_is_the_one_built_at_once(world, genome):
    merged = merge_atlases([world / "a.zarr", world / "b.zarr"], world / "m.zarr")
    whole = Atlas.open(world / "whole.zarr")
    assert merged.intervals == whole.intervals
    assert data_bytes(world / "m.zarr") == data_bytes(world / "whole.zarr")
    assert merged.info()["states"] == {"absent": 0, "embedded": 60, "masked": 1}
    assert merged.info()["format_version"] == "1.1"
    report = verify_atlas(
        world / "m.zarr", deep=True, source=genome, embedder=ToyEmbedder(), reembed=61
    )
    assert report.ok
    assert report.facts["n_reembedded_equal"] == 61


def test_order_of_the_parents_does_not_change_a_row(world):
    merge_atlases([world / "a.zarr", world / "b.zarr"], world / "ab.zarr")
    merge_atlases([world / "b.zarr", world / "a.zarr"], world / "ba.zarr")
    assert data_bytes(world / "ab.zarr") == data_bytes(world / "ba.zarr")


def test_the_plan_keeps_its_parents_genome_model_and_repeats(world):
    merge_atlases([world / "a.zarr", world / "b.zarr"], world / "m.zarr")
    a, b, m = (Atlas.open(world / f"{name}.zarr") for name in "abm")
    kept = m.provenance
    assert kept["derived"] == {
        "by": "merge",
        "parents": [
            {"name": "a.zarr", "n_rows": 35, "manifest_sha256": a._manifest["sha256"]},
            {"name": "b.zarr", "n_rows": 36, "manifest_sha256": b._manifest["sha256"]},
        ],
    }
    assert kept["peaks"] == {"n_collapsed": 10}
    assert kept["model"] == a.provenance["model"]
    assert kept["genome"] == Atlas.open(world / "whole.zarr").provenance["genome"]
    assert len(kept["genome"]["seqcol"]) == 32


def test_one_sequence_twice_under_one_interval_is_needed(world):
    other = write_toy_genome(world / "other.fa", {"chr1": 50_000, "chr2": 50_000}, seed=9)
    with pytest.raises(GenomeError, match=r"toy\.fa, and other\.fa is another build"):
        build_atlas(open_genome(other), random_intervals(9), world / "o.zarr", ToyEmbedder())
        merge_atlases([world / "a.zarr", world / "o.zarr"], world / "m.zarr")
    assert not (world / "m.zarr").exists()


def test_intervals_of_two_sequences_are_named(world):
    """A FASTA of peaks has no contigs to compare; the digests of the rows give it away."""
    rng = np.random.default_rng(0)
    for name in "xy":
        dna = "".join(rng.choice(list("ACGT"), 200))
        (world / f"{name}.fa").write_text(f">chr1:100-300\n{dna}\n>chr1:900-1100\n{'ACGT' * 50}\n")
        peaks = Intervals.from_columns(["chr1", "chr1"], [100, 900], [300, 1100])
        build_atlas(world / f"{name}.fa", peaks, world / f"{name}.zarr", ToyEmbedder())
    with pytest.raises(
        AtlasError, match=r"^1 interval\(s\) have one sequence in .*x\.zarr and an"
    ) as e:
        merge_atlases([world / "x.zarr", world / "y.zarr"], world / "m.zarr")
    assert "(chr1:100-300)" in str(e.value)
    assert "y.zarr" in str(e.value)


def test_atlases_of_two_specs_are_refused(world, genome):
    other = ToyEmbedder(spec=toy_spec(window="centre:90"))
    build_atlas(genome, random_intervals(9), world / "o.zarr", other)
    with pytest.raises(SpecMismatchError, match="centre:60 != centre:90"):
        merge_atlases([world / "a.zarr", world / "o.zarr"], world / "m.zarr")


def test_atlases_that_name_contigs_in_two_styles_are_refused():
    parents = [
        SimpleNamespace(name=name, intervals=Intervals.from_columns(contigs, [0, 5], [9, 9]))
        for name, contigs in (("a", ["chr1", "chrM"]), ("b", ["chr2", "MT"]))
    ]
    with pytest.raises(AtlasError, match=r"b calls 'MT' what a calls 'chrM': the same intervals"):
        _refuse_other_names(parents)
    _refuse_other_names([parents[0], parents[0]])


def test_int8_atlases_are_refused_and_none_is_too_few(world):
    quantise_atlas(world / "a.zarr", world / "q.zarr")
    with pytest.raises(AtlasError, match=r"q\.zarr holds int8 embeddings"):
        merge_atlases([world / "b.zarr", world / "q.zarr"], world / "m.zarr")
    with pytest.raises(AtlasError, match="no atlas to merge"):
        merge_atlases([], world / "m.zarr")


def test_a_merge_goes_on_where_it_stopped(world, monkeypatch):
    monkeypatch.setattr("peakatlas.atlas.derive.copy_rows.default_shard_rows", lambda n: 8)
    monkeypatch.setattr("peakatlas.atlas.derive.copy_rows.CHUNK_ROWS", 4)
    paths = [world / "a.zarr", world / "b.zarr"]
    merge_atlases(paths, world / "m.zarr")

    seen = []

    def stops(n):
        seen.append(n)
        if len(seen) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        merge_atlases(paths, world / "n.zarr", progress=stops)
    assert not (world / "n.zarr" / "manifest.json").exists()
    reported = []
    merge_atlases(paths, world / "n.zarr", progress=reported.append)
    assert reported[0] > 0
    assert sum(reported) == 61
    assert tree_bytes(world / "n.zarr") == tree_bytes(world / "m.zarr")
    stamp = (world / "n.zarr" / "manifest.json").read_bytes()
    merge_atlases(paths, world / "n.zarr")
    assert (world / "n.zarr" / "manifest.json").read_bytes() == stamp


def test_another_merge_into_the_same_folder_is_refused(world):
    merge_atlases([world / "a.zarr"], world / "m.zarr")
    with pytest.raises(AtlasError, match=r"was begun with other intervals|as something else"):
        merge_atlases([world / "a.zarr", world / "b.zarr"], world / "m.zarr")
    with pytest.raises(AtlasError, match="was begun as something else"):
        subset_atlas(world / "a.zarr", world / "m.zarr", Atlas.open(world / "a.zarr").intervals)


def test_two_processes_do_not_write_one_atlas(world):
    from peakatlas.atlas.storage.locks import locked  # noqa: PLC0415

    with (
        locked(world / "m.zarr", "transfer"),
        pytest.raises(ShardOwnershipError, match="held by another process"),
    ):
        merge_atlases([world / "a.zarr"], world / "m.zarr")


def test_contigs_keep_the_order_of_every_parent():
    assert joint_contigs([["chr2", "chr10"], ["chr1", "chr10", "chrX"]]) == [
        "chr1", "chr2", "chr10", "chrX",
    ]  # fmt: skip
    assert joint_contigs([["chr10", "chr2"], ["chr1"]]) == ["chr1", "chr10", "chr2"]
    assert joint_contigs([["b", "a"], ["a", "b", "c"]]) == ["b", "a", "c"]
    assert joint_contigs([]) == []


def test_seqcol_needs_every_digest():
    half = {"contigs": {"a": {"bp": 1, "digest": "SQ.x"}, "b": {"bp": 1}}, "seqcol": "old"}
    assert "seqcol" not in with_seqcol(half)
    del half["contigs"]["b"]
    # names and sequences are hashed as JSON lists, then the two digests as a JSON object
    assert with_seqcol(half)["seqcol"] not in ("old", None)
