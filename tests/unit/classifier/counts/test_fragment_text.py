"""Fragments as people have them are counted right, or refused with the remedy."""

from __future__ import annotations

import gzip
import os
import struct
import zlib
from threading import Thread

import pytest

from peakatlas.classifier.counts.fragment_counts import FragmentOptions, count_fragments
from peakatlas.classifier.counts.fragment_lines import MAX_LINE_BYTES
from peakatlas.classifier.counts.fragments import FragmentReader
from peakatlas.engine.errors import IntervalError
from peakatlas.engine.gzip_stream import BGZF_EOF
from peakatlas.engine.intervals.table import Intervals

LINES = "# id=x y\nc1\t5\t40\tAA-1\t2\nc1\t9\t31\tGG-1\t1\nc1\t80\t95\tAA-1\t1\n"
FOUND = [("c1", 5, 40, "AA-1"), ("c1", 9, 31, "GG-1"), ("c1", 80, 95, "AA-1")]


def read(folder, text: str | bytes, **options) -> list[tuple[str, int, int, str]]:
    path = folder / "f.tsv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return found_in(FragmentReader(path, **options))


def found_in(reader: FragmentReader) -> list[tuple[str, int, int, str]]:
    return [
        (reader.contigs[c], int(start), int(end), reader.barcodes[b])
        for block in reader.blocks()
        for c, b, start, end in zip(
            block.contig_ids, block.barcode_ids, block.start, block.end, strict=True
        )
    ]


@pytest.mark.parametrize(
    "text",
    [
        LINES,
        "\ufeff" + LINES,
        "\ufeff" + LINES.partition("\n")[2],
        LINES.replace("c1\t80", "\ufeffc1\t80"),
        LINES.replace("\n", "\r\n"),
        LINES.replace("\n", "\r"),
        LINES.replace("\n", "\r\r\n"),
        LINES.replace("\n", "  \n"),
        LINES.replace("\tAA-1", " \t  AA-1 ").replace("c1\t80", "  c1 \t80"),
        LINES.replace("\n", "\n\n#late\n") + "\n\n",
        LINES.rstrip("\n"),
        gzip.compress(LINES[:40].encode()) + gzip.compress(LINES[40:].encode()) + bytes(40),
        LINES.replace("\t2\n", "\n").replace("\t1\n", "\n"),
    ],
    ids=["plain", "bom", "bom before data", "bom within", "crlf", "cr", "crcrlf", "blanks at ends",
         "blanks about tabs", "blank lines and comments", "no end", "members and padding",
         "four columns"],
)  # fmt: skip
@pytest.mark.parametrize("block_bytes", [1 << 20, 7])
def test_the_dressing_is_left_out(tmp_path, text, block_bytes):
    assert read(tmp_path, text, block_bytes=block_bytes) == FOUND


def test_blanks_within_a_barcode_belong_to_it(tmp_path):
    assert read(tmp_path, "c1\t5\t40\tdonor 1 AA \t1\n") == [("c1", 5, 40, "donor 1 AA")]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("c1\t5\t9\tc1\t20\t24\tAA-1\t60\t+\t-\n", "line 1: the fourth column is a contig, as in"),
        ("1\t5\t9\t1\t20\t24\n1\t6\t9\t.\t-1\t-1\n", "the fourth column is a contig, as in BEDPE"),
        ("c1\t5\t9\tchr8\t20\t24\n", "the fourth column is a contig, as in BEDPE"),
        (LINES.encode("utf-16"), "line 1: UTF-16 text. Write it as UTF-8"),
        ("c1\t5\t9\tA\t1\n" + "c1" * MAX_LINE_BYTES, "line 2: longer than 1,048,576 bytes"),
        (b"c1\t5\t9\tA\xe9\t1\nc1\t5\t9\tA\xe8\t1\n", "line 1: barcode 'A\ufffd' is no name."),
        ("c1\t5\t9\tA\t1\nc1\t6\t9\tA\t\x01\n", "line 2: has control characters."),
        ("chrom\tstart\tend\tbarcode\n", "line 1: start 'start' is not a whole number"),
        ("c1\t1e3\t2000\tA\n", "line 1: start '1e3' is not a whole number"),
        (b"", "no fragments in the file. It is empty or all comments."),
    ],
)
def test_refused(tmp_path, text, fault):
    with pytest.raises(IntervalError) as caught:
        read(tmp_path, text, block_bytes=1 << 19)
    assert fault in str(caught.value)


