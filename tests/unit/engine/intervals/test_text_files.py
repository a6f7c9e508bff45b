"""Text as people have it becomes lines."""

import pytest

from peakatlas.engine.errors import CountsError, IntervalError
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
