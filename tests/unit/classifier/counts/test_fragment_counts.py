"""Fragments are counted as by hand, whatever the blocks; faults name the file and the line."""

from __future__ import annotations

import gzip
import io
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peakatlas.classifier.counts.barcode_lists import read_barcodes
from peakatlas.classifier.counts.fragment_counts import FragmentOptions, count_fragments
from peakatlas.classifier.counts.fragments import FragmentReader
from peakatlas.classifier.counts.matrix import read_counts
from peakatlas.engine.errors import ContigError, CountsError, IntervalError
from peakatlas.engine.intervals.readers import read_bed
from peakatlas.engine.intervals.table import Intervals

PBSMALL = Path(__file__).parents[4] / "shared/data/fragments/PBSmall.tsv.gz"
PEAKS = Intervals.from_columns(["chr2", "chr1", "chr1"], [0, 100, 300], [50, 200, 400])
LINES = """# a comment
chr1\t90\t150\tAA-1\t1
chr1\t100\t200\tAA-1\t7
chr1\t150\t350\tCC-1\t1
chr1\t200\t300\tCC-1\t1
chr2\t49\t99\tAA-1\t2
chr3\t1\t2\tGG-1\t1
"""
# Sites: AA 90 149 | 100 199 | 49 98; CC 150 349 | 200 299; GG elsewhere.
EXPECTED = {"AA-1": [1, 3, 0], "CC-1": [0, 1, 1], "GG-1": [0, 0, 0]}


def written(folder: Path, text: str = LINES, name: str = "f.tsv", *, packed: bool = False) -> Path:
    data = text.encode()
    (folder / name).write_bytes(gzip.compress(data) if packed else data)
    return folder / name


def by_cell(adata) -> dict[str, list[int]]:
    return dict(zip(adata.obs_names, adata.X.toarray().tolist(), strict=True))


@pytest.mark.parametrize("packed", [False, True])
def test_sites_are_counted_on_peaks(tmp_path, packed):
    counted = count_fragments([written(tmp_path, packed=packed)], PEAKS)
    assert by_cell(counted) == EXPECTED
    assert counted.var_names.tolist() == ["chr2:0-50", "chr1:100-200", "chr1:300-400"]
    assert counted.obs["n_fragments"].tolist() == [3, 2, 1]
    assert list(counted.obs) == ["n_fragments"]
    record = counted.uns["fragments"]
    assert (record["fragments"], record["fragments_of_cells"], record["barcodes"]) == (6, 6, 3)


def test_what_is_written_can_be_annotated(tmp_path):
    count_fragments([written(tmp_path)], PEAKS).write_h5ad(tmp_path / "c.h5ad")
    counts = read_counts(tmp_path / "c.h5ad")
    assert counts.peaks == PEAKS
    assert counts.depth.tolist() == [4, 2, 0]


def test_both_ends_in_one_peak_count_once_when_paired(tmp_path):
    options = FragmentOptions(counting="paired")
    counted = count_fragments([written(tmp_path)], PEAKS, options=options)
    assert by_cell(counted) == {"AA-1": [1, 2, 0], "CC-1": [0, 1, 1], "GG-1": [0, 0, 0]}


def test_a_site_in_several_peaks_counts_for_each(tmp_path):
    peaks = Intervals.from_columns(["chr1"] * 3, [80, 90, 100], [151, 91, 150])
    for counting, counts in (("insertions", [2, 1, 1]), ("paired", [1, 1, 1])):
        file = written(tmp_path, "chr1\t90\t150\tA\n")
        counted = count_fragments([file], peaks, options=FragmentOptions(counting=counting))
        assert by_cell(counted) == {"A": counts}


def test_cells_by_list_come_in_its_order(tmp_path):
    (tmp_path / "list.gz").write_bytes(gzip.compress(b"#of cells\nTT-1\nCC-1\tx\n\nAA-1,1\r\n"))
    listed = read_barcodes(tmp_path / "list.gz")
    assert listed == ["TT-1", "CC-1", "AA-1"]
    file = written(tmp_path)
    counted = count_fragments([file], PEAKS, barcodes=listed)
    assert by_cell(counted) == {"CC-1": EXPECTED["CC-1"], "AA-1": EXPECTED["AA-1"]}
    unfiltered = FragmentOptions(min_fragments=0)
    counted = count_fragments([file], PEAKS, barcodes=listed, options=unfiltered)
    assert counted.obs_names.tolist() == listed
    assert counted.obs["n_fragments"].tolist() == [0, 2, 3]


