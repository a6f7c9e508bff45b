"""Tokenizers of models that do not read non-overlapping k-mers.

`TextTokenizer` runs the model's own Hugging Face tokenizer (byte pairs, single letters).
`OverlappingKmerTokenizer` is DNABERT's: a token at every base, by table look-up.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np
from transformers import AutoTokenizer

from peakatlas.engine.errors import ModelError
from peakatlas.engine.hf_logging import quiet

from .kmer import BASES, dna_tokens
from .token_ids import Tokens

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from peakatlas.engine.dna.sequences import Sequences

    from .token_ids import Tokenizer

_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "merges.txt", "special_tokens_map.json")
_SETTINGS = "tokenizer_config.json"
_PATH_KEYS = ("name_or_path", "_name_or_path", "special_tokens_map_file", "tokenizer_file",
              "transformers_version", "_commit_hash")  # fmt: skip
_SPECIAL_K = {"unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]"}
_UNKNOWN_CODE = 4


class TextTokenizer:
    """A Hugging Face tokenizer that reads DNA as text, in upper case.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizerBase
        A fast one if there is.
    digest : str
        SHA-256 of its files, hex.

    Raises
    ------
    ModelError
        If no token is a stretch of A, C, G, T.
    """

    def __init__(self, tokenizer: Any, digest: str) -> None:  # noqa: ANN401 (an untyped class)
        self._tokenizer = tokenizer
        self._backend = tokenizer.backend_tokenizer if tokenizer.is_fast else None
        if self._backend is not None:
            self._backend.no_padding()
            self._backend.no_truncation()
        by_id = {index: token for token, index in tokenizer.get_vocab().items()}
        self.vocab = [by_id.get(i, "") for i in range(max(by_id, default=-1) + 1)]
        self.digest = digest
        if not dna_tokens(self.vocab).any():
            raise ModelError(
                "no token of the vocabulary is a stretch of A, C, G, T. The model does not read "
                "DNA, or its tokenizer files are another model's."
            )

    def encode(self, sequences: Sequences) -> Tokens:
        """Token ids of each sequence, special tokens included; nothing is cut or padded."""
        texts = [sequences[row] for row in range(len(sequences))]
        rows = self._ids(texts) if texts else []
        lengths = np.fromiter((len(ids) for ids in rows), np.int64, len(rows))
        flat = np.concatenate([np.empty(0, np.int32), *(np.asarray(r, np.int32) for r in rows)])
        return Tokens(flat.astype(np.int32), np.concatenate([[0], np.cumsum(lengths)]))

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        if self._backend is not None:
            return [encoding.ids for encoding in self._backend.encode_batch_fast(texts)]
        rows: list[list[int]] = self._tokenizer(texts)["input_ids"]
        return rows


class OverlappingKmerTokenizer:
    """A k-mer token at every base, between ``[CLS]`` and ``[SEP]``.

    A k-mer with another letter than A, C, G, T is ``[UNK]``; a sequence shorter than k has no
    token of its own.

    Parameters
    ----------
    vocab : sequence of str
        Token of each id: special tokens and all 4**k k-mers.
    digest : str
        SHA-256 of the tokenizer's files, hex.

    References
    ----------
    Ji et al., Bioinformatics 2021, doi:10.1093/bioinformatics/btab083.
    """

    def __init__(self, vocab: Sequence[str], digest: str) -> None:
        self.vocab, self.digest = list(vocab), digest
        ids = {token: i for i, token in enumerate(self.vocab)}
        kmers = [token for token in self.vocab if set(token) <= set(BASES)]
        self.k = len(kmers[0])
        self._unk, self._cls, self._sep = (ids[name] for name in _SPECIAL_K.values())
        self._codes = np.full(256, _UNKNOWN_CODE, np.uint8)
        self._codes[list(BASES.encode())] = range(4)
        self._ids = np.empty(4**self.k, np.int32)
        letters = self._codes[np.frombuffer("".join(kmers).encode(), np.uint8)]
        index = letters.reshape(-1, self.k) @ 4 ** np.arange(self.k - 1, -1, -1)
        self._ids[index] = [ids[kmer] for kmer in kmers]

    def encode(self, sequences: Sequences) -> Tokens:
        """Token ids of each sequence, special tokens included."""
        codes = self._codes[sequences.data]
        kmer_ids = self._at_every_base(codes)
        counts = np.maximum(sequences.lengths - self.k + 1, 0)
        offsets = np.concatenate([[0], np.cumsum(counts + 2)])
        ids = np.empty(offsets[-1], np.int32)
        inner = np.ones(len(ids), np.bool_)
        inner[offsets[:-1]] = inner[offsets[1:] - 1] = False
        shift = np.repeat(sequences.offsets[:-1] - (np.cumsum(counts) - counts), counts)
        ids[inner] = kmer_ids[np.arange(counts.sum()) + shift]
        ids[offsets[:-1]], ids[offsets[1:] - 1] = self._cls, self._sep
        return Tokens(ids, offsets)

    def _at_every_base(self, codes: NDArray[np.uint8]) -> NDArray[np.int32]:
        n = max(0, len(codes) - self.k + 1)
        index, known = np.zeros(n, np.int64), np.ones(n, np.bool_)
        for step in range(self.k):
            letter = codes[step : step + n]
            known &= letter != _UNKNOWN_CODE
            index = index * 4 + letter
        return np.where(known, self._ids[np.where(known, index, 0)], np.int32(self._unk))


def load_hub_tokenizer(path: Path, *, trust_remote_code: bool = False) -> Tokenizer:
    """Tokenizer that the files of a local Hugging Face directory describe.

    Parameters
    ----------
    path : Path
    trust_remote_code : bool
        Whether the tokenizer's own code may be run.

    Raises
    ------
    ModelError
        If the files are absent or damaged, or the vocabulary holds no DNA.
    """
    digest = files_digest(path)
    try:
        with quiet():
            tokenizer: Any = AutoTokenizer.from_pretrained(
                path, local_files_only=True, trust_remote_code=trust_remote_code
            )
    except (OSError, ValueError, TypeError, KeyError, ImportError, AttributeError) as fault:
        raise ModelError(
            f"{path}: its tokenizer cannot be loaded ({fault}). Needed are tokenizer.json or "
            "vocab.txt, with tokenizer_config.json, as the model's repository has them."
        ) from fault
    text = TextTokenizer(tokenizer, digest)
    return OverlappingKmerTokenizer(text.vocab, digest) if _overlaps(text.vocab) else text


def files_digest(path: Path) -> str:
    """SHA-256 of the tokenizer's files, hex; settings that name a place or version left out.

    Raises
    ------
    ModelError
        If there are none.
    """
    sha = hashlib.sha256()
    found = [path / name for name in _FILES if (path / name).is_file()]
    if not any(file.name in _FILES[:3] for file in found) and not any(path.glob("tokeniz*.py")):
        raise ModelError(
            f"{path}: no tokenizer.json and no vocab.txt. Fetch them from the model's repository."
        )
    for file in found:
        sha.update(f"{file.name}\n".encode() + file.read_bytes())
    if (path / _SETTINGS).is_file():
        settings = json.loads((path / _SETTINGS).read_text())
        kept = {key: value for key, value in settings.items() if key not in _PATH_KEYS}
        sha.update(json.dumps(kept, sort_keys=True).encode())
    return sha.hexdigest()


def _overlaps(vocab: Sequence[str]) -> bool:
    """Whether a vocabulary is special tokens and all k-mers of one k above 1: DNABERT's."""
    lengths = {len(token) for token in vocab if token and set(token) <= set(BASES)}
    if len(lengths) != 1 or not set(_SPECIAL_K.values()) <= set(vocab):
        return False
    k = lengths.pop()
    n = sum(bool(token) and set(token) <= set(BASES) for token in vocab)
    return k > 1 and n == 4**k
