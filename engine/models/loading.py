"""From a model's name to its card, files and weights."""

from __future__ import annotations

import hashlib
import json
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from safetensors import SafetensorError, safe_open

from peakatlas.engine.errors import ModelError

from .esm import load_esm
from .esm_glu import load_esm_glu
from .table import MODELS, ModelCard

if TYPE_CHECKING:
    import torch

    from peakatlas.engine.forward import PackedEncoder
    from peakatlas.engine.spec import Precision

    from .table import Family

_FILES = ["config.json", "vocab.txt", "*.safetensors", "*.safetensors.index.json"]
_ABSOLUTE_OFFSET = 1
_NOT_ENCODER = re.compile(r"^lm_head|contact_head|inv_freq|position_ids")
_READ_BYTES = 1 << 24


def find_model(model: str) -> tuple[ModelCard, Path]:
    """Card and directory of a model, downloading a hub model of the table on first use.

    Parameters
    ----------
    model : str
        Name in `MODELS`, its hub id, or a local Hugging Face directory of these families.

    Raises
    ------
    ModelError
        If there is no such model, or its files cannot be had.
    """
    by_id = {card.source: card for card in MODELS.values()}
    card = MODELS.get(model) or by_id.get(model)
    if card is None:
        return _local_card(Path(model)), Path(model)
    if Path(card.source).is_absolute():
        if not (Path(card.source) / "config.json").is_file():
            raise ModelError(f"{card.name}: its weights are not in this installation. Reinstall.")
        return card, Path(card.source)
    return card, _downloaded(card)


def load_encoder(
    card: ModelCard, path: Path, precision: Precision, device: torch.device
) -> PackedEncoder:
    """Load the weights of a model with the loader of its family.

    Raises
    ------
    ModelError
        If weights are absent or misshapen, or the self-check fails.
    """
    load = {"esm": load_esm, "esm-glu": load_esm_glu}[card.loader]
    return load(path, precision, device)


def weights_digest(path: Path) -> str:
    """SHA-256 of the safetensors file(s) of a directory in order of name, hex.

    Raises
    ------
    ModelError
        If there are none.
    """
    sha = hashlib.sha256()
    for file in _weight_files(path):
        with file.open("rb") as stream:
            while block := stream.read(_READ_BYTES):
                sha.update(block)
    return sha.hexdigest()


def _downloaded(card: ModelCard) -> Path:
    try:
        return Path(snapshot_download(card.source, revision=card.revision, allow_patterns=_FILES))
    except (OSError, HfHubHTTPError, LocalEntryNotFoundError) as fault:
        raise ModelError(
            f"{card.name}: cannot be fetched from the Hugging Face hub ({fault}). Check the "
            "network, or give a local directory with config.json, safetensors and vocab.txt."
        ) from fault


def _local_card(path: Path) -> ModelCard:
    file = path / "config.json"
    if not file.is_file():
        raise ModelError(
            f"{str(path)!r} is neither a known model nor a directory with config.json. "
            f"Known: {', '.join(MODELS)}."
        )
    try:
        config = json.loads(file.read_text())
    except ValueError as fault:
        raise ModelError(f"{file}: not JSON ({fault}). Fetch the model again.") from fault
    if config.get("model_type") != "esm":
        raise ModelError(
            f"{path}: model type {config.get('model_type')!r} has no adapter here. "
            "ESM-type models (Nucleotide Transformer v1, v2) can be loaded."
        )
    loader, n_parameters = _inspect_weights(path)
    rotary = config.get("position_embedding_type") == "rotary"
    context = config["max_position_embeddings"] - config["pad_token_id"] - _ABSOLUTE_OFFSET
    return ModelCard(
        name=path.resolve().name,
        loader=loader,
        family="Nucleotide Transformer v2" if loader == "esm-glu" else "ESM",
        source=str(path.resolve()),
        revision="local",
        licence="unknown",
        context_tokens=config["max_position_embeddings"] if rotary else context,
        dim=config["hidden_size"],
        n_parameters=n_parameters,
    )


def _inspect_weights(path: Path) -> tuple[Family, int]:
    """Family by the names of the weights, and their number outside the language-model head."""
    names: set[str] = set()
    n_parameters = 0
    for file in _weight_files(path):
        try:
            with safe_open(file, "np") as weights:
                for name in weights.keys():  # noqa: SIM118 (not a dict)
                    names.add(name.removeprefix("esm."))
                    if not _NOT_ENCODER.search(name):
                        n_parameters += math.prod(weights.get_slice(name).get_shape())
        except (SafetensorError, OSError) as fault:
            raise ModelError(f"{file}: damaged weights ({fault}). Fetch them again.") from fault
    with_bias = "encoder.layer.0.intermediate.dense.bias" in names
    return ("esm" if with_bias else "esm-glu"), n_parameters


def _weight_files(path: Path) -> list[Path]:
    files = sorted(path.glob("*.safetensors"))
    if not files:
        raise ModelError(
            f"{path}: no safetensors weights. Pickled weights are never loaded; convert them."
        )
    return files