def test_cells_by_depth(tmp_path):
    options = FragmentOptions(min_fragments=3)
    counted = count_fragments([written(tmp_path)], PEAKS, options=options)
    assert by_cell(counted) == {"AA-1": EXPECTED["AA-1"]}
    assert counted.uns["fragments"]["fragments"] == 6
    with pytest.raises(CountsError, match="none of 3 barcodes has 4 fragments; the deepest has 3"):
        count_fragments([written(tmp_path)], PEAKS, options=FragmentOptions(min_fragments=4))


def test_several_files_keep_their_barcodes_apart(tmp_path):
    files = [written(tmp_path, name="s1.tsv"), written(tmp_path, name="s2.tsv.gz", packed=True)]
    counted = count_fragments(files, PEAKS)
    assert by_cell(counted) == {f"{s}_{c}": n for s in ("s1", "s2") for c, n in EXPECTED.items()}
    assert counted.obs["sample"].tolist() == ["s1"] * 3 + ["s2"] * 3
    named = count_fragments(files, PEAKS, prefixes=["x", "y"], barcodes=["y_AA-1", "x_CC-1"])
    assert by_cell(named) == {"y_AA-1": EXPECTED["AA-1"], "x_CC-1": EXPECTED["CC-1"]}
    assert named.obs["sample"].tolist() == ["y", "x"]


def test_prefixes_must_fit_and_differ(tmp_path):
    files = [written(tmp_path), written(tmp_path)]
    with pytest.raises(CountsError, match=r"1 prefix\(es\) for 2 file\(s\)"):
        count_fragments(files, PEAKS, prefixes=["a"])
    with pytest.raises(CountsError, match="several files have the prefix 'f'"):
        count_fragments(files, PEAKS)


def test_scaffolds_that_both_styles_call_alike_hide_no_other_style(tmp_path):
    file = written(tmp_path, LINES.replace("chr", "") + "GL1.1\t0\t20\tAA-1\t1\n")
    peaks = Intervals.concatenate([PEAKS, Intervals.from_columns(["GL1.1"], [0], [90])])
    with pytest.raises(ContigError, match=r"its contigs \(1, 2, 3\) has peaks .* --match-contigs"):
        count_fragments([file], peaks)
    counted = count_fragments([file], peaks, options=FragmentOptions(match_contigs=True))
    assert counted["AA-1"].X.toarray()[0].tolist() == [*EXPECTED["AA-1"], 2]


def test_contigs_of_another_style(tmp_path):
    file = written(tmp_path, LINES.replace("chr", ""))
    with pytest.raises(ContigError) as caught:
        count_fragments([file], PEAKS)
    assert str(caught.value) == (
        "f.tsv: none of its contigs (1, 2, 3) has peaks (they lie on chr2, chr1). "
        "Only the naming style differs: use --match-contigs."
    )
    options = FragmentOptions(match_contigs=True)
    assert by_cell(count_fragments([file], PEAKS, options=options)) == EXPECTED
    with pytest.raises(ContigError, match="Give peaks of the genome"):
        count_fragments([written(tmp_path, "chrQ\t1\t2\tA\n")], PEAKS, options=options)


def test_standard_input(monkeypatch):
    for data in (LINES.encode(), gzip.compress(LINES.encode())):
        stream = io.TextIOWrapper(io.BufferedReader(io.BytesIO(data)))
        monkeypatch.setattr(sys, "stdin", stream)
        assert by_cell(count_fragments(["-"], PEAKS)) == EXPECTED


def test_repeats_are_refused(tmp_path):
    file = written(tmp_path)
    with pytest.raises(CountsError, match="1 peaks occur more than once: chr1:100-200"):
        count_fragments([file], PEAKS.take([0, 1, 1]))
    with pytest.raises(CountsError, match="1 barcodes of the list occur more than once: AA-1"):
        count_fragments([file], PEAKS, barcodes=["AA-1", "CC-1", "AA-1"])


