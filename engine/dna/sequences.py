"""DNA of many intervals as one flat array of letters."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

DIGEST_BYTES = 16

_UPPER = np.arange(256, dtype=np.uint8)
_UPPER[97:123] -= 32
_UPPER[list(b"Uu")] = ord("T")
COMPLEMENT = _UPPER.copy()
COMPLEMENT[list(b"ACGTURYKMBVDHSWN")] = list(b"TGCAAYRMKVBHDSWN")
_UNKNOWN = bytes(code not in b"ACGT" for code in range(256))


@dataclass(frozen=True, eq=False)
class Sequences:
    """Sequences one after the other; sequence i is ``data[offsets[i]:offsets[i + 1]]``.

    Parameters
    ----------
    data : uint8, shape (total_bp,)
        ASCII letters, upper case, with T for the U of RNA.
    offsets : int64, shape (n + 1,)
        First letter of each sequence, in bp; begins with 0, never falls.

    Examples
    --------
    >>> dna = Sequences.from_strings(["acgt", "NN"])
    >>> dna[0], dna.n_fraction().tolist()
    ('ACGT', [0.0, 1.0])
    """

    data: NDArray[np.uint8]
    offsets: NDArray[np.int64]

    @classmethod
    def from_strings(cls, strings: Sequence[str]) -> Sequences:
        """Build from one string a sequence; lower case is raised, U becomes T.

        Raises
        ------
        UnicodeEncodeError
            If a string holds a letter outside ASCII.
        """
        lengths = np.fromiter((len(text) for text in strings), np.int64, len(strings))
        data = np.frombuffer("".join(strings).encode("ascii"), np.uint8)
        return cls.from_lengths(data, lengths)

    @classmethod
    def from_lengths(cls, data: NDArray[np.uint8], lengths: ArrayLike) -> Sequences:
        """Build from letters of any case, DNA or RNA, and the length of each sequence in bp.

        Raises
        ------
        ValueError
            If there are not as many letters as the lengths add up to.
        """
        offsets = np.concatenate([[0], np.cumsum(np.asarray(lengths, np.int64))]).astype(np.int64)
        if offsets[-1] != len(data):
            raise ValueError(f"{len(data)} letters for sequences of {offsets[-1]} bp in all")
        return cls(translated(data, _UPPER.tobytes()), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> str:
        """Sequence `row` as a string.

        Raises
        ------
        IndexError
            If there is no such row.
        """
        if not -len(self) <= row < len(self):
            raise IndexError(f"row {row} of {len(self)} sequences")
        row %= len(self)
        return bytes(self.data[self.offsets[row] : self.offsets[row + 1]]).decode("ascii")

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Length of each sequence in bp, shape (n,)."""
        return np.diff(self.offsets)

    def take(self, rows: ArrayLike) -> Sequences:
        """Rows by integer index or boolean mask, in the order given."""
        chosen = np.asarray(rows)
        every = np.arange(len(self), dtype=np.int64)
        index = every[chosen if chosen.size else chosen.astype(np.int64)]
        lengths = self.lengths[index]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        shift = np.repeat(self.offsets[:-1][index] - offsets[:-1], lengths)
        return Sequences(self.data[np.arange(offsets[-1]) + shift], offsets)

    def reverse_complement(self) -> Sequences:
        """The other strand of each sequence, 5' to 3'; IUPAC letters are complemented too."""
        mirror = np.repeat(self.offsets[:-1] + self.offsets[1:] - 1, self.lengths)
        flipped = self.data[mirror - np.arange(len(self.data))]
        return Sequences(COMPLEMENT[flipped], self.offsets)

    def digests(self) -> NDArray[np.uint8]:
        """BLAKE2b-128 of the upper-case letters of each sequence, shape (n, 16)."""
        view = np.ascontiguousarray(self.data).data
        bounds = self.offsets.tolist()
        joined = b"".join(
            hashlib.blake2b(view[start:end], digest_size=DIGEST_BYTES).digest()
            for start, end in pairwise(bounds)
        )
        return np.frombuffer(joined, np.uint8).reshape(-1, DIGEST_BYTES).copy()

    def n_fraction(self) -> NDArray[np.float32]:
        """Share of letters that are not A, C, G or T, shape (n,); 1 for an empty sequence."""
        places = np.flatnonzero(translated(self.data, _UNKNOWN))
        counts = np.diff(np.searchsorted(places, self.offsets))
        lengths = self.lengths
        share = np.where(lengths > 0, counts / np.maximum(lengths, 1), 1.0)
        return share.astype(np.float32)


def translated(letters: NDArray[np.uint8], table: bytes) -> NDArray[np.uint8]:
    """Each letter's entry of a table of 256, several times as fast as by indices.

    Examples
    --------
    >>> translated(np.array([1, 0], np.uint8), bytes([7, 9, *range(254)])).tolist()
    [9, 7]
    """
    return np.frombuffer(bytearray(letters).translate(table), np.uint8)
