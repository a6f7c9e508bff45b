import numpy as np
import pytest

from peakatlas.atlas import TIERS, Atlas, build_atlas, resolve_peaks
from peakatlas.atlas.build import append
from peakatlas.atlas.build.lookup_or_embed import find_rows
from peakatlas.engine.dna.genome import open_genome
from peakatlas.engine.errors import AtlasError, ContigError, GenomeError, SpecMismatchError
from peakatlas.engine.intervals.table import Intervals
from tests.atlas_tools import (
    ToyEmbedder,
    random_intervals,
    toy_spec,
    tree_bytes,
    write_toy_genome,
)


@pytest.fixture
def peaks():
    return random_intervals(30)


@pytest.fixture
def atlas(tmp_path, genome, peaks):
    return build_atlas(genome, peaks.take(np.arange(0, 30, 2)), tmp_path / "a.zarr", ToyEmbedder())


def rounded(values):
    return values.astype(np.float16).astype(np.float32)


def tiers(resolved):
    return [TIERS[code] for code in resolved.lookup.tier]


def test_without_a_genome_misses_stay_missing(atlas, peaks):
    resolved = resolve_peaks(atlas, peaks)
    assert tiers(resolved) == ["exact", "missing"] * 15
    np.testing.assert_array_equal(np.isnan(resolved.values).all(axis=1), [False, True] * 15)


def test_misses_are_embedded_as_a_build_would(atlas, peaks, genome):
    order = np.random.default_rng(0).permutation(30)
    shuffled = Intervals.concatenate([peaks.take(order), peaks.take(order[:3])])
    embedder = ToyEmbedder()
    resolved = resolve_peaks(atlas, shuffled, source=genome, embedder=embedder)
    expected = rounded(ToyEmbedder().embed(shuffled, genome).values)
    np.testing.assert_array_equal(resolved.values, expected)
    assert embedder.n_embedded == 15
    assert resolved.lookup.counts()["missing"] == 0
    assert (resolved.lookup.row[resolved.lookup.tier == TIERS.index("embedded")] == -1).all()


def test_equal_sequence_is_found_without_an_embedder(atlas, peaks, genome):
    wider = Intervals(peaks.contigs, peaks.contig_ids, peaks.start - 5, peaks.end + 5)
    resolved = resolve_peaks(atlas, wider, source=genome)
    assert tiers(resolved) == ["sequence", "missing"] * 15
    np.testing.assert_array_equal(resolved.values[::2], atlas.gather(np.arange(15)))


def test_the_embedder_is_loaded_only_if_needed(atlas, peaks, genome):
    def never():
        raise AssertionError("loaded")

    resolve_peaks(atlas, peaks.take(np.arange(0, 30, 2)), source=genome, embedder=never)
    resolved = resolve_peaks(atlas, peaks, source=genome, embedder=ToyEmbedder)
    assert resolved.lookup.counts()["embedded"] == 15


def test_progress_says_how_many_of_how_many_are_embedded(atlas, peaks, genome):
    said = []
    resolve_peaks(
        atlas, peaks, source=genome, embedder=ToyEmbedder(), progress=lambda *n: said.append(n)
    )
    assert said[-1] == (15, 15) and [done for done, _ in said] == sorted(d for d, _ in said)


def test_overlap_comes_before_embedding(atlas, peaks, genome):
    shifted = Intervals(peaks.contigs, peaks.contig_ids, peaks.start + 4, peaks.end + 4)
    resolved = resolve_peaks(
        atlas, shifted.take([0, 1]), source=genome, embedder=ToyEmbedder(), max_offset=4
    )
    assert tiers(resolved) == ["overlap", "embedded"]


