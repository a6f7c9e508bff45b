"""The cache of genomes: one process makes a file, the others wait; nothing half made is used."""

import gzip
import os
from pathlib import Path

import pytest

from peakatlas.engine.dna import genome_cache
from peakatlas.engine.dna.fasta import IndexedFasta, cache_folder
from peakatlas.engine.dna.genome import open_genome
from peakatlas.engine.dna.genome_cache import alone, written_whole
from peakatlas.engine.errors import GenomeError

LETTERS = "ACGTTGCC" * 50


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "peakatlas"


@pytest.fixture
def gzipped(tmp_path):
    path = tmp_path / "g.fa.gz"
    path.write_bytes(gzip.compress(f">chr1\n{LETTERS}\n>chr2\n{LETTERS[::-1]}\n".encode()))
    return path


def test_a_marker_that_nobody_refreshes_is_taken_over(tmp_path):
    held = tmp_path / "a.lock"  # as a power failure may leave it
    held.touch()
    os.utime(held, (0, 0))
    with alone(held) as is_alone:
        assert is_alone
    assert not held.exists()


def test_one_that_hangs_is_not_waited_for_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(genome_cache, "_ATTEMPT_S", 0.05)
    monkeypatch.setattr(genome_cache, "_PATIENCE_S", 0.1)
    with alone(tmp_path / "a.lock"), alone(tmp_path / "a.lock") as is_alone:
        assert not is_alone


def test_digests_are_computed_once(cache, gzipped, monkeypatch):
    computed = []
    digest = IndexedFasta._digest

    def counted(fasta, record, size):
        computed.append(record)
        return digest(fasta, record, size)

    monkeypatch.setattr(IndexedFasta, "_digest", counted)
    first = open_genome(gzipped).digests(["chr2"])
    assert computed == [1]
    both = open_genome(gzipped).digests()
    assert computed == [1, 0]
    assert both["chr2"] == first["chr2"] != both["chr1"]
    assert open_genome(gzipped).digests() == both
    assert computed == [1, 0]


def test_a_changed_genome_and_a_damaged_cache_are_digested_anew(cache, gzipped):
    both = open_genome(gzipped).digests()
    for path in cache.glob("*.digests.json"):
        path.write_text('{"chr1": 7')
    assert open_genome(gzipped).digests() == both
    gzipped.write_bytes(gzip.compress(f">chr1\n{LETTERS[::-1]}\n".encode()))
    assert open_genome(gzipped).digests() == {"chr1": both["chr2"]}


def test_bytes_are_on_the_disk_before_a_file_takes_its_name(tmp_path, monkeypatch):
    path, flushed, flush = tmp_path / "a", [], os.fsync

    def fsync(descriptor):
        flushed.append((path.exists(), os.fstat(descriptor).st_size))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with written_whole(path) as out:
        out.write(b"12345")
    assert flushed[0] == (False, 5)
    assert len(flushed) == 2  # the name as well
    assert flushed[1][0]
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()


def test_a_user_without_a_home_is_asked_for_a_folder(monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(GenomeError, match="Set XDG_CACHE_HOME to a folder"):
        cache_folder()


def _umask():
    now = os.umask(0)
    os.umask(now)
    return now
