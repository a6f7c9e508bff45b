"""Readers: what is read, and the text of every refusal."""

import gzip
import io
import sys

import pandas as pd
import pytest

from peakatlas.engine.errors import IntervalError
from peakatlas.engine.intervals.readers import intervals_from_frame, parse_names, read_bed

GOOD = "chr1\t100\t600\tpeak\nchr2\t5\t25\nchr1\t0\t7\n"
NAMES = ["chr1:100-600", "chr2:5-25", "chr1:0-7"]


def write(tmp_path, text, name="peaks.bed"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        GOOD.replace("\n", "\r\n"),
        GOOD.replace("\t", " "),
        "# made by hand\n\ntrack name=x\nbrowser position chr1\n" + GOOD + "\n",
        "#chrom\tstart\tend\n" + GOOD,
        "chrom\tstart\tend\n" + GOOD,
        "\ufeff" + GOOD,
        gzip.compress(GOOD.encode(), mtime=0),
        GOOD.rstrip("\n"),
    ],
    ids=[
        "bed",
        "crlf",
        "spaces",
        "comments",
        "header",
        "plain header",
        "bom",
        "gzip",
        "no newline",
    ],
)
def test_read_bed_keeps_file_order_whatever_the_dressing(tmp_path, text):
    assert read_bed(write(tmp_path, text)).names() == NAMES


def test_narrowpeak_columns_after_the_third_are_ignored(tmp_path):
    line = "chr1\t9\t30\t.\t0\t.\t4.1\t-1\t-1\t10\n"
    assert read_bed(write(tmp_path, line)).names() == ["chr1:9-30"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# c\nchr1\t1\t5\nchr1\tx\t9\n",
         "peaks.bed line 3: start 'x' is not a whole number of 0 or more. BED is 0-based "
         "half-open; fix or remove the line."),
        ("chr1\t-4\t5\n", "peaks.bed line 1: start '-4' is not a whole number"),
        ("chr1\t4\t5.0\n", "peaks.bed line 1: end '5.0' is not a whole number"),
        ("chr1\t4\t5_0\n", "peaks.bed line 1: end '5_0' is not a whole number"),
        ("chr1\t1\t2\nchr1\t600\t100\n", "peaks.bed line 2: chr1:600-100 breaks start < end."),
        ("chr1\t7\t7\n", "peaks.bed line 1: chr1:7-7 breaks start < end."),
        ("chr1\t7\n", "peaks.bed line 1: has 2 column(s), BED needs chrom, start and end."),
        ("chr1\t7\t9\n" + "chr1\ta\tb\n" * 7,
         "peaks.bed line 2: start 'a' is not a whole number of 0 or more "
         "(7 such lines: 2, 3, 4, 5, 6, …)"),
        ("", "peaks.bed: no intervals in the file. It is empty or all comments."),
        ("# only\n\n", "peaks.bed: no intervals in the file."),
        (gzip.compress(GOOD.encode(), mtime=0)[:-9], "peaks.bed: truncated or damaged gzip data"),
        (b"\xff\xfe\x00chr1", "peaks.bed: not a text file"),
    ],
)  # fmt: skip
def test_refusals_name_the_line_the_value_and_the_remedy(tmp_path, text, message):
    with pytest.raises(IntervalError) as raised:
        read_bed(write(tmp_path, text))
    assert str(raised.value).startswith(message)


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(IntervalError, match=r"none\.bed: no such file"):
        read_bed(tmp_path / "none.bed")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("chr1:100-600", ("chr1", 100, 600)),
        ("chr1-100-600", ("chr1", 100, 600)),
        ("chr1_100_600", ("chr1", 100, 600)),
        ("chrUn_KI270742v1_5_25", ("chrUn_KI270742v1", 5, 25)),
        ("HLA-A*01:01:01-5-25", ("HLA-A*01:01:01", 5, 25)),
        ("NC_000001.11:7-9", ("NC_000001.11", 7, 9)),
        ("HLA-DRB1-1-2", ("HLA-DRB1", 1, 2)),
    ],
)
def test_parse_names(name, expected):
    peaks = parse_names([name])
    assert (peaks.chrom[0], peaks.start[0], peaks.end[0]) == expected


def test_parse_names_shows_the_first_five_and_the_count():
    with pytest.raises(IntervalError) as raised:
        parse_names(["chr1:1-2", *(f"gene{i}" for i in range(7))], "q.h5ad var_names")
    assert str(raised.value) == (
        "q.h5ad var_names: 7 of 8 are not peak names: row 1 'gene0', row 2 'gene1', row 3 'gene2', "
        "row 4 'gene3', row 5 'gene4'. Write them as chr1:100-600 (0-based half-open), "
        "chr1-100-600 or chr1_100_600."
    )


@pytest.mark.parametrize("name", ["chr1:-5-200", "chr1--5-200", "chr1__5_200", ":5-200"])
def test_a_start_below_zero_is_no_part_of_a_contig(name):
    with pytest.raises(IntervalError, match="1 of 1 are not peak names"):
        parse_names([name])
    assert parse_names(["1:5-9"]).contigs == ("1",)


def test_parse_names_refuses_reversed_bounds_with_the_source():
    with pytest.raises(IntervalError, match=r"^q: 1 interval\(s\) break .* row 0 \(chr1:9-3\)"):
        parse_names(["chr1:9-3"], "q")


@pytest.mark.parametrize(
    "columns",
    [("chrom", "start", "end"), ("chr", "chromStart", "chromEnd"), ("Chromosome", "Start", "End"),
     ("contig", "start", "stop")],
)  # fmt: skip
def test_frame_columns_and_aliases(columns):
    frame = pd.DataFrame(dict(zip(columns, (["chr1", "chr2"], [1, 2], [5, 6]), strict=True)))
    assert intervals_from_frame(frame, "q").names() == ["chr1:1-5", "chr2:2-6"]


def test_frame_reads_categories_and_strings_and_falls_back_to_row_names():
    frame = pd.DataFrame({"chr": pd.Categorical(["chr1"]), "start": ["7"], "end": [9.0]})
    assert intervals_from_frame(frame, "q").names() == ["chr1:7-9"]
    assert intervals_from_frame(pd.DataFrame(index=["chr1_7_9"]), "q").names() == ["chr1:7-9"]


def test_frame_refuses_values_that_are_not_whole():
    frame = pd.DataFrame({"chrom": ["chr1"] * 3, "start": [1, 2.5, None], "end": [5, 6, 7]})
    with pytest.raises(
        IntervalError, match=r"q: 2 value\(s\) of column 'start' .* row 1 2.5, row 2 nan"
    ):
        intervals_from_frame(frame, "q")


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_standard_input(monkeypatch, pack):
    def piped(text: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(pack(text))))

    piped(b"chr1\t5\t9\n")
    assert read_bed("-").names() == ["chr1:5-9"]
    piped(b"chr1\t5\n")
    with pytest.raises(IntervalError, match=r"standard input line 1: has 2 column\(s\)"):
        read_bed("-")
