"""BED and its relatives as people have them: read right, or refused with the remedy."""

from __future__ import annotations

import pytest

from peakatlas.engine.errors import IntervalError
from peakatlas.engine.intervals.readers import read_bed

RIGHT = ["chrX:49-90", "7:0-12", "chrX:5-6"]
PLAIN = "chrX\t49\t90\n7\t0\t12\nchrX\t5\t6\n"


def read(folder, text: str | bytes) -> list[str]:
    path = folder / "p.bed"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_bed(path).names()


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        PLAIN.replace("\n", "\r"),
        PLAIN.replace("\n", " \r\n"),
        PLAIN.replace("\t", " \t "),
        PLAIN.replace("\n", "\t\n"),
        "\ufeff" + PLAIN.replace("chrX", '"chrX"'),
        PLAIN.encode("utf-16"),
        PLAIN.replace("7\t", "  # in between\ntrack type=bed\n\t\nbrowser hide all\n7\t"),
        "CHROM\tSTART\tEND\n" + PLAIN,
        '"chrom" "start" "end"\n"1" "chrX" 49 90\n"2" "7" 0 12\n"3" "chrX" 5 6\n',
        "chrom,start,end,name\nchrX,49,90,a\n7,0,12,b\nchrX,5,6,c\n",
        "#bin\tchrom\tchromStart\tchromEnd\n9\tchrX\t49\t90\n9\t7\t0\t12\n9\tchrX\t5\t6\n",
        "name\tend\tstart\tchr\na\t90\t49\tchrX\nb\t12\t0\t7\nc\t6\t5\tchrX\n",
        "chr\tstart\tend\tlength\nchrX\t49\t90\t41\n7\t0\t12\t12\nchrX\t5\t6\t1\n",
        "# MACS\n\nchr\tstart\tend\tlength\tname\n"
        "chrX\t50\t90\t41\ta\n7\t1\t12\t12\tb\nchrX\t6\t6\t1\tc\n",
        "seqnames start end width strand\n1 chrX 50 90 41 *\n2 7 1 12 12 *\n3 chrX 6 6 1 *\n",
        "Geneid\tChr\tStart\tEnd\tStrand\tLength\n"
        "1\tchrX\t50\t90\t+\t41\n2\t7\t1\t12\t+\t12\n3\tchrX\t6\t6\t+\t1\n",
    ],
    ids=["plain", "cr", "crlf and blanks", "blanks about tabs", "tab at the end", "bom and quotes",
         "utf-16", "comments in between", "capital names", "names of rows, as R writes", "csv",
         "ucsc table", "other order", "length from 0", "macs", "granges", "featurecounts"],
)  # fmt: skip
def test_read_right(tmp_path, text):
    assert read(tmp_path, text) == RIGHT


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("chr1\t5\t9\tchr1\t20\t24\tread\t60\t+\t-\n", "a second interval follows the first"),
        ("7\t5\t9\t8\t20\t24\n8\t5\t9\t.\t-1\t-1\n", "cut -f1-3"),
        ("GeneID\tChr\tStart\tEnd\tStrand\n1\t1\t5\t9\t+\n", "of SAF, whose starts count from 1"),
        ("#PeakID\tchr\tstart\tend\tstrand\n1\t1\t5\t9\t+\n", "of HOMER, whose starts count from"),
        ("PeakID (cmd=annotatePeaks.pl p.bed hg38)\tChr\tStart\tEnd\n1\t1\t5\t9\n", "of HOMER"),
        ("seqnames\tstart\tend\nchr1\t5\t9\n", "of GRanges, whose starts count from 1"),
        ("chr\tstart\tend\tlength\n1\t5\t9\t4\n1\t5\t9\t5\n1\t5\t9\t5\n", "row 0 5-9 of 4 bp"),
        ("chr\tstart\tend\twidth\nchr1\t0\t9\t10\n", "a start is 0 though starts count from 1"),
        ("chr\tstart\tend\twidth\nchr1\t3\t9\n", "line 2: has 3 column(s)"),
        ("chr1\t\t5\t9\n", "start '' is not a whole number"),
        ("\t5\t9\n", "has no name of a contig"),
        ("chr1\t1e3\t2000\n", "start '1e3' is not a whole number"),
        ("chr1\t1,000\t2,000\n", "start '1,000' is not a whole number"),
        ("chr1\t٣\t9\n", "start '٣' is not a whole number"),
        (f"chr1\t5\t{2**70}\n", "is not a whole number"),
        ("chr1\t5\t9\nchr1\t5\t\n", "line 2: end '' is not a whole number"),
        (b"chr1\t5\t9\nchr1\0\t5\t9\n", "not a text file (byte 13)"),
        ("\r\r\r", "no intervals in the file"),
        ("\x1f", "line 1: has 0 column(s)"),
    ],
)
def test_refused(tmp_path, text, fault):
    with pytest.raises(IntervalError) as caught:
        read(tmp_path, text)
    assert fault in str(caught.value)


def test_names_that_repeat_the_contig_are_no_pairs(tmp_path):
    assert read(tmp_path, "chr1\t5\t9\tchr1\t20\t+\n") == ["chr1:5-9"]


@pytest.mark.parametrize(
    "text",
    [
        "chr1\t5\t9\tchr1_5_9\t20\t24\nchr1\t12\t15\tchr1_12_15\t3\t8\n",
        "chr1\t5\t9\t.\t0\t7\nchr1\t12\t15\t.\t0\t8\n",
        "chr1\t5\t9\tchr1\t20\t3\nchr1\t12\t15\tchr1\t1\t8\n",
    ],
    ids=["names of peaks and counts", "no names and counts", "counts that fall"],
)
def test_counts_beside_a_name_are_no_pairs(tmp_path, text):
    assert read(tmp_path, text) == ["chr1:5-9", "chr1:12-15"]


def test_a_gene_beside_each_peak_says_nothing_of_where_starts_count_from(tmp_path):
    assert read(tmp_path, "chrom\tstart\tend\tGeneID\n1\t5\t9\t77\n") == ["1:5-9"]
