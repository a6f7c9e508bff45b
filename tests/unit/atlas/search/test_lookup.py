import numpy as np
import pytest

from peakatlas.atlas import TIERS, Atlas, FaissCoordinateIndex
from peakatlas.atlas.search.lookup import look_up
from peakatlas.engine.errors import AtlasError, ContigError, IntervalError
from peakatlas.engine.intervals.table import Intervals
from tests.atlas_tools import random_intervals, toy_rows, write_toy_atlas

ROWS = Intervals.from_columns(
    ["chr1", "chr1", "chr1", "chr2"], [0, 100, 150, 0], [1000, 200, 250, 100]
)


@pytest.fixture
def atlas(tmp_path):
    write_toy_atlas(tmp_path / "a.zarr", ROWS)
    return Atlas.open(tmp_path / "a.zarr")


def peaks(*names):
    chrom, start, end = zip(*names, strict=True)
    return Intervals.from_columns(chrom, start, end)


def tiers(result):
    return [TIERS[code] for code in result.tier]


def test_exact_then_nothing_by_default(atlas):
    result = atlas.lookup(peaks(("chr2", 0, 100), ("chr1", 101, 200), ("chr9", 0, 5)))
    assert tiers(result) == ["exact", "missing", "missing"]
    assert result.row.tolist() == [3, -1, -1]
    assert result.overlap_row.tolist() == [3, 1, -1]
    assert result.overlap_bp.tolist() == [100, 99, 0]
    assert result.centre_offset_bp.tolist() == [0, 0, 0]


def test_overlap_is_opt_in_and_bounded(atlas):
    queries = peaks(("chr1", 130, 230), ("chr1", 120, 220), ("chr1", 900, 1200))
    result = atlas.lookup(queries, max_offset=25)
    assert result.centre_offset_bp.tolist() == [-20, 20, 550]
    assert result.row.tolist() == [2, 1, -1]
    assert tiers(result) == ["overlap", "overlap", "missing"]
    assert tiers(atlas.lookup(queries, max_offset=19)) == ["missing"] * 3


def test_ties_go_to_the_lower_row(atlas):
    assert atlas.lookup(peaks(("chr1", 125, 225)), max_offset=50).row.tolist() == [1]


def test_the_exact_row_is_the_best_overlap_even_among_equal_centres(tmp_path):
    rows = Intervals.from_columns(["chr1"] * 2, [0, 40], [100, 60])
    write_toy_atlas(tmp_path / "b.zarr", rows)
    result = Atlas.open(tmp_path / "b.zarr").lookup(peaks(("chr1", 40, 60)))
    assert (result.row[0], result.overlap_row[0], result.overlap_bp[0]) == (1, 1, 20)


def test_sequence_goes_before_overlap(atlas):
    digests = toy_rows(4)[1]
    queries = peaks(("chr1", 130, 230), ("chr7", 5, 9), ("chr2", 0, 100))
    result = atlas.lookup(queries, max_offset=500, digests=digests[[0, 2, 1]])
    assert tiers(result) == ["sequence", "sequence", "exact"]
    assert result.row.tolist() == [0, 2, 3]


def test_order_and_repeats_are_kept(tmp_path):
    rows = random_intervals(200)
    write_toy_atlas(tmp_path / "c.zarr", rows, shard_rows=64)
    at = np.random.default_rng(0).integers(0, 200, 500)
    result = Atlas.open(tmp_path / "c.zarr").lookup(rows.take(at))
    np.testing.assert_array_equal(result.row, at)
    assert result.counts() == {
        "exact": 500, "sequence": 0, "overlap": 0, "embedded": 0, "missing": 0,
    }  # fmt: skip


def test_blocks_do_not_show(atlas, monkeypatch):
    queries = peaks(*[("chr1", s, s + 100) for s in range(0, 1000, 7)])
    whole = atlas.lookup(queries, max_offset=30)
    monkeypatch.setattr("peakatlas.atlas.search.lookup.PAIRS_AT_ONCE", 10)
    parts = atlas.lookup(queries, max_offset=30)
    for name in ("row", "tier", "overlap_row", "overlap_bp", "centre_offset_bp"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))