def test_appended_rows_follow_and_are_found_next_time(tmp_path, atlas, peaks, genome):
    before = tree_bytes(tmp_path / "a.zarr")
    resolved = resolve_peaks(atlas, peaks, source=genome, embedder=ToyEmbedder(), append=True)
    assert resolved.lookup.row[1::2].tolist() == list(range(15, 30))
    assert resolved.lookup.row[::2].tolist() == list(range(15))
    np.testing.assert_array_equal(resolved.atlas.gather(resolved.lookup.row), resolved.values)
    with Atlas.open(tmp_path / "a.zarr") as again:
        assert again.lookup(peaks).counts()["exact"] == 30
        assert again.info()["n_segments"] == 2
        assert len(again) == 30
    after = tree_bytes(tmp_path / "a.zarr")
    assert {name: after[name] for name in before} == before
    assert len(atlas) == 15


def test_appending_what_is_there_changes_nothing(tmp_path, atlas, peaks, genome):
    half = peaks.take(np.arange(0, 30, 2))
    embeddings = ToyEmbedder().embed(half, genome)
    assert len(append.append_rows(atlas.path, half, embeddings, genome={})) == 15


@pytest.mark.parametrize("same", [True, False])
def test_an_interrupted_append_is_taken_up_or_dropped(
    tmp_path, atlas, peaks, genome, same, monkeypatch
):
    def dies(*_):
        raise KeyboardInterrupt

    others = peaks.take(np.arange(1, 30, 2) if same else np.arange(1, 30, 4))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("peakatlas.atlas.build.writer.list_segment", dies)
        resolve_peaks(atlas, others, source=genome, embedder=ToyEmbedder(), append=True)
    assert len(Atlas.open(atlas.path)) == 15
    resolved = resolve_peaks(atlas, peaks, source=genome, embedder=ToyEmbedder(), append=True)
    assert len(resolved.atlas) == 30
    np.testing.assert_array_equal(resolved.atlas.gather(resolved.lookup.row), resolved.values)


def test_new_contigs_can_be_appended(tmp_path, peaks):
    genome = open_genome(
        write_toy_genome(tmp_path / "three.fa", {"chr1": 50_000, "chr2": 50_000, "chrX": 5000})
    )
    atlas = build_atlas(genome, peaks, tmp_path / "x.zarr", ToyEmbedder())
    new = Intervals.from_columns(["chrX", "chr1"], [600, 40_011], [800, 40_200])
    resolved = resolve_peaks(atlas, new, source=genome, embedder=ToyEmbedder(), append=True)
    assert resolved.lookup.row.tolist() == [31, 30]
    assert resolved.atlas.lookup(new).row.tolist() == [31, 30]


def test_a_masked_peak_is_embedded_as_nan_and_not_again(tmp_path, atlas, genome):
    n_only = Intervals.from_columns(["chr1"], [20], [80])
    resolved = resolve_peaks(atlas, n_only, source=genome, embedder=ToyEmbedder(), append=True)
    assert np.isnan(resolved.values).all()
    assert tiers(resolve_peaks(resolved.atlas, n_only)) == ["exact"]


def test_another_spec_is_refused_with_the_fields(atlas, peaks, genome):
    with pytest.raises(SpecMismatchError, match=r"\(model: toy != other, .*precision: bf16"):
        resolve_peaks(
            atlas,
            peaks,
            source=genome,
            embedder=ToyEmbedder(spec=toy_spec(model="other", precision="fp32")),
        )


def test_another_build_is_refused_by_length_or_digest(tmp_path, atlas, peaks):
    longer = write_toy_genome(tmp_path / "longer.fa", {"chr1": 50_001, "chr2": 50_000})
    with pytest.raises(GenomeError, match=r"toy\.fa, and longer\.fa is another build.*50001 bp"):
        resolve_peaks(atlas, peaks, source=open_genome(longer), embedder=ToyEmbedder())
    other = write_toy_genome(tmp_path / "other.fa", {"chr1": 50_000, "chr2": 50_000}, seed=5)
    with pytest.raises(GenomeError, match="2 contig"):
        resolve_peaks(atlas, peaks, source=open_genome(other), embedder=ToyEmbedder(), append=True)


