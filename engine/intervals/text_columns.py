"""Columns of tab-separated text as arrays, without a Python object a line.

A block of lines is looked at as bytes: tabs and line ends are found at once, numbers are read eight
digits at a time from 64-bit words, and texts are told apart by the words that they fill.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from numpy.typing import NDArray

    _Words = NDArray[np.uint64]

_FRONT, _BACK = 16, 8
MAX_DIGITS = 16
_TAB, _NEWLINE = 9, 10


class TextColumns:
    """Columns of a block of lines that all have as many.

    Parameters
    ----------
    lines : bytes
        Whole lines, each with its ``\\n``, none empty.

    Raises
    ------
    ValueError
        If the lines differ in their number of columns, or hold control characters below 9.

    Examples
    --------
    >>> columns = TextColumns(b"chr1\\t10\\t20\\nchr2\\t5\\t123456789\\n")
    >>> columns.integers(2).tolist()
    [20, 123456789]
    >>> codes, first = columns.texts(0)
    >>> codes.tolist(), columns.fields(0, first)
    ([0, 1], [b'chr1', b'chr2'])
    """

    def __init__(self, lines: bytes) -> None:
        # Words are read from up to 16 bytes before a field's end and 8 after its begin.
        self._text = b"".join((bytes(_FRONT), lines, bytes(_BACK)))
        letters = np.frombuffer(self._text, np.uint8)
        self._words = np.ndarray(len(letters) - 7, "<u8", self._text, strides=(1,))
        # Other characters as low are faults, so one comparison finds tabs and line ends.
        marks = np.flatnonzero(letters[_FRONT:-_BACK] <= _NEWLINE) + _FRONT
        self.n_lines = lines.count(b"\n")
        self.n_columns = len(marks) // max(self.n_lines, 1)
        if len(marks) != self.n_lines * self.n_columns:
            raise ValueError("lines differ in their number of columns")
        ends = marks.reshape(self.n_lines, self.n_columns)
        kinds = letters[ends]
        if (kinds[:, :-1] != _TAB).any() or (kinds[:, -1] != _NEWLINE).any():
            raise ValueError("lines differ in their number of columns")
        # What ends a field is followed by the next, over the ends of lines.
        before = np.concatenate([[_FRONT - 1], marks[:-1]])
        self._begins, self._ends = before.reshape(ends.shape) + 1, ends

    def integers(self, column: int) -> NDArray[np.int64]:
        """Whole numbers of a column, shape (n_lines,).

        Raises
        ------
        ValueError
            If a field has anything but 1 to 16 digits.
        """
        begin, end = self._fields(column)
        width = end - begin
        if not ((width > 0) & (width <= MAX_DIGITS)).all():
            raise ValueError("a field is no whole number")
        value = _digits(self._words[end - 8], np.minimum(width, 8))
        if width.max(initial=0) > 8:
            high = _digits(self._words[end - 16], np.maximum(width - 8, 0))
            value += high * np.uint64(10**8)
        return value.view(np.int64)

    def texts(self, column: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Code of each text of a column, shape (n_lines,), and the first line of each code.

        Raises
        ------
        ValueError
            If a field is empty.
        """
        begin, end = self._fields(column)
        width = end - begin
        if not (width > 0).all():
            raise ValueError("a field is empty")
        codes = np.zeros(self.n_lines, np.int64)
        for at in range(0, int(width.max(initial=0)), 8):
            # Past a short field's end there may be no word to read, nor need there be one.
            here = np.minimum(begin + at, end)
            word = self._words[here] & _LOW[np.clip(width - at, 0, 8)]
            codes = word if at == 0 else _pair_codes(codes, word)
        codes, _ = pd.factorize(codes)
        first = np.empty(int(codes.max(initial=-1)) + 1, np.int64)
        first[codes[::-1]] = np.arange(self.n_lines)[::-1]
        return codes, first

    def fields(self, column: int, lines: NDArray[np.int64]) -> list[bytes]:
        """Texts of a column in some lines."""
        begin, end = (bounds[lines].tolist() for bounds in self._fields(column))
        text = self._text
        return [text[i:j] for i, j in zip(begin, end, strict=True)]

    def _fields(self, column: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return self._begins[:, column], self._ends[:, column]


def _word(byte: int) -> np.uint64:
    return np.uint64(int.from_bytes(bytes([byte]) * 8, "little"))


_LOW = np.array([(1 << (8 * n)) - 1 for n in range(9)], np.uint64)
"""Masks of the first n letters of a word."""
_HIGH = ~_LOW[::-1]
"""Masks of the last n letters of a word."""
_ZEROS, _TOPS, _SIXES = _word(ord("0")), _word(0xF0), _word(6)


def _digits(word: _Words, width: NDArray[np.int64]) -> _Words:
    """Number that the last `width` letters of each word spell.

    References
    ----------
    Lemire, "Quickly parsing eight digits", 2018.
    """
    kept = _HIGH[width]
    word = (word & kept) | (_ZEROS & ~kept)
    if ((word & _TOPS) != _ZEROS).any() or (((word + _SIXES) & _TOPS) != _ZEROS).any():
        raise ValueError("a field is no whole number")
    word = word - _ZEROS
    word = word * np.uint64(10) + (word >> np.uint64(8))
    even, odd = (word >> np.uint64(shift) & np.uint64(0x000000FF000000FF) for shift in (0, 16))
    high = even * np.uint64(0x000F424000000064) + odd * np.uint64(0x0000271000000001)
    return high >> np.uint64(32)


def _pair_codes(codes: NDArray[np.generic], word: _Words) -> NDArray[np.int64]:
    """One number for each pair of a code and a word, alike where both are."""
    left, _ = pd.factorize(codes)
    right, distinct = pd.factorize(word)
    return np.asarray(left * np.int64(len(distinct)) + right, np.int64)
