import numpy as np
import pytest

from peakatlas.atlas import Atlas, build_atlas
from peakatlas.atlas.build import local as build_module
from peakatlas.atlas.build.local import build_partition, default_shard_rows
from peakatlas.atlas.storage.locks import locked
from peakatlas.engine.dna.genome import open_genome
from peakatlas.engine.errors import (
    AtlasError,
    ContigError,
    GenomeError,
    IncompleteAtlasError,
    SpecMismatchError,
)
from peakatlas.engine.intervals.table import Intervals
from peakatlas.engine.run.distributed import Partition
from tests.atlas_tools import (
    ToyEmbedder,
    random_intervals,
    toy_spec,
    tree_bytes,
    write_toy_genome,
)


@pytest.fixture
def peaks():
    return random_intervals(20)


def test_rows_are_the_embeddings_of_the_peaks(tmp_path, genome, peaks):
    shuffled = peaks.take(np.random.default_rng(0).permutation(20))
    atlas = build_atlas(genome, shuffled, tmp_path / "a.zarr", ToyEmbedder(), shard_rows=8)
    expected = ToyEmbedder().embed(peaks, genome)
    assert atlas.intervals == peaks
    np.testing.assert_array_equal(
        atlas.gather(np.arange(20)), expected.values.astype(np.float16).astype(np.float32)
    )
    np.testing.assert_array_equal(atlas.digests, expected.digests)


def test_rows_follow_the_genome_not_the_bed(tmp_path, genome):
    bed = tmp_path / "peaks.bed"
    bed.write_text("chr2\t500\t700\nchr1\t900\t1100\nchr2\t500\t700\nchr1\t300\t500\n")
    reported = []
    atlas = build_atlas(genome, bed, tmp_path / "a.zarr", ToyEmbedder(), progress=reported.append)
    assert atlas.intervals.names() == ["chr1:300-500", "chr1:900-1100", "chr2:500-700"]
    assert atlas.provenance["peaks"]["n_collapsed"] == 1
    assert atlas.provenance["peaks"]["name"] == "peaks.bed"
    assert sum(reported) == 4
    assert atlas.provenance["genome"]["contigs"]["chr1"]["bp"] == 50_000
    assert atlas.provenance["genome"]["contigs"]["chr1"]["digest"].startswith("SQ.")


def test_a_window_of_n_is_masked(tmp_path, genome):
    peaks = Intervals.from_columns(["chr1", "chr1"], [20, 5000], [80, 5060])
    atlas = build_atlas(genome, peaks, tmp_path / "a.zarr", ToyEmbedder())
    assert np.isnan(atlas.gather([0])).all()
    assert atlas.info()["states"] == {"absent": 0, "embedded": 1, "masked": 1}


def test_an_atlas_without_one_embedding_warns(tmp_path, genome):
    peaks = Intervals.from_columns(["chr1", "chr1"], [20, 25], [80, 85])
    with pytest.warns(UserWarning, match=r"a\.zarr has no embedding: none of its 2 windows"):
        build_atlas(genome, peaks, tmp_path / "a.zarr", ToyEmbedder())


def test_the_same_command_again_embeds_only_what_is_missing(tmp_path, genome, peaks):
    class Dies(ToyEmbedder):
        def embed(self, peaks, source, progress=None):
            if self.n_embedded >= 8:
                raise KeyboardInterrupt
            return super().embed(peaks, source, progress)

    with pytest.raises(KeyboardInterrupt):
        build_atlas(genome, peaks, tmp_path / "a.zarr", Dies(), shard_rows=4)
    again, reported = ToyEmbedder(), []
    build_atlas(genome, peaks, tmp_path / "a.zarr", again, shard_rows=16, progress=reported.append)
    build_atlas(genome, peaks, tmp_path / "b.zarr", ToyEmbedder(), shard_rows=4)
    assert again.n_embedded == 12
    assert sum(reported) == 20
    assert tree_bytes(tmp_path / "a.zarr") == tree_bytes(tmp_path / "b.zarr")
    finished = ToyEmbedder()
    build_atlas(genome, peaks, tmp_path / "a.zarr", finished)
    assert finished.n_embedded == 0


def test_going_on_with_something_else_is_refused(tmp_path, genome, peaks):
    out = tmp_path / "a.zarr"
    build_atlas(genome, peaks, out, ToyEmbedder())
    with pytest.raises(SpecMismatchError, match="window: centre:60 != centre:90"):
        build_atlas(genome, peaks, out, ToyEmbedder(spec=toy_spec(window="centre:90")))
    with pytest.raises(AtlasError, match="begun with other intervals"):
        build_atlas(genome, peaks.take(np.arange(5)), out, ToyEmbedder())
    other = write_toy_genome(tmp_path / "other.fa", {"chr1": 50_000, "chr2": 50_000}, seed=9)
    with pytest.raises(GenomeError, match=r"toy\.fa, and other\.fa is another build"):
        build_atlas(other, peaks, out, ToyEmbedder())