def test_a_list_of_other_cells(tmp_path):
    with pytest.raises(CountsError) as caught:
        count_fragments([written(tmp_path)], PEAKS, barcodes=["AA", "CC"])
    assert str(caught.value) == (
        "none of the 2 barcodes of the list (AA, CC) occurs in the fragments (AA-1, CC-1, GG-1). "
        "Write them alike."
    )


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ("chr1\t1\t2\n", "line 4: has 3 column(s), at least 4 are needed."),
        ("chr1\t1\t2\tA\n", "line 4: has 4 columns, the lines before have 5."),
        ("chr1 1 2 A 1\n", "line 4: has 1 column(s)"),
        ("chr1\t-1\t2\tA\t1\n", "line 4: start '-1' is not a whole number of 0 or more."),
        ("chr1\t1\t2.0\tA\t1\n", "line 4: end '2.0' is not a whole number of 0 or more."),
        ("chr1\t\t2\tA\t1\n", "line 4: start '' is not a whole number"),
        (f"chr1\t1\t{10**16}\tA\t1\n", "line 4: end '10000000000000000' is not a whole"),
        ("chr1\t500\t500\tA\t1\n", "line 4: chr1:500-500 breaks start < end."),
        ("chr1\t600\t700\t\t1\n", "line 4: barcode '' is no name."),
        ("\t600\t700\tA\t1\n", "line 4: chrom '' is no name."),
        ("chr1\t600\t700\tA\0B\t1\n", "line 4: barcode 'A\\x00B' is no name."),
        ("chr1\t30\t70\tA\t1\n", "line 4: start 30 comes after start 500 of chr1. Sort the file"),
        ("chr2\t1\t2\tA\t1\nchr1\t600\t900\tA\t1\n", "line 5: chr1 occurs again after chr2."),
        ("#late\n\nchr1\t1\tx\tA\t1\n", "line 6: end 'x' is not a whole number"),
    ],
)
@pytest.mark.parametrize("block_bytes", [1 << 20, 8])
def test_a_faulty_line_is_named(tmp_path, lines, fault, block_bytes):
    text = f"#head\nchr1\t400\t450\tA\t1\nchr1\t500\t550\tA\t1\n{lines}"
    for name, ends in (("unix.tsv", "\n"), ("dos.tsv", "\r\n")):
        file = written(tmp_path, text.replace("\n", ends), name)
        reader = FragmentReader(file, block_bytes=block_bytes)
        with pytest.raises(IntervalError) as caught:
            list(reader.blocks())
        assert str(caught.value).startswith(f"{name} {fault}")


def test_any_order_on_request(tmp_path):
    lines = LINES.splitlines()
    file = written(tmp_path, "\n".join(reversed(lines)))
    with pytest.raises(IntervalError, match=r"line 4: start 150 comes after start 200 of chr1"):
        count_fragments([file], PEAKS)
    counted = count_fragments([file], PEAKS, options=FragmentOptions(any_order=True))
    assert by_cell(counted) == EXPECTED


def test_damaged_and_empty_files(tmp_path):
    text = "".join(f"chr1\t{i}\t{i + 5}\tA{i % 7}\t1\n" for i in range(20_000))
    whole = gzip.compress(text.encode())
    (tmp_path / "cut.gz").write_bytes(whole[:-2000])
    with pytest.raises(IntervalError, match=r"cut\.gz: truncated or damaged gzip data after line"):
        list(FragmentReader(tmp_path / "cut.gz", block_bytes=1000).blocks())
    (tmp_path / "c.tsv").write_text("# nothing\n\n")
    with pytest.raises(IntervalError, match=r"c\.tsv: no fragments in the file"):
        count_fragments([tmp_path / "c.tsv"], PEAKS)
    with pytest.raises(IntervalError, match=r"none\.tsv: no such file"):
        count_fragments([tmp_path / "none.tsv"], PEAKS)


def test_a_bgzf_file_cut_between_blocks(tmp_path):
    block = bytearray(gzip.compress(b"chr1\t1\t2\tA\n", mtime=0))
    # The extra field of BGZF, which says how long the block is.
    block[3] |= 4
    block[10:10] = b"\x06\x00BC\x02\x00" + (len(block) + 7).to_bytes(2, "little")
    (tmp_path / "b.tsv.gz").write_bytes(block)
    with pytest.raises(IntervalError, match=r"b\.tsv\.gz: truncated: its last block"):
        list(FragmentReader(tmp_path / "b.tsv.gz").blocks())
    end = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
    (tmp_path / "b.tsv.gz").write_bytes(bytes(block) + end)
    reader = FragmentReader(tmp_path / "b.tsv.gz")
    assert [len(found) for found in reader.blocks()] == [1]
    assert reader.barcodes == ["A"]


