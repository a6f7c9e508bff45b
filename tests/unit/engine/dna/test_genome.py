"""Genome access against slicing strings, and the text of every refusal."""

import base64
import gzip
import hashlib
import zlib

import numpy as np
import pytest

from peakatlas.engine.dna.genome import Genome, PeakFasta, open_genome
from peakatlas.engine.dna.sequences import Sequences
from peakatlas.engine.dna.windows import parse_window, window_digests
from peakatlas.engine.errors import ContigError, GenomeError
from peakatlas.engine.gzip_stream import BGZF_EOF
from peakatlas.engine.intervals.contig_names import match_contigs
from peakatlas.engine.intervals.readers import parse_names
from peakatlas.engine.intervals.table import Intervals


def bgzf(data: bytes, block: int = 300) -> bytes:
    """Minimal BGZF writer (SAM specification 4.1)."""
    out = b""
    for i in range(0, len(data), block):
        part = data[i : i + block]
        deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
        body = deflate.compress(part) + deflate.flush()
        size = (len(body) + 25).to_bytes(2, "little")
        head = bytes.fromhex("1f8b08040000000000ff0600424302 00".replace(" ", "")) + size
        out += head + body + zlib.crc32(part).to_bytes(4, "little")
        out += len(part).to_bytes(4, "little")
    return out + BGZF_EOF


def intervals(contigs, n=200):
    rng = np.random.default_rng(1)
    chrom = rng.choice(list(contigs), n)
    size = np.array([len(contigs[name]) for name in chrom])
    start = rng.integers(0, size)
    return Intervals.from_columns(chrom, start, start + rng.integers(1, 200, n))


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bgzf], ids=["plain", "gzip", "bgzf"])
def test_fetch_equals_upper_case_slices_clipped_at_the_contig_end(
    tmp_path, genome_file, contigs, pack
):
    path = tmp_path / "genome.any"
    path.write_bytes(pack(genome_file.read_bytes()))
    genome = open_genome(path)
    peaks = intervals(contigs)
    expected = [
        contigs[c][s:e].upper() for c, s, e in zip(peaks.chrom, peaks.start, peaks.end, strict=True)
    ]
    fetched = genome.fetch(peaks)
    assert [fetched[i] for i in range(len(peaks))] == expected
    assert dict(genome.contig_sizes) == {"chr1": 997, "chrM": 60}


def test_crlf_and_lines_of_one_length(tmp_path):
    path = tmp_path / "crlf.fa"
    path.write_bytes(b">a\r\nACGT\r\nTTGG\r\nC\r\n>b\r\nGG\r\n")
    genome = Genome(path)
    assert genome.fetch(parse_names(["a:2-9", "b:0-2", "a:0-1"]))[0] == "GTTTGGC"
    assert genome.fetch(parse_names(["b:1-2"]))[0] == "G"


def test_digest_is_the_refget_of_the_upper_case_contig(genome_file, contigs):
    sha = hashlib.sha512(contigs["chrM"].upper().encode()).digest()[:24]
    expected = "SQ." + base64.urlsafe_b64encode(sha).decode()
    assert Genome(genome_file).digests(["chrM"]) == {"chrM": expected}
    # From the GA4GH refget specification: the digest of ACGT.
    genome = genome_file.with_name("acgt.fa")
    genome.write_text(">x\nacgt\n")
    assert Genome(genome).digests() == {"x": "SQ.aKF498dAxcJAqme6QYQ7EZ07-fiw8Kw2"}


def test_the_folder_of_the_genome_is_not_written_to(tmp_path, genome_file):
    folder = tmp_path / "read only"
    folder.mkdir()
    (folder / "g.fa.gz").write_bytes(gzip.compress(genome_file.read_bytes()))
    Genome(folder / "g.fa.gz")
    assert [file.name for file in folder.iterdir()] == ["g.fa.gz"]


def test_a_changed_file_is_read_anew(tmp_path):
    path = tmp_path / "g.fa"
    path.write_text(">a\nACGT\n")
    assert Genome(path).contig_sizes["a"] == 4
    path.write_text(">a\nACGTAC\n")
    assert Genome(path).contig_sizes["a"] == 6


