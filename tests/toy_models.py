"""Tiny random checkpoints in the layout of a Hugging Face directory."""

from __future__ import annotations

import itertools
from pathlib import Path

import torch
from transformers import EsmConfig, EsmForMaskedLM

SPECIALS = ("<unk>", "<pad>", "<mask>", "<cls>")


def nt_vocabulary(k: int = 6) -> list[str]:
    """Specials, all k-mers over ATCG, single bases, N: the Nucleotide Transformer order."""
    kmers = ("".join(letters) for letters in itertools.product("ATCG", repeat=k))
    return [*SPECIALS, *kmers, *"ATCGN"]


def toy_config(*, rotary: bool, dim: int = 32, n_layers: int = 2, n_heads: int = 4) -> EsmConfig:
    """Configuration of a toy ESM with the 6-mer vocabulary."""
    return EsmConfig(
        vocab_size=len(nt_vocabulary()), pad_token_id=1, mask_token_id=2,
        hidden_size=dim, num_hidden_layers=n_layers, num_attention_heads=n_heads,
        intermediate_size=3 * dim, max_position_embeddings=1026,
        position_embedding_type="rotary" if rotary else "absolute",
        token_dropout=True, emb_layer_norm_before=not rotary, layer_norm_eps=1e-5,
        tie_word_embeddings=False,
    )  # fmt: skip


def write_toy_esm(path: str | Path, *, rotary: bool = True, seed: int = 0, dim: int = 32) -> Path:
    """Write a random ``EsmForMaskedLM`` directory (config, safetensors, vocab.txt); returns it."""
    torch.manual_seed(seed)
    model = EsmForMaskedLM(toy_config(rotary=rotary, dim=dim)).eval()
    _scale_up(model)
    return _save(model, Path(path))


def write_toy_glu(path: str | Path, *, seed: int = 0, dim: int = 32) -> Path:
    """Write a random Nucleotide Transformer v2 directory; returns it."""
    from peakatlas.engine.models.esm_glu import EsmGluModel  # noqa: PLC0415

    torch.manual_seed(seed)
    config = toy_config(rotary=True, dim=dim)
    config.tie_word_embeddings = False
    model = EsmGluModel(config).eval()
    _scale_up(model)
    return _save(model, Path(path), architectures=["EsmForMaskedLM"])


def _scale_up(model: torch.nn.Module) -> None:
    """Weights large enough that attention and positions matter in a toy."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1:
                weight.mul_(5)
            elif "bias" in name:
                weight.normal_(0, 0.1)


def _save(model, path: Path, **config) -> Path:
    for key, value in config.items():
        setattr(model.config, key, value)
    model.save_pretrained(path)
    (path / "vocab.txt").write_text("\n".join(nt_vocabulary()) + "\n")
    return path


def write_toy_peaklm(path: str | Path, *, seed: int = 0) -> Path:
    """Write a random directory of the shipped model's family; returns it."""
    from peakatlas.engine.models.letter_network import LetterConfig, LetterModel  # noqa: PLC0415
    from peakatlas.engine.pretrain.training import write_model  # noqa: PLC0415

    torch.manual_seed(seed)
    config = LetterConfig(
        hidden_size=32, embedding_size=32, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=96, n_filters=8,
    )  # fmt: skip
    model = LetterModel(config)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 2:
                weight.mul_(10)
    Path(path).mkdir(parents=True, exist_ok=True)
    write_model(model, Path(path))
    return Path(path)


def packed(encoder, *sequences: torch.Tensor, layer: int = -1) -> tuple[torch.Tensor, ...]:
    """Token vectors of each sequence, all of them in one pack."""
    lengths = [len(ids) for ids in sequences]
    plan = encoder.plan(torch.cat(sequences).numpy(), lengths)
    moved = plan.map(lambda tensor: tensor.to(encoder.device))
    return encoder.hidden(moved, layer=layer)[: sum(lengths)].split(lengths)
