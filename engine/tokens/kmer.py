"""DNA to token ids: a vectorised, non-overlapping k-mer tokenizer.

What becomes of k bases that are not all A, C, G, T is the model's `PartialKmers` rule:

``split``
    The ids of `transformers.EsmTokenizer` on upper-case DNA: from the left, a full k-mer is one
    token; where fewer than k known bases are left before an N, another letter or the end, each
    base is a token of its own. An N is one token and so shifts the k-mer frame after it; a run of
    other letters is one ``<unk>``.
``mask``
    Tokens sit at every k-th base. One that holds an unknown letter is ``<mask>``, which a masked
    language model reads as DNA that it is not told; bases after the last whole token are left out.
"""

from __future__ import annotations

import hashlib
import json
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from peakatlas.engine.dna.sequences import translated
from peakatlas.engine.errors import ModelError

from .token_ids import Tokens

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from peakatlas.engine.dna.sequences import Sequences

PartialKmers = Literal["split", "mask"]
SPECIAL_TOKENS = ("<unk>", "<pad>", "<mask>", "<cls>")
BASES = "ATCG"  # order of the Nucleotide Transformer vocabulary
_N_CODE, _OTHER_CODE = 4, 5
_WORD_MARKS = "Ġ▁ #"


class KmerTokenizer:
    """Non-overlapping k-mers over a fixed vocabulary, by table look-up.

    Parameters
    ----------
    vocab : sequence of str
        Token of each id. Must hold the special tokens, all 4**k k-mers, and A, C, G, T, N.
    partial_kmers : {"split", "mask"}
        What becomes of bases that are no whole k-mer of A, C, G, T.

    Raises
    ------
    ModelError
        If the vocabulary is not a complete k-mer vocabulary, or the rule is not known.

    References
    ----------
    Dalla-Torre et al., Nature Methods 2025, doi:10.1038/s41592-024-02523-z (6-mer tokens).
    """

    def __init__(self, vocab: Sequence[str], partial_kmers: PartialKmers = "split") -> None:
        self.vocab = list(vocab)
        self.partial_kmers = partial_kmers
        if partial_kmers not in get_args(PartialKmers):
            raise ModelError(f"partial_kmers is {partial_kmers!r}, not one of split, mask")
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
        """Read the tokenizer of a Hugging Face model directory.

        ``vocab.txt`` has one token a line; ``partial_kmers`` in ``tokenizer_config.json`` may say
        ``mask``.

        Raises
        ------
        ModelError
            If ``vocab.txt`` is absent or not a k-mer vocabulary, or the rule is not known.
        """
        file, options = Path(path) / "vocab.txt", Path(path) / "tokenizer_config.json"
        if not file.is_file():
            raise ModelError(f"{file} does not exist: a k-mer model needs its vocab.txt")
        settings = json.loads(options.read_text()) if options.is_file() else {}
        return cls(file.read_text().split(), settings.get("partial_kmers", "split"))

    @property
    def digest(self) -> str:
        """SHA-256 of the rule and the vocabulary, hex."""
        lines = [f"partial_kmers={self.partial_kmers}", *self.vocab]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def encode(self, sequences: Sequences) -> Tokens:
        """Tokenize, each sequence with a leading ``<cls>``.

        Parameters
        ----------
        sequences : Sequences
            n sequences; case is ignored.

        Examples
        --------
        >>> from peakatlas.engine.dna.sequences import Sequences
        >>> tokenizer = KmerTokenizer(kmer_vocabulary(6))
        >>> tokens = tokenizer.encode(Sequences.from_strings(["AAAAAAANT", "TTTTTT"]))
        >>> [tokenizer.vocab[i] for i in tokens[0]]
        ['<cls>', 'AAAAAA', 'A', 'N', 'T']
        """
        codes = translated(sequences.data, self._codes.tobytes())
        if self.partial_kmers == "mask":
            ids, total = self._masked(codes, sequences.offsets)
        else:
            ids, total = self._split(codes, sequences.offsets)
        return Tokens(
            np.insert(ids, total[:-1], np.int32(self.cls_id)),
            total + np.arange(len(total), dtype=np.int64),
        )

    def _masked(
        self, codes: NDArray[np.uint8], offsets: NDArray[np.int64]
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        n_tokens = np.diff(offsets) // self.k
        total = np.concatenate([[0], np.cumsum(n_tokens)])
        shift = np.repeat(offsets[:-1] - total[:-1] * self.k, n_tokens)
        bases = np.arange(total[-1]) * self.k + shift
        known = np.ones(len(bases), np.bool_)
        for step in range(self.k):
            known &= codes[bases + step] < _N_CODE
        ids = np.full(len(bases), self.mask_id, np.int32)
        ids[known] = self._kmer_ids[self._kmer_index(codes, bases[known])]
        return ids, total

    def _split(
        self, codes: NDArray[np.uint8], offsets: NDArray[np.int64]
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        start, length = _runs(codes, offsets)
        kind = codes[start]
        n_whole = np.where(kind < _N_CODE, length // self.k, 0)
        n_tokens = np.where(kind == _OTHER_CODE, 1, length - n_whole * (self.k - 1))
        run = np.repeat(np.arange(len(start)), n_tokens)
        first = np.cumsum(n_tokens) - n_tokens
        within = np.arange(len(run)) - first[run]
        whole = within < n_whole[run]
        base = start[run] + np.minimum(within, n_whole[run]) * (self.k - 1) + within
        ids = self._single_ids[codes[base]]
        ids[whole] = self._kmer_ids[self._kmer_index(codes, base[whole])]
        return ids, np.append(first, len(run))[np.searchsorted(start, offsets)]

    def _kmer_index(self, codes: NDArray[np.uint8], starts: NDArray[np.int64]) -> NDArray[np.int32]:
        index = np.zeros(len(starts), np.int32)
        for step in range(self.k):
            index = index * 4 + codes[starts + step]
        return index


def kmer_vocabulary(k: int) -> list[str]:
    """The Nucleotide Transformer vocabulary for k-mers: specials, k-mers, single bases, N."""
    kmers = ("".join(letters) for letters in product(BASES, repeat=k))
    return [*SPECIAL_TOKENS, *kmers, *BASES, "N"]


def dna_tokens(vocab: Iterable[str]) -> NDArray[np.bool_]:
    """Whether each token is a stretch of A, C, G, T, perhaps marked as the begin of a word."""
    cores = [token.strip(_WORD_MARKS) for token in vocab]
    return np.array([bool(core) and set(core) <= set(BASES) for core in cores], np.bool_)


def _runs(
    codes: NDArray[np.uint8], offsets: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Start and length in bp of each run of one kind (ACGT, N, other) within one sequence."""
    n = len(codes)
    kind = np.maximum(codes, _N_CODE - 1)
    is_start = np.ones(n, np.bool_)
    np.not_equal(kind[1:], kind[:-1], out=is_start[1:])
    is_start[offsets[offsets < n]] = True
    start = np.flatnonzero(is_start)
    return start, np.diff(np.append(start, n))
