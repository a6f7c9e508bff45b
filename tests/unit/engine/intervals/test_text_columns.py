"""Columns read as arrays are those that splitting each line gives."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peakatlas.engine.intervals.text_columns import TextColumns

numbers = st.integers(0, 10**16 - 1)
words = st.text(st.characters(min_codepoint=32, max_codepoint=0x3FF), min_size=1, max_size=20)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(words, numbers, words, numbers), min_size=1, max_size=30))
def test_columns_are_those_of_splitting(rows):
    lines = "".join("\t".join(map(str, row)) + "\n" for row in rows).encode()
    columns = TextColumns(lines)
    assert (columns.n_lines, columns.n_columns) == (len(rows), 4)
    for at in (1, 3):
        assert columns.integers(at).tolist() == [row[at] for row in rows]
    for at in (0, 2):
        codes, first = columns.texts(at)
        texts = [text.decode() for text in columns.fields(at, first)]
        assert [texts[code] for code in codes] == [row[at] for row in rows]
        assert len(set(texts)) == len(texts)


@pytest.mark.parametrize(
    "digits", ["", "12345678901234567", "1 ", "+1", "-1", "1.0", "１", "/", ":"]
)
def test_what_is_no_whole_number_is_refused(digits):
    with pytest.raises(ValueError, match="no whole number"):
        TextColumns(f"a\t{digits}\n".encode()).integers(1)


def test_leading_zeros_and_the_longest_numbers():
    lines = b"0000000000000007\n9999999999999999\n0\n100000000\n"
    assert TextColumns(lines).integers(0).tolist() == [7, 10**16 - 1, 0, 10**8]


@pytest.mark.parametrize(
    "lines", [b"a\tb\nc\n", b"a\nb\tc\td\ne\tf\n", b"a\tb\n\0\tc\n\n", b"a\n\n\tb\n"]
)
def test_ragged_lines_are_refused(lines):
    with pytest.raises(ValueError, match="differ in their number of columns"):
        TextColumns(lines)


def test_an_empty_field_is_no_text():
    with pytest.raises(ValueError, match="a field is empty"):
        TextColumns(b"a\tb\n\tc\n").texts(0)