STRANDED = "c1\t5\t40\tAA-1\t1\t+\nc1\t9\t31\tAA-1\t1\t-\nc1\t10\t99\tGG-1\t1\t-\n"
SITES = Intervals.from_columns(["c1"] * 4, [5, 30, 39, 98], [10, 31, 40, 99])


def counts(folder, text: str, **options) -> tuple[dict[str, list[int]], dict[str, object]]:
    (folder / "f.tsv").write_text(text)
    found = count_fragments([folder / "f.tsv"], SITES, options=FragmentOptions(**options))
    by_cell = dict(zip(found.obs_names, found.X.toarray().tolist(), strict=True))
    return by_cell, found.uns["fragments"]


@pytest.mark.parametrize("counting", ["insertions", "paired"])
def test_of_single_end_reads_the_begin_is_a_site(tmp_path, counting):
    found, record = counts(tmp_path, STRANDED, single_end=True, counting=counting)
    assert found == {"AA-1": [1, 1, 0, 0], "GG-1": [0, 0, 0, 1]}
    assert record["strand_column"] and record["single_end"]


def test_both_ends_count_without_the_option_and_the_record_says_so(tmp_path):
    found, record = counts(tmp_path, STRANDED)
    assert found == {"AA-1": [2, 1, 1, 0], "GG-1": [0, 0, 0, 1]}
    assert record["strand_column"] and not record["single_end"]
    assert not counts(tmp_path, LINES)[1]["strand_column"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (LINES, "line 2: has 5 column(s), at least 6 are needed and a strand in the sixth"),
        (STRANDED.replace("\t-\n", "\t.\n"), "line 2: strand '.' is neither + nor -"),
    ],
)
def test_single_end_needs_strands(tmp_path, text, fault):
    with pytest.raises(IntervalError) as caught:
        counts(tmp_path, text, single_end=True)
    assert fault in str(caught.value)


def test_listed_barcodes_that_do_not_occur_are_named(tmp_path):
    (tmp_path / "f.tsv").write_text(LINES)
    with pytest.warns(UserWarning, match="2 of the 3 barcodes .* not occur .*: TT-1, CC-1$"):
        found = count_fragments([tmp_path / "f.tsv"], SITES, barcodes=["TT-1", "GG-1", "CC-1"])
    assert found.obs_names.tolist() == ["GG-1"]
    assert found.uns["fragments"]["listed_but_absent"] == 2


def bgzf(data: bytes) -> bytes:
    """One block."""
    packer = zlib.compressobj(wbits=-15)
    packed = packer.compress(data) + packer.flush()
    head = BGZF_EOF[:16] + (len(packed) + 25).to_bytes(2, "little")
    return head + packed + struct.pack("<II", zlib.crc32(data), len(data))


@pytest.mark.parametrize("packed", [bytes, gzip.compress, lambda data: bgzf(data) + BGZF_EOF])
def test_a_pipe_is_read(tmp_path, packed):
    assert piped(tmp_path, packed(LINES.encode())) == FOUND


def test_bgzf_from_a_pipe_without_its_end_is_refused(tmp_path):
    with pytest.raises(IntervalError, match="BGZF end-of-file block is absent"):
        piped(tmp_path, bgzf(LINES.encode()))


def piped(folder, data: bytes) -> list[tuple[str, int, int, str]]:
    path = folder / "pipe"
    os.mkfifo(path)
    writer = Thread(target=path.write_bytes, args=(data,))
    writer.start()
    try:
        return found_in(FragmentReader(path))
    finally:
        writer.join()
