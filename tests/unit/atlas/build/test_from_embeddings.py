"""Vectors that were made elsewhere become an atlas, found by interval and by nothing else."""

import numpy as np
import pandas as pd
import pytest

from peakatlas.atlas import Atlas, merge_atlases
from peakatlas.atlas.build.append import append_rows
from peakatlas.atlas.build.lookup_or_embed import find_rows, resolve_peaks
from peakatlas.atlas.check.verify import verify_atlas
from peakatlas.engine.errors import AtlasError, SpecMismatchError
from peakatlas.engine.intervals.table import Intervals
from tests.atlas_tools import ToyEmbedder, random_intervals, toy_spec, tree_bytes

N, MASKED_ROW = 30, 4


@pytest.fixture
def shuffled():
    order = np.random.default_rng(3).permutation(N)
    return random_intervals(N).take(order)


@pytest.fixture
def vectors():
    values = np.random.default_rng(1).standard_normal((N, 5)).astype(np.float16)
    values[MASKED_ROW] = np.nan
    return values


@pytest.fixture
def path(tmp_path):
    return tmp_path / "mine.zarr"


def test_each_vector_stays_with_its_interval(path, shuffled, vectors):
    atlas = Atlas.from_embeddings(
        path, shuffled, vectors, "scbasset", model={"licence": "MIT"}, genome={"name": "hg38"}
    )
    found = atlas.lookup(shuffled)
    assert found.counts()["exact"] == N
    np.testing.assert_array_equal(atlas.gather(found.row), vectors.astype(np.float32))
    assert atlas.state[found.row[MASKED_ROW]] == 2
    assert atlas.provenance["model"] == {"name": "scbasset", "licence": "MIT"}
    assert atlas.info()["genome"] == "hg38"
    report = verify_atlas(path, deep=True)
    assert report.ok, report.faults


def test_no_row_is_found_by_a_sequence(path, shuffled, vectors, genome):
    atlas = Atlas.from_embeddings(path, shuffled, vectors, "scbasset")
    zeros = np.zeros((2, 16), np.uint8)
    peaks = Intervals.from_columns(["chr1", "chr1"], [1, 2], [9, 9])
    assert atlas.lookup(peaks, digests=zeros).row.tolist() == [-1, -1]
    assert find_rows(atlas, shuffled, source=genome).counts()["exact"] == N
    report = verify_atlas(path, deep=True, source=genome)
    assert report.ok, report.faults
    with pytest.raises(SpecMismatchError, match="weights_sha256"):
        resolve_peaks(atlas, random_intervals(9, seed=9), source=genome, embedder=ToyEmbedder())


def test_a_spec_that_is_known_lets_rows_join(path, shuffled, vectors, tmp_path):
    spec = toy_spec(dim=5)
    first, second = (shuffled.take(slice_) for slice_ in (np.arange(10), np.arange(10, N)))
    Atlas.from_embeddings(path, first, vectors[:10], spec)
    Atlas.from_embeddings(tmp_path / "more.zarr", second, vectors[10:], spec)
    both = merge_atlases([path, tmp_path / "more.zarr"], tmp_path / "both.zarr")
    rows = both.lookup(shuffled).row
    np.testing.assert_array_equal(both.gather(rows), vectors.astype(np.float32))


def test_a_name_alone_makes_the_digest_of_the_vectors_the_identity(path, shuffled, vectors):
    atlas = Atlas.from_embeddings(path, shuffled, vectors, "scbasset")
    turned = Atlas.from_embeddings(
        path.with_name("turned.zarr"), shuffled.take(np.arange(N)[::-1]), vectors[::-1], "scbasset"
    )
    other = Atlas.from_embeddings(path.with_name("other.zarr"), shuffled, vectors + 1, "scbasset")
    assert atlas.spec == turned.spec != other.spec
    assert (atlas.spec.window, atlas.spec.tokenizer_sha256) == ("unknown", "")
    with pytest.raises(SpecMismatchError):
        merge_atlases([path, path.with_name("other.zarr")], path.with_name("both.zarr"))


def test_the_same_call_goes_on_where_it_stopped(path, shuffled, vectors):
    Atlas.from_embeddings(path, shuffled, vectors, "scbasset")
    whole = tree_bytes(path)
    (path / "manifest.json").unlink()
    (path / "segment-0000" / "log" / "shard-00000.json").unlink()
    Atlas.from_embeddings(path, shuffled, vectors, "scbasset")
    assert tree_bytes(path) == whole
    with pytest.raises(AtlasError, match="begun with other intervals"):
        Atlas.from_embeddings(path, random_intervals(N, seed=4), vectors, Atlas.open(path).spec)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda values: values[1:], r"shape \(29, 5\).*each of the 30 intervals"),
        (lambda values: values[:, 0], r"shape \(30,\)"),
        (lambda values: values.astype(object), "values are object"),
        (lambda values: np.where(values > 1, np.float32(1e9), values), "below 65504"),
    ],
)
def test_values_that_do_not_fit_are_refused(path, shuffled, vectors, change, message):
    with pytest.raises(AtlasError, match=message):
        Atlas.from_embeddings(path, shuffled, change(vectors), "scbasset")


def test_repeats_are_refused(path, vectors):
    table = pd.DataFrame({"chrom": ["chr1"] * N, "start": [5] * N, "end": [7] * N})
    with pytest.raises(AtlasError, match=r"29 interval\(s\) are repeated \(chr1:5-7"):
        Atlas.from_embeddings(path, table, vectors, "scbasset")
    assert not path.exists()


def test_appending_needs_the_same_spec(path, shuffled, vectors, genome):
    spec = toy_spec()
    Atlas.from_embeddings(path, shuffled, np.ones((N, 8)), spec)
    more = random_intervals(5, seed=11)
    grown = append_rows(path, more, ToyEmbedder().embed(more, genome), genome={"name": "toy.fa"})
    assert len(grown) == N + grown.provenance["segments"][1]["n_rows"]