def test_naming_style_of_contigs(tmp_path, genome):
    peaks = Intervals.from_columns(["1"], [500], [700])
    with pytest.raises(ContigError, match="--match-contigs"):
        build_atlas(genome, peaks, tmp_path / "a.zarr", ToyEmbedder())
    assert not (tmp_path / "a.zarr").exists()
    atlas = build_atlas(genome, peaks, tmp_path / "a.zarr", ToyEmbedder(), match_contigs=True)
    assert atlas.intervals.names() == ["chr1:500-700"]


def test_a_fasta_of_peaks_serves_as_a_genome(tmp_path, genome, peaks):
    fasta = tmp_path / "peaks.fa"
    sequences = genome.fetch(peaks)
    fasta.write_text("".join(f">{n}\n{sequences[i]}\n" for i, n in enumerate(peaks.names())))
    whole = build_atlas(genome, peaks, tmp_path / "a.zarr", ToyEmbedder())
    parts = build_atlas(fasta, peaks, tmp_path / "b.zarr", ToyEmbedder())
    rows = np.arange(20)
    np.testing.assert_array_equal(whole.gather(rows), parts.gather(rows))
    assert parts.provenance["genome"]["kind"] == "peaks"
    lines = fasta.read_text().splitlines()
    lines[1] = lines[1][::-1]
    fasta.with_name("edited.fa").write_text("\n".join(lines) + "\n")
    with pytest.raises(GenomeError, match=r"begun with the records of peaks\.fa"):
        build_atlas(
            open_genome(fasta.with_name("edited.fa")), peaks, tmp_path / "b.zarr", ToyEmbedder()
        )


def test_a_process_that_never_delivers_is_named(tmp_path, genome, peaks, monkeypatch):
    monkeypatch.setattr(build_module, "PATIENCE_S", 0.3)
    out = tmp_path / "a.zarr"
    log = out / "segment-0000" / "log"
    build_partition(genome, peaks, out, ToyEmbedder(), Partition(number=1, count=5), shard_rows=4)
    with (
        locked(log, "claim-00001"),
        pytest.raises(IncompleteAtlasError, match="another process holds shard 1"),
    ):
        build_atlas(genome, peaks, out, ToyEmbedder())
    with pytest.raises(IncompleteAtlasError, match=r"1 of 5 shards are missing \(shard 1\)"):
        Atlas.open(out)


def test_a_rank_takes_up_what_another_left(tmp_path, genome, peaks, monkeypatch):
    two = build_module.RankState(rank=0, world_size=2, device="cpu")
    monkeypatch.setattr(build_module, "rank_state", lambda: two)
    alone = build_atlas(genome, peaks, tmp_path / "a.zarr", ToyEmbedder(), shard_rows=4)
    assert len(alone) == 20


def test_partitions_in_any_order_make_the_same_atlas(tmp_path, genome, peaks):
    build_atlas(genome, peaks, tmp_path / "whole.zarr", ToyEmbedder(), shard_rows=4)
    out, left, embedded = tmp_path / "parts.zarr", [], []
    for number in (2, 3, 1):
        embedder = ToyEmbedder()
        share = Partition(number=number, count=3)
        left.append(build_partition(genome, peaks, out, embedder, share, shard_rows=4))
        embedded.append(embedder.n_embedded)
    assert left == [3, 2, 0]
    assert embedded == [8, 4, 8]
    assert tree_bytes(out) == tree_bytes(tmp_path / "whole.zarr")
    assert len(Atlas.open(out)) == 20


def test_shards_are_shared_by_bp(tmp_path, genome):
    start = np.arange(12) * 3000 + 1000
    width = np.array([60] * 8 + [2400] * 4)
    peaks = Intervals.from_columns(["chr1"] * 12, start, start + width)
    spec, embedded = toy_spec(window="peak:5000:0"), []
    for number in (1, 2):
        embedder = ToyEmbedder(spec=spec)
        share = Partition(number=number, count=2)
        build_partition(genome, peaks, tmp_path / "a.zarr", embedder, share, shard_rows=2)
        embedded.append(embedder.n_embedded)
    assert embedded == [6, 6]  # each has one of the two costly shards


def test_shards_of_a_small_atlas_are_small():
    assert [default_shard_rows(n) for n in (1, 3000, 40_000, 150_000, 262_144, 3_000_000)] == [
        1024, 1024, 2048, 8192, 16384, 16384,
    ]  # fmt: skip
