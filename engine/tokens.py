"""DNA to token ids: a vectorised, non-overlapping k-mer tokenizer.

The ids equal those of `transformers.EsmTokenizer` with the same vocabulary on upper-case DNA:
from the left, a full k-mer of A, C, G, T is one token; where fewer than k such bases are left
before an N, an IUPAC letter or the end, each base is a token of its own. An N is one token and so
shifts the k-mer frame after it; a run of other letters is one ``<unk>``.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .sequences import Sequences

SPECIAL_TOKENS = ("<unk>", "<pad>", "<mask>", "<cls>")
BASES = "ATCG"  # order of the Nucleotide Transformer vocabulary
_N_CODE, _OTHER_CODE = 4, 5


@dataclass(frozen=True)
class Tokens:
    """Token ids of several sequences, one after the other without padding."""

    ids: NDArray[np.int32]
    """Shape (n_tokens,); each sequence starts with ``<cls>``."""
    offsets: NDArray[np.int64]
    """Shape (n + 1,); tokens of sequence i are ``ids[offsets[i]:offsets[i + 1]]``."""

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> NDArray[np.int32]:
        return self.ids[self.offsets[row] : self.offsets[row + 1]]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each sequence, ``<cls>`` included, shape (n,)."""
        return np.diff(self.offsets)


class KmerTokenizer:
    """Non-overlapping k-mers over a fixed vocabulary, by table look-up.

    Parameters
    ----------
    vocab : sequence of str
        Token of each id. Must hold the special tokens, all 4**k k-mers, and A, C, G, T, N.

    Raises
    ------
    ModelError
        If the vocabulary is not a complete k-mer vocabulary.

    References
    ----------
    Dalla-Torre et al., Nature Methods 2025, doi:10.1038/s41592-024-02523-z (6-mer tokens).
    """

    def __init__(self, vocab: Sequence[str]) -> None:
        self.vocab = list(vocab)
        ids = {token: i for i, token in enumerate(self.vocab)}
        self.k = max((len(t) for t in self.vocab if set(t) <= set(BASES)), default=0)
        kmers = ["".join(letters) for letters in product(BASES, repeat=self.k)]
        needed = [*SPECIAL_TOKENS, *BASES, "N", *kmers]
        absent = [token for token in needed if token not in ids]
        if self.k < 2 or absent:
            raise ModelError(
                f"not a complete k-mer vocabulary: {len(absent)} of {len(needed)} tokens for "
                f"k={self.k} are absent, first {absent[:5]}"
            )
        self.unk_id, self.pad_id, self.mask_id, self.cls_id = (ids[t] for t in SPECIAL_TOKENS)
        self._kmer_ids = np.array([ids[kmer] for kmer in kmers], np.int32)
        self._single_ids = np.array([*(ids[b] for b in BASES), ids["N"], self.unk_id], np.int32)
        self._codes = np.full(256, _OTHER_CODE, np.uint8)
        for code, base in enumerate(f"{BASES}N"):
            self._codes[[ord(base), ord(base.lower())]] = code

    @classmethod
    def from_directory(cls, path: str | Path) -> KmerTokenizer:
        """Read ``vocab.txt`` (one token a line) of a Hugging Face model directory.

        Raises
        ------
        ModelError
            If the file is absent or not a k-mer vocabulary.
        """
        file = Path(path) / "vocab.txt"
        if not file.is_file():
            raise ModelError(f"{file} does not exist: a k-mer model needs its vocab.txt")
        return cls(file.read_text().split())

    @property
    def digest(self) -> str:
        """SHA-256 of the vocabulary, hex."""
        return hashlib.sha256("\n".join(self.vocab).encode()).hexdigest()

    def encode(self, sequences: Sequences) -> Tokens:
        """Tokenize, each sequence with a leading ``<cls>``.

        Parameters
        ----------
        sequences : Sequences
            n sequences; case is ignored.

        Examples
        --------
        >>> from .sequences import Sequences
        >>> tokenizer = KmerTokenizer(kmer_vocabulary(6))
        >>> tokens = tokenizer.encode(Sequences.from_strings(["AAAAAAANT", "TTTTTT"]))
        >>> [tokenizer.vocab[i] for i in tokens[0]]
        ['<cls>', 'AAAAAA', 'A', 'N', 'T']
        """
        codes = self._codes[sequences.data]
        position, length = _run_position_and_length(codes, sequences.offsets)
        tail = position >= length // self.k * self.k
        whole = (codes < _N_CODE) & ~tail & (position % self.k == 0)
        single = ((codes < _N_CODE) & tail) | (codes == _N_CODE)
        single |= (codes == _OTHER_CODE) & (position == 0)
        emitted = whole | single
        ids = self._single_ids[codes[emitted]]
        ids[whole[emitted]] = self._kmer_ids[self._kmer_index(codes, np.flatnonzero(whole))]
        emitted_before = np.concatenate([[0], np.cumsum(emitted, dtype=np.int64)])
        starts = emitted_before[sequences.offsets]
        return Tokens(
            np.insert(ids, starts[:-1], np.int32(self.cls_id)),
            starts + np.arange(len(starts), dtype=np.int64),
        )

    def _kmer_index(
        self, codes: NDArray[np.uint8], starts: NDArray[np.int64]
    ) -> NDArray[np.int32]:
        index = np.zeros(len(starts), np.int32)
        for step in range(self.k):
            index = index * 4 + codes[starts + step]
        return index


def kmer_vocabulary(k: int) -> list[str]:
    """The Nucleotide Transformer vocabulary for k-mers: specials, k-mers, single bases, N."""
    kmers = ("".join(letters) for letters in product(BASES, repeat=k))
    return [*SPECIAL_TOKENS, *kmers, *BASES, "N"]


def _run_position_and_length(
    codes: NDArray[np.uint8], offsets: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of each base, its position in its run of one kind (ACGT, N, other) and the run's length."""
    n = len(codes)
    if n == 0:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    kind = np.maximum(codes, 3)
    is_start = np.empty(n, np.bool_)
    is_start[0] = True
    np.not_equal(kind[1:], kind[:-1], out=is_start[1:])
    is_start[offsets[:-1][offsets[:-1] < n]] = True
    starts = np.flatnonzero(is_start)
    lengths = np.diff(np.append(starts, n))
    run = np.repeat(np.arange(len(starts)), lengths)
    return np.arange(n) - starts[run], lengths[run]