def test_missing_contig_is_named_with_rows_and_count(genome_file):
    peaks = parse_names(["chr1:0-9", *(f"chr7:{i}-{i + 2}" for i in range(6))])
    with pytest.raises(ContigError) as raised:
        Genome(genome_file).check(peaks)
    assert str(raised.value) == (
        "6 of 7 interval(s) lie on contigs that toy.fa does not have ('chr7'): row 1 chr7:0-2, "
        "row 2 chr7:1-3, row 3 chr7:2-4, row 4 chr7:3-5, row 5 chr7:4-6. toy.fa has 'chr1', "
        "'chrM'. Give the genome that the intervals were called on, or remove these rows."
    )


@pytest.mark.parametrize(("name", "there"), [("1:0-9", "chr1"), ("MT:0-9", "chrM")])
def test_another_naming_style_is_told_from_a_missing_contig(genome_file, name, there):
    genome, peaks = Genome(genome_file), parse_names([name])
    here = name.split(":")[0]
    expected = (
        f"Only the naming style differs \\('{here}' here, '{there}' there\\): use --match-contigs"
    )
    with pytest.raises(ContigError, match=expected):
        genome.check(peaks)
    renamed = match_contigs(peaks, genome.contig_sizes)
    genome.check(renamed)
    assert renamed.names() == [f"{there}:0-9"]


def test_match_contigs_keeps_names_that_are_known_or_hopeless_and_merges_styles():
    peaks = parse_names(["chr1:0-1", "1:2-3", "chrQ:4-5"])
    assert match_contigs(peaks, ["1", "2"]).names() == ["1:0-1", "1:2-3", "chrQ:4-5"]


def test_accessions_of_refseq_are_a_naming_style():
    names = ["NC_000001.11", "NC_000023.10", "NC_012920.1", "NC_000067.7", "NC_000087.8"]
    peaks = parse_names([f"{name}:0-1" for name in names])
    known = ["chr1", "chrX", "chrY", "chrM"]
    expected = ["chr1", "chrX", "chrM", "chr1", "chrY"]
    assert match_contigs(peaks, known).names() == [f"{name}:0-1" for name in expected]
    plain = parse_names(["chr22:0-1", "MT:0-1", "chr9:0-1"])
    there = ["NC_000022.11", "NC_012920.1", "NC_000010.11"]
    assert match_contigs(plain, there).names() == [
        "NC_000022.11:0-1",
        "NC_012920.1:0-1",
        "chr9:0-1",
    ]
    # another build, another species, and none of a chromosome
    kept = parse_names(["NC_000001.10:0-1", "NC_000025.1:0-1", "NC_999999.1:0-1"])
    assert match_contigs(kept, ["NC_000001.11", "1"]).names()[1:] == kept.names()[1:]
    assert match_contigs(kept, ["NC_000001.11"]).names() == kept.names()


def test_past_the_end_names_the_contig_its_size_and_the_genome(genome_file):
    with pytest.raises(GenomeError) as raised:
        Genome(genome_file).check(parse_names(["chr1:0-997", "chr1:900-998"]))
    assert str(raised.value) == (
        "1 of 2 interval(s) end past their contig: row 1: chr1:900-998 ends past chr1 (997 bp in "
        "toy.fa). Give the genome build that they were called on, or remove these rows."
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "bad.fa: the file is empty"),
        (gzip.compress(b"", mtime=0), "bad.fa: the file is empty"),
        (b"chr1\t1\t2\n", "bad.fa: not a FASTA file, it begins with b'c'"),
        (b">a\nACGT\n7AC", "bad.fa line 3: b'7' is no base"),
        (b">a\nACGT\n>b\n", "bad.fa: record 'b' has no bases"),
        (
            gzip.compress(b">a\n" + b"ACGT" * 500 + b"\n", mtime=0)[:-12],
            "bad.fa: truncated or damaged gzip",
        ),
        (bgzf(b">a\n" + b"ACGT\n" * 500)[: -len(BGZF_EOF)], "bad.fa: truncated or damaged gzip"),
        (b"\xff\xfe>\0a\0", "bad.fa: UTF-16 text"),
        (b">a\nACGT\n>a\nACGT\n", "bad.fa: record 'a' occurs more than once"),
        (b">\nACGT\n", "bad.fa: a record has no name"),
        (b"\n;only\n", "bad.fa: no record in the file"),
    ],
    ids=[
        "empty",
        "empty gzip",
        "bed",
        "digit",
        "cut record",
        "cut gzip",
        "cut bgzf",
        "utf-16",
        "twice",
        "no name",
        "no record",
    ],
)
def test_damaged_files_are_refused(tmp_path, content, message):
    path = tmp_path / "bad.fa"
    path.write_bytes(content)
    with pytest.raises(GenomeError) as raised:
        open_genome(path)
    assert str(raised.value).startswith(message)