def test_peaks_off_the_genome_are_missing_and_the_others_are_served(atlas, peaks, genome):
    elsewhere = Intervals.from_columns(["chrUn", "chrY", "chrUn"], [50, 5, 900], [250, 90, 1100])
    mixed = Intervals.concatenate([elsewhere, peaks.take([0, 1])])
    resolved = resolve_peaks(atlas, mixed, source=genome, embedder=ToyEmbedder(), append=True)
    assert tiers(resolved) == ["missing"] * 3 + ["exact", "embedded"]
    assert resolved.lookup.counts()["missing"] == 3
    assert np.isnan(resolved.values).all(axis=1).tolist() == [True] * 3 + [False] * 2
    assert resolved.lookup.row.tolist() == [-1, -1, -1, 0, 15]
    assert len(resolved.atlas) == 16


def test_peaks_of_the_atlas_need_no_contig_of_the_genome(tmp_path, atlas, peaks):
    part = open_genome(write_toy_genome(tmp_path / "part.fa", {"chr1": 50_000}))
    shifted = Intervals(peaks.contigs, peaks.contig_ids, peaks.start + 4, peaks.end + 4)
    both = Intervals.concatenate([peaks, shifted])
    found = resolve_peaks(atlas, both, source=part, embedder=ToyEmbedder(), max_offset=4)
    on_chr2 = both.chrom == "chr2"
    exact, near = np.arange(0, 30, 2), np.arange(30, 60, 2)
    assert set(found.lookup.tier[exact]) == {TIERS.index("exact")}
    assert set(found.lookup.tier[near]) == {TIERS.index("overlap")}
    rest = np.setdiff1d(np.arange(60), np.concatenate([exact, near]))
    expected = np.where(on_chr2[rest], TIERS.index("missing"), TIERS.index("embedded"))
    np.testing.assert_array_equal(found.lookup.tier[rest], expected)
    assert 0 < on_chr2[rest].sum() < len(rest)


def test_a_genome_of_another_naming_style_is_an_error(tmp_path, atlas, peaks):
    bare = open_genome(write_toy_genome(tmp_path / "bare.fa", {"1": 50_000, "2": 50_000}))
    with pytest.raises(ContigError, match="Only the naming style differs"):
        resolve_peaks(atlas, peaks, source=bare, embedder=ToyEmbedder())


@pytest.mark.parametrize("index", ["ncls", "faiss"])
def test_rows_are_found_as_when_resolving(atlas, peaks, genome, index):
    wider = Intervals(peaks.contigs, peaks.contig_ids, peaks.start - 5, peaks.end + 5)
    shifted = Intervals(peaks.contigs, peaks.contig_ids, peaks.start + 3, peaks.end + 3)
    elsewhere = Intervals.from_columns(["chrY"], [5], [90])
    mixed = Intervals.concatenate([wider, shifted, peaks, elsewhere])
    found = find_rows(atlas, mixed, source=genome, max_offset=3, index=index)
    expected = resolve_peaks(atlas, mixed, source=genome, max_offset=3).lookup
    assert found.counts() == {
        "exact": 15, "sequence": 15, "overlap": 15, "embedded": 0, "missing": 46,
    }  # fmt: skip
    np.testing.assert_array_equal(found.tier, expected.tier)
    np.testing.assert_array_equal(found.row, expected.row)


def test_nothing_is_loaded_for_peaks_that_cannot_be_embedded(atlas, peaks, genome):
    def never():
        raise AssertionError("loaded")

    elsewhere = Intervals.from_columns(["chrY"], [5], [90])
    mixed = Intervals.concatenate([elsewhere, peaks.take([0])])
    found = resolve_peaks(atlas, mixed, source=genome, embedder=never)
    assert tiers(found) == ["missing", "exact"]


def test_options_that_need_each_other(atlas, peaks, genome):
    with pytest.raises(AtlasError, match="give the genome"):
        resolve_peaks(atlas, peaks, embedder=ToyEmbedder())
    with pytest.raises(AtlasError, match="appending needs an embedder"):
        resolve_peaks(atlas, peaks, source=genome, append=True)
