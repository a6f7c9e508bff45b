"""Text as people have it becomes lines."""

import errno
import gzip
import os
from pathlib import Path
from threading import Thread

import pytest

from peakatlas.engine.errors import CountsError, IntervalError
from peakatlas.engine.gzip_stream import BGZF_EOF, gunzipped
from peakatlas.engine.intervals.text_files import decoded, read_lines, split_lines


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_ends_and_encodings(tmp_path, end, encoding):
    path = tmp_path / "f.txt"
    path.write_bytes(end.join(["chré 1", "", "b\x0cc\x85d\u2028e", ""]).encode(encoding))
    assert read_lines(path, "a list") == ["chré 1", "", "b\x0cc\x85d\u2028e"]


def test_mixed_ends_and_none_at_the_end():
    assert split_lines("a\r\r\nb\rc\n\nd") == ["a", "", "b", "c", "", "d"]
    assert split_lines("") == []


@pytest.mark.parametrize("data", [b"a\0b", b"\xff\xfea", b"\xe9t\xe9", "a\0".encode("utf-16")])
def test_what_is_no_text(tmp_path, data):
    with pytest.raises(UnicodeDecodeError):
        decoded(data)
    (tmp_path / "f.txt").write_bytes(data)
    with pytest.raises(CountsError, match=r"f\.txt: not a text file \(byte \d\)\. Give a list\."):
        read_lines(tmp_path / "f.txt", "a list", CountsError)


def test_an_absent_file(tmp_path):
    with pytest.raises(IntervalError, match="no such file"):
        read_lines(tmp_path / "none", "a list")
    with pytest.raises(IntervalError, match="a folder, where a file is expected"):
        read_lines(tmp_path, "a list")
    with pytest.raises(IntervalError, match="neither a file nor a pipe"):
        read_lines("/dev/zero", "a list")


def test_a_pipe_is_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    text = gzip.compress(b"a\nb\n", mtime=0)
    writer = Thread(target=(tmp_path / "pipe").write_bytes, args=(text,))
    writer.start()
    assert read_lines(tmp_path / "pipe", "a list") == ["a", "b"]
    writer.join()


def test_a_file_that_may_not_be_read_is_not_called_damaged(tmp_path, monkeypatch):
    def refuse(_path):
        raise PermissionError(errno.EACCES, "Permission denied")

    (tmp_path / "f.txt").write_text("a\n")
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(IntervalError, match=r"f\.txt: cannot be read \(permission denied\)"):
        read_lines(tmp_path / "f.txt", "a list")


def test_bgzf_that_was_cut_between_blocks_is_found_in_bytes_too():
    assert gunzipped(BGZF_EOF) == b""
    with pytest.raises(EOFError, match="end-of-file block is absent"):
        gunzipped(BGZF_EOF + gzip.compress(b"chr1\t1\t5\n"))