def test_a_cut_between_lines_shows_against_the_index_beside_the_file(tmp_path):
    path = tmp_path / "cut.fa"
    path.write_text(">a\nACGT\n")
    path.with_name("cut.fa.fai").write_text("a\t8\t3\t4\t5\n")
    with pytest.raises(GenomeError, match=r"a has 4 bp, its index cut.fa.fai says 8.*truncated"):
        open_genome(path)


def test_an_absent_genome_is_named(tmp_path):
    with pytest.raises(GenomeError, match=r"none\.fa: no such file"):
        open_genome(tmp_path / "none.fa")


@pytest.fixture
def peak_fasta(tmp_path):
    path = tmp_path / "peaks.fa"
    path.write_text(">chr1:10-20\nACGTACGTAA\n>chr1:15-35\nCCCCCGGGGGTTTTTAAAAA\n>chr2:0-4\nacgt\n")
    return open_genome(path)


def test_a_fasta_of_peaks_serves_equal_and_contained_intervals(peak_fasta):
    assert isinstance(peak_fasta, PeakFasta)
    asked = parse_names(["chr1:10-20", "chr1:25-30", "chr1:12-15", "chr1:16-19", "chr2:1-4"])
    fetched = peak_fasta.fetch(asked)
    assert [fetched[i] for i in range(5)] == ["ACGTACGTAA", "TTTTT", "GTA", "GTA", "CGT"]
    assert dict(peak_fasta.contig_sizes) == {"chr1": 35, "chr2": 4}


def test_a_window_is_cut_from_the_record_of_its_peak(tmp_path):
    path = tmp_path / "peaks.fa"
    path.write_text(">c:40-50\nAAAAACCCCC\n>c:0-100\n" + "G" * 100 + "\n>c:90-120\n" + "T" * 30)
    peaks = parse_names(["c:40-50", "c:0-100", "c:90-120", "c:42-48"])
    rule = parse_window("centre:60")
    fetched = open_genome(path).fetch(rule.cut(peaks).intervals, peaks)
    assert [fetched[i] for i in range(4)] == ["AAAAACCCCC", "G" * 60, "T" * 30, "AAAAACCCCC"]
    assert window_digests(peaks, open_genome(path), rule)[3].tolist() == digest("AAAAACCCCC")


def digest(text: str) -> list[int]:
    return Sequences.from_strings([text]).digests()[0].tolist()


def test_a_fasta_of_peaks_refuses_what_it_does_not_have(peak_fasta):
    with pytest.raises(
        GenomeError, match=r"2 of 3 interval\(s\) lie within no record of peaks.fa: row 1 chr1:5-21"
    ):
        peak_fasta.check(parse_names(["chr1:10-20", "chr1:5-21", "chr1:35-40"]))
    with pytest.raises(GenomeError, match=r"row 0 chr1:10-35\. Give a FASTA that holds"):
        peak_fasta.check(parse_names(["chr1:10-35"]))
    with pytest.raises(ContigError, match=r"'1' here, 'chr1' there"):
        peak_fasta.check(parse_names(["1:10-20"]))


def test_a_fasta_of_peaks_says_which_it_has(peak_fasta):
    asked = parse_names(["chr1:10-20", "chr1:5-21", "1:10-20", "chr2:1-4", "chr1:35-40"])
    assert peak_fasta.holds(asked).tolist() == [True, False, False, True, False]


def test_a_record_shorter_than_its_name_is_a_truncated_file(tmp_path):
    path = tmp_path / "peaks.fa"
    path.write_text(">chr1:10-20\nACGTACGTAA\n>chr1:30-40\nACG\n")
    with pytest.raises(GenomeError, match=r"1 record\(s\) are not as long .* chr1:30-40 has 3 bp"):
        open_genome(path)
