"""ESM checkpoints (Nucleotide Transformer v1, the shipped model) as a packed encoder."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from transformers import EsmConfig, EsmModel

from peakatlas.engine.errors import ModelError
from peakatlas.engine.forward.blocks import Affine, EncoderLayer, make_block
from peakatlas.engine.forward.embedding_layer import WordTable
from peakatlas.engine.forward.encoder import DTYPES, PackedEncoder

from .checkpoint import NEVER_READ, read_checkpoint
from .checks import check_encoder, check_finite, check_positions, probe_ids

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from peakatlas.engine.forward.blocks import Block
    from peakatlas.engine.spec import Precision

# Share of tokens that ESM masks in training; its embeddings are scaled to match at inference.
_MASKED_SHARE = 0.15 * 0.8
# Recomputed here, or not on the way to the last hidden state.
_UNUSED = (*NEVER_READ, "inv_freq", "contact_head.regression.weight",
           "contact_head.regression.bias")  # fmt: skip


def load_esm(path: Path, precision: Precision, device: torch.device) -> PackedEncoder:
    """Load a local ``EsmForMaskedLM`` or ``EsmModel`` directory.

    Parameters
    ----------
    path : Path
        Directory with ``config.json`` and safetensors weights.
    precision : {'bf16', 'fp32'}
    device : torch.device

    Returns
    -------
    PackedEncoder

    Raises
    ------
    ModelError
        If weights are absent or misshapen, or the self-check fails.
    """
    return build_encoder(load_hf(EsmModel, path), precision, device)


def load_hf(model_class: type[Any], path: Path) -> Any:  # noqa: ANN401 (an untyped class)
    """Build a Hugging Face model from a local directory, in float32, without its pooler.

    Raises
    ------
    ModelError
        If the weights do not fit the class.
    """
    try:
        config = EsmConfig.from_pretrained(path)
    except (OSError, ValueError, TypeError) as fault:
        raise ModelError(f"{path}: cannot be loaded as an ESM checkpoint: {fault}") from fault
    return read_checkpoint(
        model_class, path, "an ESM", may_lack=_UNUSED, config=config, add_pooling_layer=False
    )


def build_encoder(
    model: Any,  # noqa: ANN401 (an untyped class)
    precision: Precision,
    device: torch.device,
    *,
    gated: bool = False,
) -> PackedEncoder:
    """Copy the weights of an ESM-shaped model and check that they work.

    Parameters
    ----------
    model : EsmModel
        Without pooler, in float32.
    precision : {'bf16', 'fp32'}
    device : torch.device
    gated : bool
        Whether the feed-forward is a SwiGLU, not a GELU.

    Raises
    ------
    ModelError
        If the configuration is not supported or the self-check fails.
    """
    config, embeddings = model.config, model.embeddings
    rotary = config.position_embedding_type == "rotary"
    if not rotary and config.position_embedding_type != "absolute":
        raise ModelError(f"position embedding {config.position_embedding_type!r} is not known")
    scale = 1 - _MASKED_SHARE if config.token_dropout else 1.0
    first = config.pad_token_id + 1
    check_finite(model.parameters())

    def block(layer: Any, dtype: torch.dtype = DTYPES[precision]) -> Block:  # noqa: ANN401
        weights = _layer(layer, dtype, device)
        return make_block(weights, n_heads=config.num_attention_heads, rotary=rotary, gated=gated)

    encoder = PackedEncoder(
        stem=WordTable(
            words=_tensor(embeddings.word_embeddings.weight, device) * scale,
            positions=None
            if rotary
            else _tensor(embeddings.position_embeddings.weight[first:], device),
        ),
        width=config.hidden_size,
        dim=config.hidden_size,
        embedding_norm=None
        if embeddings.layer_norm is None
        else _norm(embeddings.layer_norm, device),
        blocks=tuple(map(block, model.encoder.layer)),
        final_norm=_norm(model.encoder.emb_layer_norm_after, device),
        n_heads=config.num_attention_heads,
        eps=config.layer_norm_eps,
        dtype=DTYPES[precision],
        ffn=config.intermediate_size,
        rope_base=float(config.rope_theta) if rotary else None,
    )
    check_encoder(encoder)
    exact = replace(
        encoder, blocks=(block(model.encoder.layer[0], torch.float32),), dtype=torch.float32
    )
    check_positions(exact, probe_ids(encoder.stem.n_ids).to(device))
    return encoder


def _layer(layer: Any, dtype: torch.dtype, device: torch.device) -> EncoderLayer:  # noqa: ANN401
    attention = layer.attention.self
    stacked = [attention.query, attention.key, attention.value]
    return EncoderLayer(
        attention_norm=_norm(layer.attention.LayerNorm, device),
        qkv=Affine(
            weight=_tensor(torch.cat([part.weight for part in stacked]), device, dtype),
            bias=_tensor(torch.cat([part.bias for part in stacked]), device, dtype),
        ),
        attention_out=_linear(layer.attention.output.dense, dtype, device),
        mlp_norm=_norm(layer.LayerNorm, device),
        up=_linear(layer.intermediate.dense, dtype, device),
        down=_linear(layer.output.dense, dtype, device),
    )


def _linear(layer: nn.Linear, dtype: torch.dtype, device: torch.device) -> Affine:
    bias = None if layer.bias is None else _tensor(layer.bias, device, dtype)
    return Affine(weight=_tensor(layer.weight, device, dtype), bias=bias)


def _norm(norm: nn.LayerNorm, device: torch.device) -> Affine:
    return Affine(weight=_tensor(norm.weight, device), bias=_tensor(norm.bias, device))


def _tensor(
    values: torch.Tensor, device: torch.device, dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    return values.detach().to(device=device, dtype=dtype).contiguous()
