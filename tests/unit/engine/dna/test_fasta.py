"""Every letter of a FASTA as people have it is found, or the file is refused with its line."""

from __future__ import annotations

import gzip
import os
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from pyfaidx import Faidx

from peakatlas.engine.dna import fasta, fasta_index
from peakatlas.engine.dna.fasta import IndexedFasta, cache_folder
from peakatlas.engine.dna.fasta_index import index_fasta
from peakatlas.engine.dna.sequences import Sequences
from peakatlas.engine.errors import GenomeError

RECORDS = {"r1": "ACGTTGCAAC", "r2": "GGATCRYKn", "r3": "TT"}
UPPER = {name: letters.upper() for name, letters in RECORDS.items()}
TIDY = ">r1 first\nACGT\nTGCA\nAC\n>r2\tsecond one\nGGAT\nCRYK\nn\n>r3\nTT\n"


def letters(path) -> dict[str, str]:
    """All letters, each pair of neighbours fetched on its own."""
    opened = IndexedFasta(path)
    found = {}
    for record, (name, size) in enumerate(opened.sizes.items()):
        at = np.arange(size)
        rows = np.full(size, record)
        pairs = opened.fetch(rows, at, np.minimum(at + 2, size))
        found[name] = "".join(pairs[i][0] for i in range(size))
        assert [pairs[i][1:] for i in range(size - 1)] == list(found[name][1:])
    return found


def untidy(text: str) -> list[str]:
    return [
        text.replace("\n", " \n"),
        text.replace("\n", "\r"),
        text.replace("\n", "\r\n", 2),
        text.replace("TGCA\n", "TG\n\nCA\n"),
        text.replace("TGCA\nAC\n", "TGC\nAAC\n"),
        text.replace("TGCA\nAC\n", "T\nGCAAC\n"),
        text.replace("TGCA", "TG CA"),
        text.replace("TGCA\n", "TGCA\n;a comment\n"),
        "\ufeff" + text,
        "; by hand\n\n" + text,
        text.replace(">r2\t", "> r2\t"),
    ]


@pytest.mark.parametrize(
    "text", [TIDY, TIDY + "\n\n", TIDY.rstrip("\n"), TIDY.replace("\n", "\r\n"), *untidy(TIDY)]
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_letters_are_those_of_the_records(tmp_path, monkeypatch, text, pack):
    path = tmp_path / "g.fa"
    path.write_bytes(pack(text.encode()))
    for block_bytes in (1 << 20, 5):
        monkeypatch.setattr(fasta_index, "_BLOCK_BYTES", block_bytes)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / str(block_bytes)))
        assert letters(path) == UPPER
        assert letters(path) == UPPER  # by the index that is kept


def test_a_file_that_is_tidy_is_not_copied(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name, text, copies in (("a.fa", TIDY + "\n\n", 0), ("b.fa", TIDY.replace("\n", " \n"), 1)):
        (tmp_path / name).write_text(text)
        IndexedFasta(tmp_path / name)
        assert len(list(cache_folder().glob("*.fa"))) == copies


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (">r1\nAC GT\nAC1T\n", "g.fa line 3: b'1' is no base"),
        (">r1\nACGT\n<html>\n", "g.fa line 3: b'<' is no base"),
        (">r1\nAC\0GT\n", "g.fa line 2: b'\\x00' is no base"),
        (">r1\rAC\rA>C\r", "g.fa line 3: b'>' is no base"),
        (">r1\nACGT\n>r2\n>r3\nAC\n", "record 'r2' has no bases (1 such record(s))"),
        (">r1\nACGT\n>\n", "a record has no name"),
        (b">r\xe9\nACGT\n", "a record has no name that can be read"),
        (TIDY + TIDY, "record 'r1' occurs more than once"),
        ("ACGT\n>r1\nACGT\n", "not a FASTA file, it begins with b'A'"),
    ],
)
def test_what_is_no_fasta_is_refused(tmp_path, text, fault):
    path = tmp_path / "g.fa"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(GenomeError) as caught:
        IndexedFasta(path)
    assert fault in str(caught.value)


def test_ends_of_proteins_are_letters_that_are_no_bases(tmp_path):
    path = tmp_path / "p.fa"
    path.write_text(">p\nMKV*\n")
    assert letters(path) == {"p": "MKV*"}


@pytest.mark.parametrize("beside", [b"\xff\x00no index", b"", b"r1\t99\n", b"<html>\t\t\t\t\n"])
def test_an_index_beside_that_is_none_is_left_alone(tmp_path, beside):
    path = tmp_path / "g.fa"
    path.write_text(TIDY)
    path.with_name("g.fa.fai").write_bytes(beside)
    assert letters(path) == UPPER


@pytest.mark.parametrize(
    "damage", [b"", b"3 records\nr1\t1", b"\xff", b"1 records\na\tb\tc\td\te\n"]
)
def test_a_damaged_index_of_the_cache_is_made_anew(tmp_path, monkeypatch, damage):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "g.fa"
    path.write_text(TIDY)
    IndexedFasta(path)
    (index,) = cache_folder().glob("*.fai")
    index.write_bytes(damage)
    assert letters(path) == UPPER


def test_a_copy_that_was_removed_is_made_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "g.fa"
    path.write_text(TIDY.replace("\n", " \n"))
    IndexedFasta(path)
    (copy,) = cache_folder().glob("*.fa")
    copy.unlink()
    assert letters(path) == UPPER


def test_one_unpacks_and_the_others_wait(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "g.fa.gz"
    path.write_bytes(gzip.compress(TIDY.encode()))
    unpacked, real = [], fasta.copy_gunzipped

    def slow(source, out) -> None:
        unpacked.append(source)
        time.sleep(0.2)
        real(source, out)

    monkeypatch.setattr(fasta, "copy_gunzipped", slow)
    with ThreadPoolExecutor(4) as pool:
        sizes = list(pool.map(lambda _: IndexedFasta(path).sizes, range(4)))
    assert unpacked == [path]
    assert sizes == [{name: len(text) for name, text in RECORDS.items()}] * 4


def test_what_killed_processes_left_is_swept(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "g.fa"
    path.write_text(TIDY)
    opened = IndexedFasta(path)
    own, old, new = (cache_folder() / f"{n}.part" for n in (opened._cached(".fax").name, "o", "n"))
    for part in (own, old, new):
        part.write_bytes(b"half")
    os.utime(old, (0, 0))
    (index,) = cache_folder().glob("*.fai")
    index.unlink()
    IndexedFasta(path)
    assert [part.name for part in cache_folder().glob("*.part")] == ["n.part"]


def test_a_plain_file_that_is_called_gz(tmp_path):
    path = tmp_path / "g.fa.gz"
    path.write_text(TIDY)
    assert letters(path) == letters(path) == UPPER


def test_the_index_is_that_of_pyfaidx(tmp_path):
    path = tmp_path / "g.fa"
    path.write_text(TIDY)
    Faidx(str(path)).close()
    assert index_fasta(path).to_text() == path.with_name("g.fa.fai").read_text()


def test_letters_and_lengths_must_agree():
    with pytest.raises(ValueError, match="3 letters for sequences of 4 bp in all"):
        Sequences.from_lengths(np.frombuffer(b"ACG", np.uint8), [2, 2])
