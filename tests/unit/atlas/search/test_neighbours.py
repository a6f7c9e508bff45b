"""Neighbours by centred cosine, against a plain search in numpy."""

import numpy as np
import pytest

from peakatlas.atlas import Atlas
from peakatlas.atlas.build.append import append_rows
from peakatlas.atlas.build.writer import AtlasWriter
from peakatlas.atlas.format.schema import EMBEDDED, MASKED
from peakatlas.atlas.search import neighbours
from peakatlas.atlas.search.neighbour_index import MOST_LISTS, n_lists_for
from peakatlas.atlas.search.neighbours import nearest_rows, query_rows, recall
from peakatlas.engine.errors import AtlasError, ContigError, IntervalError
from peakatlas.engine.intervals.table import Intervals
from tests.atlas_tools import ToyEmbeddings, random_intervals, toy_spec

pytest.importorskip("faiss", reason="neighbours need faiss")
N_ROWS, DIM = 3000, 16


def clustered(n, seed=0):
    """Rows around 40 centres, all far from the origin as real embeddings are."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((40, DIM))
    values = 20 + centres[rng.integers(0, 40, n)] + 0.3 * rng.standard_normal((n, DIM))
    return values.astype(np.float16).astype(np.float32)


@pytest.fixture(scope="module")
def atlas(tmp_path_factory):
    """Two segments; every 50th row is masked, a few rows are equal."""
    path = tmp_path_factory.mktemp("neighbours") / "a.zarr"
    intervals = random_intervals(N_ROWS, extent=3_000_000)
    values, state = clustered(N_ROWS), np.full(N_ROWS, EMBEDDED, np.uint8)
    values[7:10] = values[6]
    values[::50], state[::50] = np.nan, MASKED
    writer = AtlasWriter.create(
        path, intervals, toy_spec(dim=DIM), genome={"name": "x"}, model={}, shard_rows=512
    )
    for shard in range(writer.n_shards):
        at = writer.shard_rows_of(shard)
        n = at.stop - at.start
        digests, known = np.zeros((n, 16), np.uint8), np.zeros(n, np.float32)
        writer.write_shard(shard, values[at], digests, known, state[at])
    writer.finalise()
    more = ToyEmbeddings(
        values=clustered(200, 1), digests=np.zeros((200, 16), np.uint8),
        n_fraction=np.zeros(200, np.float32),
    )  # fmt: skip
    later = random_intervals(200, 1, contigs=("chr1", "chr9"), extent=9_000_000)
    return append_rows(path, later, more, genome={"name": "x"})


def plain(atlas, queries, k, allowed=None):
    """Rows and cosines of the k nearest, sorted by cosine, then row."""
    values = atlas.gather(np.arange(len(atlas))).astype(np.float64)
    values -= np.nanmean(values, axis=0)
    centre = np.nanmean(atlas.gather(np.arange(len(atlas))).astype(np.float64), axis=0)
    unit = values / np.linalg.norm(values, axis=1, keepdims=True)
    query = queries - centre
    cosine = (query / np.linalg.norm(query, axis=1, keepdims=True)) @ unit.T
    cosine[:, np.isnan(values[:, 0])] = -np.inf
    if allowed is not None:
        cosine[:, ~allowed] = -np.inf
    order = np.argsort(-cosine, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(cosine, order, axis=1)


@pytest.mark.parametrize("block", [64, 1 << 15])
def test_exact_is_a_plain_search(atlas, monkeypatch, block):
    monkeypatch.setattr(neighbours, "ROWS_PER_BLOCK", block)
    queries = clustered(20, 5)
    found = nearest_rows(atlas, queries, k=12)
    rows, cosine = plain(atlas, queries, 12)
    assert found.query.tolist() == np.repeat(np.arange(20), 12).tolist()
    np.testing.assert_array_equal(found.row.reshape(20, 12), rows)
    np.testing.assert_allclose(found.cosine.reshape(20, 12), cosine, atol=2e-5)
    assert found.intervals == atlas.intervals.take(rows.reshape(-1))


def test_the_centre_is_the_mean_of_embedded_rows(atlas):
    values = atlas.gather(np.flatnonzero(atlas.state == EMBEDDED)).astype(np.float64)
    np.testing.assert_allclose(atlas.centre, values.mean(axis=0), rtol=1e-6)


def test_a_rows_own_row_is_left_out_unless_asked_for(atlas):
    without, found = atlas.neighbours([6, 11], k=5), atlas.neighbours([6, 11], k=5, with_self=True)
    assert 11 not in without.row[without.query == 1]
    assert found.row[5] == 11
    assert found.row[:4].tolist() == [6, 7, 8, 9]  # equal rows, the lowest first
    assert without.row[:3].tolist() == [7, 8, 9]
    np.testing.assert_allclose(found.cosine[:4], 1, atol=1e-5)


def test_masked_rows_are_never_found_and_cannot_be_asked_for(atlas):
    found = atlas.neighbours([3], k=len(atlas))
    masked = set(np.flatnonzero(atlas.state == MASKED).tolist())
    assert set(found.row.tolist()) == set(range(len(atlas))) - masked - {3}
    with pytest.raises(AtlasError, match=r"1 query embedding\(s\) are not finite \(query \[1\]"):
        atlas.neighbours([3, 50])


@pytest.mark.parametrize("index", ["exact", "ivf"])
@pytest.mark.parametrize(
    "region",
    [
        Intervals.from_columns(["chr2"], [100_000], [900_000]),
        Intervals.from_columns(
            ["chr1", "chr9", "chr1"], [0, 0, 2_000_000], [500_000, 10**7, 10**7]
        ),
    ],
)
def test_a_region_keeps_other_rows_out(atlas, region, index):
    rows = atlas.intervals
    allowed = np.zeros(len(atlas), bool)
    for chrom, start, end in zip(region.chrom, region.start, region.end, strict=True):
        allowed |= (rows.chrom == chrom) & (rows.start < end) & (rows.end > start)
    queries = clustered(5, 6)
    found = nearest_rows(atlas, queries, k=9, region=region, index=index, n_probe=MOST_LISTS)
    expected, _ = plain(atlas, queries, 9, allowed)
    if index == "exact":
        np.testing.assert_array_equal(found.row.reshape(5, 9), expected)
    else:
        assert allowed[found.row].all()
        assert len(set(found.row) & set(expected.ravel())) >= 0.95 * len(set(expected.ravel()))


def test_ivf_finds_most_and_states_true_cosines(atlas):
    assert recall(atlas, k=10, n_probe=4) >= 0.9
    assert recall(atlas, k=10, n_probe=MOST_LISTS) >= 0.99
    rows = np.arange(1, 40, 2)
    exact, found = atlas.neighbours(rows, k=10), atlas.neighbours(rows, k=10, index="ivf")
    true = dict(zip(zip(exact.query, exact.row, strict=True), exact.cosine, strict=True))
    pairs = list(zip(found.query, found.row, strict=True))
    both = [i for i, pair in enumerate(pairs) if pair in true]
    assert len(both) > 150
    np.testing.assert_allclose(found.cosine[both], [true[pairs[i]] for i in both], atol=2e-5)


def test_the_trained_index_is_kept_and_belongs_to_its_manifest(atlas, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = Atlas.open(atlas.path).neighbours([1], index="ivf")
    folder = tmp_path / "peakatlas" / "neighbours"
    kept = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert sorted(path.suffix for path in folder.iterdir()) == [".faiss", ".npy"]
    again = Atlas.open(atlas.path).neighbours([1], index="ivf")
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == kept
    np.testing.assert_array_equal(first.row, again.row)
    other = Atlas(atlas._storage, atlas._manifest | {"sha256": "0" * 64})
    other.neighbours([1], index="ivf")
    assert len(list(folder.iterdir())) == 4


@pytest.mark.parametrize("damage", [b"", b"\0" * 500, None])
def test_a_damaged_cache_file_is_made_again(atlas, tmp_path, monkeypatch, damage):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = Atlas.open(atlas.path).neighbours([1], index="ivf")
    whole = {path: path.read_bytes() for path in (tmp_path / "peakatlas/neighbours").iterdir()}
    for path, data in whole.items():
        path.write_bytes(data[: len(data) // 2] if damage is None else damage)
    again = Atlas.open(atlas.path).neighbours([1], index="ivf")
    np.testing.assert_array_equal(first.row, again.row)
    assert {path: path.read_bytes() for path in whole} == whole


def test_a_peak_stands_for_its_row_or_the_one_it_overlaps_best(atlas):
    row = atlas.intervals.take([123])
    shifted = Intervals(row.contigs, row.contig_ids, row.start + 3, row.end + 3)
    assert query_rows(atlas, Intervals.concatenate([row, shifted])).tolist() == [123, 123]
    np.testing.assert_array_equal(atlas.neighbours(row).row, atlas.neighbours([123]).row)
    with pytest.raises(IntervalError, match=r"no row of .* overlaps 1 of the peaks \(chr1:99"):
        atlas.neighbours(Intervals.from_columns(["chr1"], [99_000_000], [99_000_500]))


def test_wrong_questions_are_refused(atlas):
    with pytest.raises(IntervalError, match="k is 0"):
        atlas.neighbours([1], k=0)
    with pytest.raises(AtlasError, match=r"shape \(1, 3\); they must be \(n, 16\)"):
        nearest_rows(atlas, np.zeros((1, 3), np.float32))
    with pytest.raises(ContigError, match="no contig chr77"):
        atlas.neighbours([1], region=Intervals.from_columns(["chr77"], [0], [5]))
    with pytest.raises(IntervalError, match=r"no embedded row of .* lies in chr1:0-5"):
        atlas.neighbours([1], region=Intervals.from_columns(["chr1"], [0], [5]))


def test_fewer_rows_than_asked_for(atlas):
    region = atlas.intervals.take([1, 2])
    assert len(atlas.neighbours([1], k=10, region=region)) < 10
    assert len(atlas.neighbours([], k=10)) == 0
    assert list(atlas.neighbours([1], k=2).to_frame().columns) == [
        "query", "row", "chrom", "start", "end", "cosine",
    ]  # fmt: skip


def test_lists_are_trained_by_enough_rows():
    for n in (1, 39, 5000, 10**7):
        assert n_lists_for(n) == 1 or n_lists_for(n) * 40 <= n


def test_rows_are_read_once_whatever_the_number_of_queries(atlas, monkeypatch):
    monkeypatch.setattr(neighbours, "ROWS_PER_BLOCK", 64)
    taken, gather = [], atlas.gather
    monkeypatch.setattr(atlas, "gather", lambda rows: taken.append(len(rows)) or gather(rows))
    nearest_rows(atlas, clustered(3000, 5), k=2)
    assert sum(taken) == np.count_nonzero(atlas.state == 1)
