"""NCLS and FAISS joins against the one-line definition of an overlap."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peakatlas.atlas import FaissCoordinateIndex, OverlapIndex
from peakatlas.engine.intervals import Intervals

BIN = 1 << 16
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


@settings(max_examples=150, deadline=None)
@given(rows=TABLES, queries=TABLES)
def test_both_joins_equal_the_definition(rows, queries):
    rows, queries = table(rows), table(queries)
    expected = naive_pairs(queries, rows)
    assert pairs(OverlapIndex(rows), queries) == expected
    assert pairs(FaissCoordinateIndex(rows), queries) == expected


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
        monkeypatch.setattr("peakatlas.atlas.faiss_index.PIECES_PER_SEARCH", cut)
    found = FaissCoordinateIndex(rows).overlap_pairs(queries)
    np.testing.assert_array_equal(found.query, expected.query)
    np.testing.assert_array_equal(found.row, expected.row)


def test_every_gap_and_touch_at_the_far_corners_of_a_bin():
    """Where the inner product rounds worst: long pieces that touch, part or share one bp."""
    starts = np.repeat([1, BIN - 40, BIN // 2], 7) + np.tile(np.arange(-1, 6), 3)
    rows = Intervals.from_columns(["c"] * len(starts), starts, np.full(len(starts), BIN))
    ends = np.concatenate([starts, starts + 1, starts - 1])
    kept = ends > 0
    queries = Intervals.from_columns(["c"] * int(kept.sum()), np.zeros(kept.sum()), ends[kept])
    assert pairs(FaissCoordinateIndex(rows), queries) == naive_pairs(queries, rows)
