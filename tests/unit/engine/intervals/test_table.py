import numpy as np
import pandas as pd
import pyranges
import pytest

from peakatlas.atlas import OverlapIndex
from peakatlas.engine.errors import IntervalError
from peakatlas.engine.intervals.table import Intervals, as_intervals

PEAKS = Intervals.from_columns(
    ["chr2", "chr1", "chr10", "chr1", "chr2"], [5, 700, 0, 90, 5], [25, 800, 40, 100, 25]
)


def test_through_pyranges_and_back_in_order():
    ranges = PEAKS.to_pyranges()
    assert len(ranges) == 5
    assert sorted(ranges.chromosomes) == ["chr1", "chr10", "chr2"]
    assert Intervals.from_pyranges(ranges) == PEAKS


def test_what_pyranges_kept_comes_in_our_order():
    kept = PEAKS.to_pyranges()["chr1"]
    assert Intervals.from_pyranges(kept).names() == ["chr1:700-800", "chr1:90-100"]


def test_pyranges_without_our_column_comes_as_it_lies():
    frame = pd.DataFrame(
        {"Chromosome": ["chr2", "chr1"], "Start": [5, 7], "End": [9, 8], "Strand": ["+", "-"]}
    )
    ranges = pyranges.PyRanges(frame)
    expected = [f"{c}:{s}-{e}" for c, s, e in ranges.df.iloc[:, :3].itertuples(index=False)]
    assert Intervals.from_pyranges(ranges).names() == expected
    assert len(Intervals.from_pyranges(pyranges.PyRanges())) == 0


def test_a_join_by_pyranges_and_by_us_give_the_same_pairs():
    rng = np.random.default_rng(0)
    start = rng.integers(0, 5000, 300)
    rows = Intervals(("a", "b"), rng.integers(0, 2, 300), start, start + rng.integers(1, 90, 300))
    queries, rows = rows.take(np.arange(100)), rows.take(np.arange(100, 300))
    joined = queries.to_pyranges().join(rows.to_pyranges()).df
    found = OverlapIndex(rows).overlap_pairs(queries)
    expected = sorted(zip(joined["row"], joined["row_b"], strict=True))
    assert list(zip(found.query, found.row, strict=True)) == expected


@pytest.mark.parametrize(
    "columns", [("chrom", "start", "end"), ("Chromosome", "Start", "End")], ids=["ours", "theirs"]
)
def test_a_frame_keeps_its_order(columns):
    frame = PEAKS.to_frame().assign(score=1).set_axis([*columns, "score"], axis=1)
    frame[columns[0]] = frame[columns[0]].astype("category")
    assert Intervals.from_frame(frame.sample(frac=1, random_state=0).sort_index()) == PEAKS
    assert as_intervals(frame) == PEAKS


def test_what_cannot_be_read_as_intervals():
    with pytest.raises(IntervalError, match="has columns chrom, begin; intervals need chrom"):
        Intervals.from_frame(pd.DataFrame({"chrom": ["1"], "begin": [1]}))
    frame = pd.DataFrame({"chrom": ["1", None], "start": [1, 1], "end": [2, 2]})
    with pytest.raises(IntervalError, match=r"1 row\(s\) of the table lack a value .*\(row 1\)"):
        Intervals.from_frame(frame)
    with pytest.raises(IntervalError, match="column start has type float64; it must hold whole"):
        Intervals.from_frame(frame.assign(start=[1.0, 2.0]))
    with pytest.raises(IntervalError, match="a list is no table of intervals"):
        as_intervals([("1", 0, 5)])


def test_as_intervals_takes_all_three():
    assert as_intervals(PEAKS) is PEAKS
    assert as_intervals(PEAKS.to_pyranges()) == PEAKS
    assert len(as_intervals(PEAKS.to_frame().iloc[:0])) == 0


def test_duplicates_are_later_copies_whatever_else_is_there():
    assert PEAKS.duplicated().tolist() == [False, False, False, False, True]
    assert PEAKS.duplicated().tolist() == PEAKS.to_frame().duplicated().tolist()


def test_a_contig_is_one_whether_it_was_read_as_a_number_or_as_text():
    frame = pd.DataFrame({"chrom": [1, "1", 1.0, b"1", "X"], "start": range(5), "end": [9] * 5})
    mixed = Intervals.from_frame(frame)
    assert mixed.contigs == ("1", "X")
    assert mixed.chrom.tolist() == ["1", "1", "1", "1", "X"]


@pytest.mark.parametrize("nothing", [None, float("nan"), pd.NA])
def test_a_row_without_a_contig_is_refused(nothing):
    with pytest.raises(IntervalError, match=r"1 row\(s\) have no name of a contig \(row 1\)"):
        Intervals.from_columns(["chr1", nothing], [0, 5], [9, 7])
    for ids in ([0, -1], [0, 1]):
        with pytest.raises(IntervalError, match="for 1 contigs"):
            Intervals(("chr1",), np.array(ids), np.array([0, 5]), np.array([9, 7]))


@pytest.mark.parametrize("start", [0.5, float("nan")])
def test_a_bound_that_is_not_whole_is_refused(start):
    with pytest.raises(IntervalError, match=r"row 1: .* is not a whole number of bp"):
        Intervals.from_columns(["chr1", "chr1"], [0.0, start], [9, 7])
    assert Intervals.from_columns(["chr1"], [2.0], [9]).names() == ["chr1:2-9"]
