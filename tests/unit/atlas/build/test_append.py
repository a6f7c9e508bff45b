import numpy as np
import pytest

from peakatlas.atlas import Atlas, build_atlas
from peakatlas.atlas.build import append as append_module
from peakatlas.atlas.build.append import append_peaks, append_rows
from peakatlas.atlas.build.inputs import PeakList, read_inputs
from peakatlas.atlas.build.provenance import genome_provenance
from peakatlas.engine.dna.genome import open_genome
from peakatlas.engine.errors import GenomeError, SpecMismatchError
from tests.atlas_tools import (
    ToyEmbedder,
    random_intervals,
    toy_spec,
    tree_bytes,
    write_toy_genome,
)

OLD, NEW = 20, 30


@pytest.fixture
def intervals():
    return random_intervals(OLD + NEW)


@pytest.fixture
def grow(tmp_path, genome, intervals, monkeypatch):
    """Build an atlas of every other interval and append all of them, in shards of 4 rows."""
    monkeypatch.setattr(append_module, "default_shard_rows", lambda n_rows: 4)
    old = np.sort(np.random.default_rng(0).permutation(OLD + NEW)[:OLD])

    def grow(name, embedder, progress=None):
        path = tmp_path / name
        if not path.exists():
            build_atlas(genome, intervals.take(old), path, ToyEmbedder())
        return append_peaks(path, read_inputs(genome, intervals), embedder, progress=progress)

    return grow


class Dies(ToyEmbedder):
    def embed(self, peaks, source, progress=None):
        if self.n_embedded >= 12:
            raise KeyboardInterrupt
        return super().embed(peaks, source, progress)


def test_only_new_peaks_are_embedded_and_added(grow, genome, intervals):
    embedder, reported = ToyEmbedder(), []
    atlas = grow("a.zarr", embedder, reported.append)
    assert embedder.n_embedded == NEW
    assert sum(reported) == OLD + NEW
    rows = atlas.lookup(intervals).row
    assert sorted(rows) == list(range(OLD + NEW))
    expected = ToyEmbedder().embed(intervals, genome).values.astype(np.float16)
    np.testing.assert_array_equal(atlas.gather(rows), expected.astype(np.float32))


def test_an_append_that_died_is_taken_up(grow, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        grow("died.zarr", Dies())
    assert len(Atlas.open(tmp_path / "died.zarr")) == OLD
    again = ToyEmbedder()
    grow("died.zarr", again)
    assert again.n_embedded == NEW - 12
    grow("whole.zarr", ToyEmbedder())
    assert tree_bytes(tmp_path / "died.zarr") == tree_bytes(tmp_path / "whole.zarr")


def test_appending_again_changes_nothing(grow, tmp_path):
    grow("a.zarr", ToyEmbedder())
    manifest = (tmp_path / "a.zarr" / "manifest.json").read_bytes()
    embedder = ToyEmbedder()
    grow("a.zarr", embedder)
    assert embedder.n_embedded == 0
    assert (tmp_path / "a.zarr" / "manifest.json").read_bytes() == manifest


def test_another_model_or_build_is_refused(grow, tmp_path, intervals):
    grow("a.zarr", ToyEmbedder())
    with pytest.raises(SpecMismatchError, match="window: centre:60 != centre:90"):
        grow("a.zarr", ToyEmbedder(spec=toy_spec(window="centre:90")))
    other = write_toy_genome(tmp_path / "other.fa", {"chr1": 50_000, "chr2": 50_000}, seed=9)
    with pytest.raises(GenomeError, match=r"other\.fa is another build"):
        append_peaks(tmp_path / "a.zarr", read_inputs(other, intervals), ToyEmbedder())


def test_rows_are_appended_as_embedded(tmp_path, genome, intervals):
    build_atlas(genome, intervals.take(np.arange(OLD)), tmp_path / "a.zarr", ToyEmbedder())
    embeddings = ToyEmbedder().embed(intervals, genome)
    atlas = append_rows(tmp_path / "a.zarr", intervals, embeddings, genome={"name": "toy.fa"})
    np.testing.assert_array_equal(
        atlas.gather(np.arange(OLD + NEW)), embeddings.values.astype(np.float16).astype(np.float32)
    )


def test_peaks_are_read_once(tmp_path, monkeypatch):
    bed = tmp_path / "peaks.bed"
    bed.write_text("chr2\t500\t700\nchr1\t900\t1100\nchr2\t500\t700\n")
    genome = open_genome(write_toy_genome(tmp_path / "g.fa", {"chr1": 5000, "chr2": 5000}))
    given = PeakList.read(bed)
    assert len(given) == 3
    monkeypatch.setattr("peakatlas.atlas.build.inputs.read_bed", None)
    inputs = read_inputs(genome, given)
    assert inputs.rows.names() == ["chr1:900-1100", "chr2:500-700"]
    described = inputs.peaks_provenance()
    assert (described["name"], described["n_collapsed"]) == ("peaks.bed", 1)
    assert len(described["sha256"]) == 64


def test_the_genomes_of_all_segments_are_compared(tmp_path, genome):
    """A contig that came with a later segment belongs to the atlas's genome as well."""
    path = tmp_path / "a.zarr"
    first = random_intervals(4, contigs=("chr1",))
    build_atlas(genome, first, path, ToyEmbedder())
    append_peaks(
        path, read_inputs(genome, random_intervals(4, 1, contigs=("chr2",))), ToyEmbedder()
    )
    other = write_toy_genome(tmp_path / "other.fa", {"chr2": 50_000, "chr9": 50_000}, seed=9)
    more = random_intervals(4, 2, contigs=("chr2", "chr9"))
    with pytest.raises(GenomeError, match=r"other\.fa is another build: 1 contig\(s\) differ"):
        append_peaks(path, read_inputs(other, more), ToyEmbedder())
    source = open_genome(other)
    with pytest.raises(GenomeError, match=r"other\.fa is another build"):
        append_rows(
            path, more, ToyEmbedder().embed(more, source),
            genome=genome_provenance(source, more.contigs),
        )  # fmt: skip
    assert len(Atlas.open(path)) == 8
