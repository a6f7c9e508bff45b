"""The tokenizer of a model directory, by its family."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from .kmer import KmerTokenizer
from .letters import LetterTokenizer

if TYPE_CHECKING:
    from pathlib import Path

    from .token_ids import Tokenizer


def load_tokenizer(path: Path, loader: str, *, trust_remote_code: bool = False) -> Tokenizer:
    """Tokenizer of a local directory.

    Parameters
    ----------
    path : Path
    loader : str
        Family of the model; ESM models have a k-mer vocabulary of their own.
    trust_remote_code : bool
        Whether the tokenizer's own code may be run.

    Raises
    ------
    ModelError
        If the files are absent or damaged, or the vocabulary holds no DNA.
    """
    if loader == "peaklm":
        return LetterTokenizer()
    if loader in ("esm", "esm-glu"):
        return KmerTokenizer.from_directory(path)
    hub = import_module(".hub", __package__)  # imports transformers, which takes seconds
    found: Tokenizer = hub.load_hub_tokenizer(path, trust_remote_code=trust_remote_code)
    return found
