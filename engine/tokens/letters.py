"""DNA to token ids for models that read letters: six bases a token, unknown ones included.

A token is six letters of A, C, G, T, N (any other letter is read as N), its id their number in
base 5. The last token of a sequence is filled up with N, so every base is read, and an unknown
base hides itself only.
"""

from __future__ import annotations

import hashlib
from itertools import product
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from peakatlas.engine.dna.kmers import UNKNOWN
from peakatlas.engine.dna.sequences import translated

from .token_ids import Tokens

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from peakatlas.engine.dna.sequences import Sequences

_Integer = TypeVar("_Integer", np.int32, np.int64)

LETTERS = "ACGTN"
TOKEN_BASES = 6
"""Bases a token."""
N_TOKENS = len(LETTERS) ** TOKEN_BASES
_LEAST_KNOWN = 3
_POWERS = len(LETTERS) ** np.arange(TOKEN_BASES - 1, -1, -1)
_CODES = np.full(256, UNKNOWN, np.uint8)
for _code, _letter in enumerate(LETTERS):
    _CODES[[ord(_letter), ord(_letter.lower())]] = _code


class LetterTokenizer:
    """Six letters a token over A, C, G, T, N.

    Examples
    --------
    >>> from peakatlas.engine.dna.sequences import Sequences
    >>> tokenizer = LetterTokenizer()
    >>> [tokenizer.vocab[i] for i in tokenizer.encode(Sequences.from_strings(["ACGTACGR"])).ids]
    ['ACGTAC', 'GNNNNN']
    """

    def __init__(self) -> None:
        self.vocab = ["".join(letters) for letters in product(LETTERS, repeat=TOKEN_BASES)]

    @property
    def digest(self) -> str:
        """SHA-256 of the rule, hex."""
        rule = f"letters={LETTERS} token_bases={TOKEN_BASES}"
        return hashlib.sha256(rule.encode()).hexdigest()

    @property
    def real(self) -> NDArray[np.bool_]:
        """Whether each token has three known letters or more and counts in a mean, (N_TOKENS,)."""
        return np.asarray((token_letters() != UNKNOWN).sum(axis=1) >= _LEAST_KNOWN)

    def encode(self, sequences: Sequences) -> Tokens:
        """Token ids of each sequence, one at least; there are no special tokens.

        Parameters
        ----------
        sequences : Sequences
            n sequences; case is ignored.
        """
        n_tokens = np.maximum(-(-sequences.lengths // TOKEN_BASES), 1)
        offsets = np.concatenate([[0], np.cumsum(n_tokens)]).astype(np.int64)
        codes = translated(sequences.data, _CODES.tobytes())
        filled = _filled(codes, sequences.lengths, n_tokens * TOKEN_BASES)
        return Tokens(_numbers(filled.reshape(-1, TOKEN_BASES), np.int32), offsets)


def _filled(
    codes: NDArray[np.uint8], given: NDArray[np.int64], lengths: NDArray[np.int64]
) -> NDArray[np.uint8]:
    """Codes of sequences of given lengths, each filled up to its new length with unknown ones."""
    if np.array_equal(lengths, given):
        return codes
    filled = np.full(lengths.sum(), UNKNOWN, np.uint8)
    taken = np.tile([True, False], len(given))
    filled[np.repeat(taken, np.stack([given, lengths - given], 1).ravel())] = codes
    return filled


def letter_codes(letters: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Codes from 0 to 4, in the order of `LETTERS`, of ASCII letters of any case."""
    return _CODES[letters]


def token_ids(codes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Ids of tokens from the codes of their letters, shape (…, TOKEN_BASES) to (…)."""
    return _numbers(codes, np.int64)


def _numbers(codes: NDArray[np.uint8], dtype: type[_Integer]) -> NDArray[_Integer]:
    ids = np.zeros(codes.shape[:-1], dtype)
    for place in range(TOKEN_BASES):
        ids *= dtype(len(LETTERS))
        ids += codes[..., place]
    return ids


def token_letters() -> NDArray[np.uint8]:
    """Codes of the letters of every token, shape (N_TOKENS, TOKEN_BASES)."""
    ids = np.arange(N_TOKENS)[:, None]
    return np.asarray(ids // _POWERS % len(LETTERS), np.uint8)
