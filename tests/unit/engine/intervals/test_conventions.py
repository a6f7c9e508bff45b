"""Widths show whether starts count from 0 or 1, wherever a table comes from."""

import pandas as pd
import pytest

from peakatlas.engine.errors import IntervalError
from peakatlas.engine.intervals.readers import intervals_from_frame
from peakatlas.engine.intervals.table import Intervals

GRANGES = pd.DataFrame({"seqnames": ["2", "X"], "start": [11, 400], "end": [30, 400]})


def test_a_frame_of_granges_is_read_by_its_widths():
    for column, widths in (("width", [20, 1]), ("Length", ["20", "1"])):
        frame = GRANGES.assign(**{column: widths})
        assert intervals_from_frame(frame).names() == ["2:10-30", "X:399-400"]
    with pytest.raises(IntervalError, match=r"q: a column 'seqnames' is of GRanges"):
        intervals_from_frame(GRANGES, "q")


def test_a_table_of_a_caller_is_too():
    frame = GRANGES.rename(columns={"seqnames": "chrom"})
    assert Intervals.from_frame(frame.assign(width=[20, 1])).names() == ["2:10-30", "X:399-400"]
    from_zero = frame.assign(start=[10, 399], width=[20, 1])
    assert Intervals.from_frame(from_zero).names() == ["2:10-30", "X:399-400"]
    with pytest.raises(IntervalError, match="whether starts count from 0 or 1 is unknown"):
        Intervals.from_frame(frame.assign(width=[20, 7]))


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA])
def test_missing_values_are_named(missing):
    frame = pd.DataFrame({"chrom": ["1", missing], "start": [1, 2], "end": [5, 6]})
    with pytest.raises(IntervalError, match=r"q: 1 value\(s\) of column 'chrom' .* row 1"):
        intervals_from_frame(frame, "q")
    bounds = pd.DataFrame({"chrom": ["1", "1"], "start": [1, missing], "end": [5, 6]})
    with pytest.raises(IntervalError, match=r"1 value.* of column 'start' are not whole numbers"):
        intervals_from_frame(bounds, "q")
    nullable = bounds.assign(start=pd.array([1, None], dtype="Int64"))
    with pytest.raises(IntervalError, match=r"1 value.* of column 'start' are not whole numbers"):
        intervals_from_frame(nullable, "q")


def test_names_of_contigs_as_numbers_and_columns_that_repeat():
    frame = pd.DataFrame({"chrom": [1.0, 2.0], "start": [1, 2], "end": [5, 6]})
    assert intervals_from_frame(frame).names() == ["1:1-5", "2:2-6"]
    twice = pd.concat([frame, frame[["start"]]], axis=1)
    with pytest.raises(IntervalError, match="2 columns are called 'start'"):
        intervals_from_frame(twice)
    with pytest.raises(IntervalError, match="are not whole numbers"):
        intervals_from_frame(frame.assign(end=[5, 1e30]))


def test_row_names_one_below_the_columns_show_that_these_count_from_one():
    frame = pd.DataFrame({"chr": ["2", "X"], "start": [11, 400], "end": [30, 410]})
    for names in (["2:10-30", "X:399-410"], ["2_10_30", "X-399-410"]):
        assert intervals_from_frame(frame.set_axis(names)).names() == ["2:10-30", "X:399-410"]
    for names in (["2:10-30", "X:400-410"], ["2:10-30", "Y:399-410"], ["a", "b"]):
        assert intervals_from_frame(frame.set_axis(names)).names() == ["2:11-30", "X:400-410"]


def test_a_table_of_saf_or_homer_is_known_by_its_first_column():
    frame = pd.DataFrame({"chr": ["2"], "start": [11], "end": [30], "GeneID": ["77"]})
    assert intervals_from_frame(frame).names() == ["2:11-30"]
    homer = frame.drop(columns="GeneID").set_axis(["p1"])
    homer.index.name = "PeakID (cmd=annotatePeaks.pl p.bed hg38)"
    with pytest.raises(IntervalError, match=r"q: a column 'peakid' is of HOMER"):
        intervals_from_frame(homer, "q")
