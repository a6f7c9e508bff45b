"""Matrix Market files with what lies beside them."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.io import mmwrite

from peakatlas.classifier.counts.matrix import read_counts
from peakatlas.engine.errors import CountsError

COUNTS = [[1, 0, 2], [0, 3, 0]]
BED = "chr1\t0\t10\nchr1\t20\t30\nchr2\t5\t9\n"
NAMES = ["chr1:0-10", "chr1:20-30", "chr2:5-9"]


def sample(folder: Path, start: str = "", times: int = 1, **files: str) -> Path:
    folder.mkdir(exist_ok=True)
    mmwrite(folder / f"{start}matrix.mtx", sp.coo_matrix(times * np.array(COUNTS).T))
    for name, text in (files or {"barcodes_tsv": "A-1\nC-1\n", "peaks_bed": BED}).items():
        (folder / f"{start}{name.replace('_', '.')}").write_text(text)
    return folder / f"{start}matrix.mtx"


def is_right(path: Path) -> bool:
    counts = read_counts(path)
    right = counts.peaks.names() == NAMES and counts.obs.index.tolist() == ["A-1", "C-1"]
    return right and counts.matrix.toarray().tolist() == COUNTS


def refusal(path: Path) -> str:
    with pytest.raises(CountsError) as caught:
        read_counts(path)
    return str(caught.value)


def test_of_many_samples_the_one_asked_for_is_read(tmp_path):
    sample(tmp_path, times=5)
    sample(tmp_path, "b_", times=7)
    mine = sample(tmp_path, "GSM1_", barcodes_tsv="A-1\nC-1\n", peaks_bed=BED)
    for file in ("GSM1_matrix.mtx", "GSM1_peaks.bed"):
        packed = tmp_path / f"{file}.gz"
        packed.write_bytes(gzip.compress((tmp_path / file).read_bytes()))
        (tmp_path / file).unlink()
    assert is_right(mine.with_name("GSM1_matrix.mtx.gz"))
    assert read_counts(tmp_path).matrix.sum() == 5 * 6  # of a folder, the one without a beginning


def test_a_folder_of_several_samples_is_refused(tmp_path):
    sample(tmp_path, "a_")
    sample(tmp_path, "b_")
    assert "holds 2 matrices: a_matrix.mtx, b_matrix.mtx. Give the path of one" in refusal(tmp_path)
    (tmp_path / "a_matrix.mtx").unlink()
    assert is_right(tmp_path)


def test_files_of_another_sample_are_not_taken(tmp_path):
    sample(tmp_path)
    mine = sample(tmp_path, "b_", peaks_bed=BED)
    assert "has no b_barcodes.tsv (nor .gz of it)" in refusal(mine)


def test_a_matrix_called_otherwise_takes_what_is_there(tmp_path):
    mine = sample(tmp_path)
    assert is_right(mine.rename(tmp_path / "counts.mtx"))


def test_a_turned_matrix_is_turned_back(tmp_path):
    mine = sample(tmp_path)
    mmwrite(mine, sp.coo_matrix(np.array(COUNTS)))
    assert is_right(mine)


@pytest.mark.parametrize("field", ["real", "integer", "pattern"])
def test_fields_of_a_matrix(field, tmp_path):
    mine = sample(tmp_path)
    lines = ["1 1 1", "2 2 3", "3 1 2"]
    lines = [line[:3] for line in lines] if field == "pattern" else lines
    head = f"%%MatrixMarket matrix coordinate {field} general\n% a comment\n3 2 3\n"
    mine.write_text(head + "\n".join(lines) + "\n")
    found = read_counts(mine).matrix.toarray().tolist()
    assert found == (COUNTS if field != "pattern" else [[1, 0, 1], [0, 1, 0]])


FEATURES = {
    "three columns": "".join(f"{n}\t{n}\tPeaks\n" for n in NAMES),
    "types that know of no peak": "".join(f"{n}\t{n}\tGene Expression\n" for n in NAMES),
    "six columns": "".join(
        f"p{i}\tp{i}\tPeaks\t{n.replace(':', '-').replace('-', chr(9))}\n"
        for i, n in enumerate(NAMES)
    ),
    "names of R": "".join(f'"{n}"\n' for n in NAMES),
    "CRLF and blank lines": "\r\n".join([*NAMES, "", ""]),
}


@pytest.mark.parametrize("kind", FEATURES)
def test_features_as_programs_write_them(kind, tmp_path):
    mine = sample(tmp_path, barcodes_tsv="A-1\nC-1\n", features_tsv=FEATURES[kind])
    assert is_right(mine)


def test_a_header_of_the_barcodes_is_none_of_them(tmp_path):
    assert is_right(sample(tmp_path, barcodes_tsv="barcode\nA-1\nC-1\n", peaks_bed=BED))


def test_hidden_files_of_macos_are_no_matrices(tmp_path):
    for start in ("", "a_"):
        folder = sample(tmp_path / f"of{start}", start).parent
        (folder / f"._{start}matrix.mtx").write_bytes(b"\0\5\x16\7")
        assert is_right(folder)
    lone = sample(tmp_path / "lone")
    other = lone.rename(lone.with_name("b_matrix.mtx"))
    lone.with_name("._b_matrix.mtx").write_bytes(b"\0\5\x16\7")
    assert is_right(other)


def test_barcodes_in_utf_16_are_read(tmp_path):
    mine = sample(tmp_path)
    mine.with_name("barcodes.tsv").write_bytes("A-1\nC-1\n".encode("utf-16"))
    assert is_right(mine)


@pytest.mark.parametrize("mark", [" ", "\t"])
def test_numbers_of_rows_before_the_barcodes_are_left_aside(mark, tmp_path):
    written_by_r = f'"x"\n"1"{mark}"A-1"\n"2"{mark}"C-1"\n'
    assert is_right(sample(tmp_path, barcodes_tsv=written_by_r, peaks_bed=BED))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("3 2 99999999999", "has room for"),
        ("99999999999999 2 0", "do not belong together"),
        ("3 2", "has room for"),
        ("three two 3", "not a whole Matrix Market file"),
        ("3 2 1\n9 9 1", "not a whole Matrix Market file"),
        ("3 2 1\n0 0 1", "not a whole Matrix Market file"),
        ("3 2 2\n1 1 1", "not a whole Matrix Market file"),
        ("3 2 1\n1 1 x", "not a whole Matrix Market file"),
        ("3 2 1\n1 1 -4", "negative"),
        ("3 2 1\n1 1 .5", "fractional"),
        ("3 2 3\n1 1 1\n2 1 1 9 9 9 1", "not a whole Matrix Market file"),
        ("3 2 0\n1 1 1", "not a whole Matrix Market file"),
    ],
)
def test_a_matrix_that_is_not_whole_is_refused(text, says, tmp_path):
    mine = sample(tmp_path)
    mine.write_text(f"%%MatrixMarket matrix coordinate integer general\n{text}\n")
    assert says in refusal(mine)
    mine.with_suffix(".mtx.gz").write_bytes(gzip.compress(mine.read_bytes()))
    mine.unlink()
    assert says in refusal(mine.with_suffix(".mtx.gz")) or says == "has room for"


def test_features_of_which_some_have_no_type_are_refused(tmp_path):
    lines = f"{NAMES[0]}\tp\tPeaks\n{NAMES[1]}\tp\n{NAMES[2]}\tp\tPeaks\n"
    mine = sample(tmp_path, barcodes_tsv="A-1\nC-1\n", features_tsv=lines)
    assert "1 features of 3 have no type in the third column" in refusal(mine)
