"""From a model's name to its card, its files, and a model that is ready to embed."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peakatlas.engine.dna.sequences import Sequences
from peakatlas.engine.documents import parse_object
from peakatlas.engine.errors import ModelError
from peakatlas.engine.tokens.kmer import dna_tokens
from peakatlas.engine.tokens.letters import LetterTokenizer
from peakatlas.engine.tokens.loading import load_tokenizer

from .encoder import LoadedModel
from .files import inspect_weights, read_licence, weight_files
from .hf_encoder import HfEncoder, linear_weights
from .hub import fetch, is_commit, looks_like_hub_id
from .letter_network import MODEL_TYPE, LetterConfig, n_linear_weights
from .table import MODELS, ModelCard

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import torch

    from peakatlas.engine.forward.encoder import PackedEncoder
    from peakatlas.engine.spec import Precision

    from .table import Family

_READ_BYTES = 1 << 24
_LOADERS: dict[Family, tuple[str, str]] = {
    "peaklm": (".peaklm", "load_peaklm"),
    "esm": (".esm", "load_esm"),
    "esm-glu": (".esm_glu", "load_esm_glu"),
    "bert": (".bert", "load_bert"),
    "modernbert": (".modernbert", "load_modernbert"),
    "auto": (".auto", "load_auto"),
}
_FAMILY_NAMES: dict[Family, str] = {
    "peaklm": "peakatlas language model",
    "esm": "ESM",
    "esm-glu": "Nucleotide Transformer v2",
    "bert": "BERT",
    "modernbert": "ModernBERT",
}
# What a configuration says of places, versions and heads, which no token vector depends on.
_NOT_IDENTITY = ("_name_or_path", "name_or_path", "transformers_version", "torch_dtype", "dtype",
                 "architectures", "auto_map", "_commit_hash", "use_cache", "id2label",
                 "label2id")  # fmt: skip
_UNBOUNDED_TOKENS = 1 << 20
_WIDTHS = ("hidden_size", "d_model", "n_embd")
_PROBE = "ACGT" * 8
_NON_COMMERCIAL = re.compile(r"(^|-)nc(-|$)|non-?commercial", re.IGNORECASE)


def find_model(
    model: str, *, revision: str | None = None, trust_remote_code: bool = False
) -> tuple[ModelCard, Path]:
    """Card and directory of a model, fetching a hub model on first use.

    Parameters
    ----------
    model : str
        Name in `MODELS`, a hub id ``owner/name``, or a local Hugging Face directory.
    revision : str, optional
        Hub revision: a branch, a tag or a commit. Only for hub models.
    trust_remote_code : bool
        Whether the model's own Python code may be run. A hub model then needs a commit as
        `revision`, because branches and tags can be moved to other code.

    Raises
    ------
    ModelError
        If there is no such model, its files cannot be had, or it needs code that is not trusted.
    """
    by_id = {card.source: card for card in MODELS.values()}
    card = MODELS.get(model) or by_id.get(model)
    on_hub = card is None and not Path(model).exists() and looks_like_hub_id(model)
    if revision is not None and not on_hub and (card is None or Path(card.source).is_absolute()):
        raise ModelError(f"{model!r} is not a hub model, so it has no revision {revision!r}.")
    if card is None and not on_hub:
        return _local_card(Path(model), trust_remote_code=trust_remote_code), Path(model)
    if card is not None and Path(card.source).is_absolute():
        if not (Path(card.source) / "config.json").is_file():
            raise ModelError(f"{card.name}: its weights are not in this installation. Reinstall.")
        return card, Path(card.source)
    source = model if card is None else card.source
    wanted = revision or ("main" if card is None else card.revision)
    with_code = trust_remote_code and is_commit(wanted)
    path, commit = fetch(source, wanted, with_code=with_code)
    if card is not None:
        return replace(card, revision=commit), path
    found = _local_card(path, trust_remote_code=trust_remote_code, hub_revision=wanted)
    return replace(found, name=model, source=model, revision=commit), path


def load_model(
    card: ModelCard,
    path: Path,
    precision: Precision,
    device: torch.device,
    *,
    trust_remote_code: bool = False,
) -> LoadedModel:
    """Load the weights and the tokenizer of a model with the loader of its family.

    Raises
    ------
    ModelError
        If files are absent or damaged, weights misshapen, or the self-check fails.
    """
    encoder = load_encoder(card, path, precision, device, trust_remote_code=trust_remote_code)
    tokenizer = load_tokenizer(path, card.loader, trust_remote_code=trust_remote_code)
    real = tokenizer.real if isinstance(tokenizer, LetterTokenizer) else dna_tokens(tokenizer.vocab)
    probe = tokenizer.encode(Sequences.from_strings([_PROBE]))
    config, padded = _config(path), isinstance(encoder, HfEncoder)
    return LoadedModel(
        encoder=encoder,
        tokenizer=tokenizer,
        real=real,
        n_layers=encoder.n_layers
        if isinstance(encoder, HfEncoder)
        else config["num_hidden_layers"],
        linear_weights=linear_weights(encoder.model)
        if isinstance(encoder, HfEncoder)
        else _linear_weights(config, card.loader),
        learnt_positions=card.loader in ("bert", "auto")
        or (not padded and config.get("position_embedding_type", "rotary") != "rotary"),
        leading_cls=not real[probe.ids[0]],
    )


def load_encoder(
    card: ModelCard,
    path: Path,
    precision: Precision,
    device: torch.device,
    *,
    trust_remote_code: bool = False,
) -> PackedEncoder | HfEncoder:
    """Load the weights of a model with the loader of its family.

    Raises
    ------
    ModelError
        If weights are absent or misshapen, or the self-check fails.
    """
    module, function = _LOADERS[card.loader]
    options = {"trust_remote_code": trust_remote_code} if card.loader == "auto" else {}
    # by name, as all families but the shipped one import transformers, which takes seconds
    load: Callable[..., PackedEncoder | HfEncoder] = getattr(
        import_module(module, __package__), function
    )
    return load(path, precision, device, **options)


def weights_digest(path: Path) -> str:
    """SHA-256 of the safetensors file(s) of a directory in order of name, hex.

    Raises
    ------
    ModelError
        If there are none.
    """
    sha = hashlib.sha256()
    for file in weight_files(path):
        with file.open("rb") as stream:
            while block := stream.read(_READ_BYTES):
                sha.update(block)
    return sha.hexdigest()


def config_digest(card: ModelCard, path: Path) -> str:
    """SHA-256 of what shapes the forward pass besides the weights, hex.

    That is the configuration without names of places, versions and heads, and the Python code of
    a model that runs its own.
    """
    config = {key: value for key, value in _config(path).items() if key not in _NOT_IDENTITY}
    sha = hashlib.sha256(json.dumps(config, sort_keys=True, separators=(",", ":")).encode())
    if card.loader == "auto" and _config(path).get("auto_map"):
        for file in sorted(path.glob("*.py")):
            sha.update(f"{file.name}\n".encode() + file.read_bytes())
    return sha.hexdigest()


def _config(path: Path) -> dict[str, Any]:
    file = path / "config.json"
    if not file.is_file():
        raise ModelError(
            f"{str(path)!r} is neither a known model nor a directory with config.json. "
            f"Known: {', '.join(MODELS)}."
        )
    return parse_object(file.read_bytes(), str(file), ModelError)


def _local_card(
    path: Path, *, trust_remote_code: bool, hub_revision: str | None = None
) -> ModelCard:
    config = _config(path)
    _check_known(config, path)
    names, n_parameters = inspect_weights(path)
    loader = _family(config, names)
    if loader == "auto":
        _check_code(config, path, trust_remote_code, hub_revision)
    licence = read_licence(path)
    return ModelCard(
        name=path.resolve().name,
        loader=loader,
        family=_FAMILY_NAMES.get(loader, str(config.get("model_type"))),
        source=str(path.resolve()),
        revision="local",
        licence=licence,
        non_commercial=bool(_NON_COMMERCIAL.search(licence)),
        context_tokens=_context(config, loader),
        dim=_dim(config, loader),
        n_parameters=n_parameters,
    )


def _family(config: Mapping[str, Any], names: frozenset[str]) -> Family:
    """Which loader fits, by the model type and the names of the weights."""
    kind = config.get("model_type")
    if kind == MODEL_TYPE:
        return "peaklm"
    if kind == "esm":
        with_bias = "encoder.layer.0.intermediate.dense.bias" in names
        return "esm" if with_bias else "esm-glu"
    if kind == "bert" and "encoder.layer.0.attention.self.query.weight" in names:
        return "bert"
    native = kind == "modernbert" and "layers.0.attn.Wqkv.weight" in names
    return "modernbert" if native else "auto"


def _check_known(config: Mapping[str, Any], path: Path) -> None:
    kind = config.get("model_type")
    if kind == MODEL_TYPE or config.get("auto_map"):
        return
    if kind not in import_module("transformers").CONFIG_MAPPING:
        raise ModelError(
            f"{path}: model type {kind!r} has no adapter here, transformers does not know it, and "
            "it brings no code of its own."
        )


def _check_code(
    config: Mapping[str, Any], path: Path, trusted: bool, hub_revision: str | None
) -> None:
    """Refuse a model that needs Python code of its own unless that is trusted and pinned."""
    places = config.get("auto_map") or {}
    if not places:
        return
    if any("--" in str(place) for place in places.values()):
        raise ModelError(
            f"{path}: the model's code lies in another repository ({places}). Put that code "
            "beside the weights and name it in config.json without the repository."
        )
    if not trusted:
        raise ModelError(
            f"{path}: the model runs Python code of its own, which may do whatever you may. Read "
            "it, then give --trust-remote-code, and for a hub model --revision with its commit."
        )
    if hub_revision is not None and not is_commit(hub_revision):
        raise ModelError(
            f"{path}: remote code needs a pinned revision, and {hub_revision!r} can be moved to "
            "other code. Give --revision with the 40 hex digits of a commit."
        )


def _context(config: Mapping[str, Any], loader: Family) -> int:
    longest = next(
        (
            int(config[key])
            for key in ("max_position_embeddings", "n_positions", "max_seq_len", "max_length")
            if isinstance(config.get(key), int)
        ),
        _UNBOUNDED_TOKENS,
    )
    learnt = config.get("position_embedding_type", "absolute") == "absolute"
    # ESM and RoBERTa number positions from the padding id on.
    shifted = loader == "esm" or config.get("model_type") in ("roberta", "xlm-roberta", "camembert")
    return longest - int(config.get("pad_token_id") or 0) - 1 if shifted and learnt else longest


def _dim(config: Mapping[str, Any], loader: Family) -> int:
    if loader == "peaklm":
        return LetterConfig.from_json(config).embedding_size
    return next((config[key] for key in _WIDTHS if key in config), 0)


def _linear_weights(config: Mapping[str, Any], loader: Family) -> int:
    if loader == "peaklm":
        return n_linear_weights(LetterConfig.from_json(config))
    dim, matrices = config["hidden_size"], 3 if loader == "esm-glu" else 2
    layer = 4 * dim * dim + matrices * dim * config["intermediate_size"]
    return int(config["num_hidden_layers"] * layer)
