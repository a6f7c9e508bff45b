"""NCLS and FAISS joins against the one-line definition of an overlap."""

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peakatlas.atlas import FaissCoordinateIndex, OverlapIndex, OverlapPairs
from peakatlas.engine.errors import IntervalError, MissingDependencyError
from peakatlas.engine.intervals.table import Intervals

BIN = 1 << 16
HAS_GPU = faiss.get_num_gpus() > 0
NEAR_BORDERS = st.builds(
    lambda at, shift: max(at * BIN + shift, 0), st.integers(0, 3), st.integers(-3, 3)
)
POSITIONS = NEAR_BORDERS | st.integers(0, 5 * BIN) | st.integers(200_000_000, 200_000_050)
WIDTHS = st.integers(1, 40) | st.sampled_from([BIN, BIN + 1, 3 * BIN, 30_000_000])
TABLES = st.lists(st.tuples(st.sampled_from(["chr1", "chr2", "chrX"]), POSITIONS, WIDTHS))


def table(rows):
    chrom, start, width = zip(*rows, strict=True) if rows else ((), (), ())
    start = np.array(start, np.int64)
    return Intervals.from_columns(chrom, start, start + np.array(width, np.int64))


def naive_pairs(queries, rows):
    return [
        (q, r)
        for q in range(len(queries))
        for r in range(len(rows))
        if queries.chrom[q] == rows.chrom[r]
        and queries.start[q] < rows.end[r]
        and rows.start[r] < queries.end[q]
    ]


def pairs(index, queries):
    found = index.overlap_pairs(queries)
    return list(zip(found.query.tolist(), found.row.tolist(), strict=True))


def searching_as_on_a_gpu(rows):
    """The search by a fixed number of nearest pieces, on the CPU."""
    index = FaissCoordinateIndex(rows)
    index._on_gpu = index._index
    return index


@settings(max_examples=150, deadline=None)
@given(rows=TABLES, queries=TABLES)
def test_all_joins_equal_the_definition(rows, queries):
    rows, queries = table(rows), table(queries)
    expected = naive_pairs(queries, rows)
    assert pairs(OverlapIndex(rows), queries) == expected
    assert pairs(FaissCoordinateIndex(rows), queries) == expected
    assert pairs(searching_as_on_a_gpu(rows), queries) == expected


@settings(max_examples=50, deadline=None)
@given(rows=TABLES, queries=TABLES, most=st.integers(1, 9), layers=st.sampled_from([1, 8]))
def test_blocks_hold_the_same_pairs_and_each_query_once(rows, queries, most, layers):
    rows, queries = table(rows), table(queries)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("peakatlas.engine.intervals.overlap.MAX_LAYERS", layers)
        for index in (OverlapIndex(rows), FaissCoordinateIndex(rows)):
            blocks = list(index.pair_blocks(queries, most))
            held = [zip(b.query.tolist(), b.row.tolist(), strict=True) for b in blocks]
            assert sorted(pair for block in held for pair in block) == naive_pairs(queries, rows)
            owned = [query for b in blocks for query in set(b.query.tolist())]
            assert len(owned) == len(set(owned))


def test_a_block_holds_about_as_many_pairs_as_asked_for():
    rows = Intervals.from_columns(["1"] * 50, np.arange(50), np.arange(50) + 5)
    wide = Intervals.from_columns(["1"] * 20, [0] * 20, [60] * 20)
    sizes = [len(block) for block in OverlapIndex(rows).pair_blocks(wide, 200)]
    assert (sum(sizes), max(sizes)) == (1000, 200)


HARD_CASES = {
    "bookends": ([("a", 10, 10), ("a", 20, 10)], [("a", 0, 10), ("a", 20, 1), ("a", 30, 5)]),
    "duplicates": ([("a", 5, 9)] * 4, [("a", 6, 1), ("a", 6, 1)]),
    "nested 30 Mb": ([("a", 7, 30_000_000), ("a", 9, 4), ("a", 8, 29_999_000)], [("a", 9, 2)]),
    "unsorted": ([("b", 90, 9), ("a", 50, 9), ("b", 1, 99)], [("b", 95, 1), ("a", 40, 11)]),
    "absent contig": ([("a", 0, 9)], [("z", 0, 9), ("a", 8, 1), ("y", 3, 1)]),
    "past the last row": ([("a", 0, 9), ("b", 0, 9)], [("a", 9, 70_000), ("a", 8, 70_000)]),
}


@pytest.mark.parametrize("case", HARD_CASES)
@pytest.mark.parametrize("kind", [OverlapIndex, FaissCoordinateIndex, searching_as_on_a_gpu])
def test_hard_cases(case, kind):
    rows, queries = map(table, HARD_CASES[case])
    assert pairs(kind(rows), queries) == naive_pairs(queries, rows)


