"""Models fetched from the Hugging Face hub: files of named kinds, at one revision."""

from __future__ import annotations

import re
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from peakatlas.engine.errors import ModelError

_FILES = ["config.json", "vocab.txt", "vocab.json", "merges.txt", "tokenizer.json",
          "tokenizer_config.json", "special_tokens_map.json", "*.safetensors",
          "*.safetensors.index.json", "README.md"]  # fmt: skip
_HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*/[\w.-]+$")
_COMMIT = re.compile(r"^[0-9a-f]{40}$")


def looks_like_hub_id(model: str) -> bool:
    """Whether a name has the form ``owner/name``."""
    return bool(_HUB_ID.match(model))


def is_commit(revision: str) -> bool:
    """Whether a revision is a full commit hash, which always names the same files."""
    return bool(_COMMIT.match(revision))


def fetch(hub_id: str, revision: str, *, with_code: bool = False) -> tuple[Path, str]:
    """Directory of a hub model, downloaded on first use, and the commit that it is.

    Parameters
    ----------
    hub_id : str
        ``owner/name``.
    revision : str
        Branch, tag or commit.
    with_code : bool
        Whether to fetch Python files too.

    Raises
    ------
    ModelError
        If it cannot be fetched.
    """
    patterns = [*_FILES, "*.py"] if with_code else _FILES
    try:
        path = Path(snapshot_download(hub_id, revision=revision, allow_patterns=patterns))
    except (OSError, HfHubHTTPError, HFValidationError, LocalEntryNotFoundError) as fault:
        raise ModelError(
            f"{hub_id}: no such folder, and it cannot be fetched from the Hugging Face hub "
            f"({fault}). Check the name and the network, or give a local directory with "
            "config.json, safetensors and the tokenizer's files."
        ) from fault
    return path, path.name