def test_progress_adds_up_to_the_file(tmp_path):
    file, seen = written(tmp_path, packed=True), []
    count_fragments([file], PEAKS, progress=seen.append)
    assert sum(seen) == file.stat().st_size


def naive(text: str, peaks: Intervals, counting: str) -> dict[str, list[int]]:
    """One fragment and one peak at a time."""
    cells: dict[str, list[int]] = {}
    for line in text.splitlines():
        chrom, start, end, barcode = line.split("\t")[:4]
        row = cells.setdefault(barcode, [0] * len(peaks))
        for i in range(len(peaks)):
            sites = [int(start), int(end) - 1] if peaks.chrom[i] == chrom else []
            inside = sum(peaks.start[i] <= site < peaks.end[i] for site in sites)
            row[i] += int(inside) if counting == "insertions" else int(inside > 0)
    return cells


contigs = st.sampled_from(["chr1", "chr2", "a_contig_of_a_long_name", "chrUn"])
barcode_texts = st.text("ACGTé.-1", min_size=1, max_size=19)
fragment_rows = st.tuples(contigs, st.integers(0, 60), st.integers(1, 40), st.integers(0, 5))
peak_rows = st.tuples(contigs, st.integers(0, 60), st.integers(1, 40))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(fragment_rows, min_size=1, max_size=40),
    st.lists(peak_rows, min_size=1, max_size=10, unique=True),
    st.lists(barcode_texts, min_size=6, max_size=6, unique=True),
    st.sampled_from(["insertions", "paired"]),
    st.sampled_from([0, 10**7, 10**9]),
    st.sampled_from([20, 100, 1 << 20]),
)
def test_counts_are_those_of_a_loop(
    tmp_path_factory, rows, peaks, names, counting, offset, block_bytes
):
    text = "".join(
        f"{chrom}\t{start + offset}\t{start + width + offset}\t{names[cell]}\t1\n"
        for chrom, start, width, cell in sorted(rows)
    )
    chrom, start, width = zip(*peaks, strict=True)
    begin = np.array(start) + offset
    elements = Intervals.from_columns(chrom, begin, begin + np.array(width))
    file = written(tmp_path_factory.mktemp("f"), text)
    if not {row[0] for row in rows} & set(chrom):
        with pytest.raises(ContigError):
            count_fragments([file], elements)
        return
    options = FragmentOptions(counting=counting)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("peakatlas.classifier.counts.fragments.BLOCK_BYTES", block_bytes)
        counted = count_fragments([file], elements, options=options)
    assert by_cell(counted) == naive(text, elements, counting)


@pytest.mark.skipif(not PBSMALL.exists(), reason="the data folder ../shared/data is not there")
def test_real_fragments_as_by_hand(tmp_path):
    bed = "".join(f"chr5\t{i}\t{i + 400}\n" for i in range(0, 2_000_000, 1000))
    (tmp_path / "p.bed").write_text(bed + "chr11\t100000\t90000000\n")
    peaks = read_bed(tmp_path / "p.bed")
    counted = count_fragments([PBSMALL], peaks)
    text = gzip.decompress(PBSMALL.read_bytes()).decode()
    fragments = [line.split("\t") for line in text.splitlines()]
    assert counted.obs["n_fragments"].to_dict() == Counter(row[3] for row in fragments)
    assert (counted.n_obs, counted.uns["fragments"]["fragments"]) == (150, 29399)
    sites = [(row[0], site) for row in fragments for site in (int(row[1]), int(row[2]) - 1)]
    small = sum(c == "chr5" and s < 2_000_000 and s % 1000 < 400 for c, s in sites)
    assert small > 100
    assert counted.X[:, :-1].sum() == small
    assert counted.X[:, -1].sum() == sum(
        c == "chr11" and 100_000 <= s < 90_000_000 for c, s in sites
    )