def scattered(n, seed):
    rng = np.random.default_rng(seed)
    start = rng.integers(0, 100_000_000, n)
    width = rng.integers(1, 2000, n)
    width[rng.random(n) < 0.002] = 30_000_000
    return Intervals(("1", "2", "3"), rng.integers(0, 3, n), start, start + width)


@pytest.mark.parametrize("cut", [1, 1000])
def test_faiss_is_identical_on_many_and_does_not_depend_on_the_batch(cut, monkeypatch):
    rows, queries = scattered(20_000, 0), scattered(3000, 1)
    expected = OverlapIndex(rows).overlap_pairs(queries)
    if cut > 1:
        monkeypatch.setattr("peakatlas.atlas.search.faiss_coordinates.PIECES_PER_SEARCH", cut)
    found = FaissCoordinateIndex(rows).overlap_pairs(queries)
    np.testing.assert_array_equal(found.query, expected.query)
    np.testing.assert_array_equal(found.row, expected.row)


@pytest.mark.parametrize("nearest", [1, 3, 2047])
def test_search_by_nearest_falls_back_for_pieces_with_more(nearest, monkeypatch):
    rows, queries = scattered(5000, 2), scattered(2000, 3)
    expected = OverlapIndex(rows).overlap_pairs(queries)
    monkeypatch.setattr("peakatlas.atlas.search.faiss_coordinates.GPU_NEAREST", nearest)
    found = searching_as_on_a_gpu(rows).overlap_pairs(queries)
    np.testing.assert_array_equal(found.query, expected.query)
    np.testing.assert_array_equal(found.row, expected.row)
    assert np.bincount(found.query).max() > 3


@pytest.mark.gpu
@pytest.mark.skipif(not HAS_GPU, reason="FAISS sees no GPU")
def test_a_gpu_finds_the_same_pairs_in_any_batch(monkeypatch):
    rows, queries = scattered(20_000, 0), scattered(3000, 1)
    expected = OverlapIndex(rows).overlap_pairs(queries)
    for cut in (1 << 18, 100):
        monkeypatch.setattr("peakatlas.atlas.search.faiss_coordinates.PIECES_PER_SEARCH", cut)
        found = FaissCoordinateIndex(rows, gpu=0).overlap_pairs(queries)
        np.testing.assert_array_equal(found.query, expected.query)
        np.testing.assert_array_equal(found.row, expected.row)


def test_a_gpu_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 1, raising=False)
    with pytest.raises(MissingDependencyError, match=r"FAISS sees 1 GPU\(s\), and GPU 3 is not"):
        FaissCoordinateIndex(scattered(10, 0), gpu=3)


@pytest.mark.parametrize("layers", [0, 1, 2])
def test_what_is_nested_deeper_than_the_layers_is_found_too(layers, monkeypatch):
    depth = np.arange(40)
    nested = Intervals(("a",), np.zeros(40, np.int32), depth, 1000 - depth)
    rows = Intervals.concatenate([nested, nested.take(depth[::-1]), scattered(200, 5)])
    queries = Intervals.concatenate([nested, scattered(200, 6)])
    expected = naive_pairs(queries, rows)
    assert pairs(OverlapIndex(rows), queries) == expected
    monkeypatch.setattr("peakatlas.engine.intervals.overlap.MAX_LAYERS", layers)
    assert pairs(OverlapIndex(rows), queries) == expected


def test_pairs_of_rows_too_many_for_one_integer_are_sorted_too():
    query = np.array([1 << 40, 3, 1 << 40, 3])
    row = np.array([5, 1 << 41, 2, 9])
    found = OverlapPairs.sorted(query, row)
    assert found.query.tolist() == [3, 3, 1 << 40, 1 << 40]
    assert found.row.tolist() == [9, 1 << 41, 2, 5]


def test_every_gap_and_touch_at_the_far_corners_of_a_bin():
    """Where the inner product rounds worst: long pieces that touch, part or share one bp."""
    starts = np.repeat([1, BIN - 40, BIN // 2], 7) + np.tile(np.arange(-1, 6), 3)
    rows = Intervals.from_columns(["c"] * len(starts), starts, np.full(len(starts), BIN))
    ends = np.concatenate([starts, starts + 1, starts - 1])
    kept = ends > 0
    queries = Intervals.from_columns(["c"] * int(kept.sum()), np.zeros(kept.sum()), ends[kept])
    assert pairs(FaissCoordinateIndex(rows), queries) == naive_pairs(queries, rows)


def test_intervals_past_any_contig_are_refused():
    far = 10**18 - 1
    table = Intervals.from_columns([f"c{i}" for i in range(9)], [0] * 9, [far] * 9)
    with pytest.raises(IntervalError, match="ends at 999,999,999,999,999,999 bp, which is past"):
        OverlapIndex(table)
    assert len(OverlapIndex(table.take([0, 1])).overlap_pairs(table)) == 2