def test_frame_has_one_row_a_peak(atlas):
    frame = atlas.lookup(peaks(("chr2", 0, 100), ("chr9", 0, 5))).to_frame()
    assert frame.columns.tolist() == [
        "chrom", "start", "end", "tier", "row", "overlap_row", "overlap_bp", "centre_offset_bp",
    ]  # fmt: skip
    assert frame["tier"].tolist() == ["exact", "missing"]
    assert frame["row"].isna().tolist() == [False, True]
    assert frame["row"][0] == 3


def test_no_peaks(atlas):
    result = atlas.lookup(Intervals.from_columns([], [], []), max_offset=5)
    assert len(result) == 0
    assert sum(result.counts().values()) == 0


def test_another_naming_style_is_an_error(atlas):
    with pytest.raises(ContigError, match=r"Only the naming style differs \('1' here, 'chr1'"):
        atlas.lookup(peaks(("1", 0, 100), ("2", 0, 100)))
    with pytest.raises(ContigError, match=r"1 of 2 interval.*differs \('1' here, 'chr1'"):
        atlas.lookup(peaks(("1", 0, 100), ("chr2", 0, 100)))


def test_wrong_arguments(atlas):
    queries = peaks(("chr1", 0, 100))
    with pytest.raises(IntervalError, match="max_offset is -1 bp"):
        atlas.lookup(queries, max_offset=-1)
    with pytest.raises(AtlasError, match=r"digests has shape \(2, 16\); it must be \(1, 16\)"):
        atlas.lookup(queries, digests=np.zeros((2, 16), np.uint8))
    with pytest.raises(AtlasError, match="index 'bed' is neither 'ncls' nor 'faiss'"):
        atlas.lookup(queries, index="bed")


@pytest.mark.parametrize("kind", ["frame", "pyranges"])
def test_tables_of_others_are_looked_up_in_their_order(atlas, kind):
    queries = peaks(("chr2", 0, 100), ("chr1", 130, 230), ("chr1", 900, 1200), ("chr2", 0, 100))
    table = queries.to_frame() if kind == "frame" else queries.to_pyranges()
    found, expected = atlas.lookup(table, max_offset=25), atlas.lookup(queries, max_offset=25)
    assert found.peaks == queries
    assert found.row.tolist() == expected.row.tolist() == [3, 2, -1, 3]


def test_the_choice_among_overlaps_is_that_of_a_loop(tmp_path):
    rows = random_intervals(150, extent=3000)
    write_toy_atlas(tmp_path / "d.zarr", rows, shard_rows=64)
    queries = Intervals.concatenate([random_intervals(200, seed=4, extent=3300), rows.take([9])])
    found = Atlas.open(tmp_path / "d.zarr").lookup(queries)
    for i, (chrom, start, end) in enumerate(queries.to_frame().itertuples(index=False)):
        bp = np.minimum(end, rows.end) - np.maximum(start, rows.start)
        offset = (start + end) // 2 - rows.centres
        same = (rows.start == start) & (rows.end == end)
        ranked = sorted(
            (not same[row], abs(offset[row]), row)
            for row in np.flatnonzero((rows.chrom == chrom) & (bp > 0))
        )
        best = ranked[0][2] if ranked else -1
        assert found.overlap_row[i] == best
        assert found.overlap_bp[i] == (bp[best] if ranked else 0)
        assert found.centre_offset_bp[i] == (offset[best] if ranked else 0)


@pytest.mark.parametrize("index", ["ncls", "faiss", None])
def test_every_index_serves_the_same(atlas, index):
    queries = random_intervals(100, seed=2, extent=1500)
    expected = look_up(atlas, queries, max_offset=99)
    found = atlas.lookup(
        queries, max_offset=99, index=index if index else FaissCoordinateIndex(ROWS)
    )
    for name in ("row", "tier", "overlap_row", "overlap_bp", "centre_offset_bp"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
