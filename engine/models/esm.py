"""ESM checkpoints (Nucleotide Transformer v1, the shipped model) as a packed encoder."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from transformers import EsmConfig, EsmModel

from peakatlas.engine.errors import ModelError
from peakatlas.engine.forward.blocks import Affine, EncoderLayer, EncoderShape
from peakatlas.engine.forward.embedding_layer import TokenTable
from peakatlas.engine.forward.encoder import PackedEncoder, forward_of
from peakatlas.engine.forward.linear import operand_dtype, rounded

from .checkpoint import NEVER_READ, read_checkpoint
from .checks import check_encoder, check_finite, check_positions, probe_ids

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from peakatlas.engine.forward.blocks import Forward
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
    forward: Forward | None = None,
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
    forward : Forward, optional
        How the layers are run; the way of the device if not given.

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
    forward, shape = forward or forward_of(device), _shape(config, precision, device, gated)
    encoder = PackedEncoder(
        shape=shape,
        forward=forward,
        embedding=TokenTable(
            words=_tensor(embeddings.word_embeddings.weight, device) * scale,
            positions=None
            if rotary
            else _tensor(embeddings.position_embeddings.weight[first:], device),
        ),
        dim=config.hidden_size,
        embedding_norm=None
        if embeddings.layer_norm is None
        else _norm(embeddings.layer_norm, device),
        blocks=tuple(
            forward.block(_layer(layer, precision, device), shape) for layer in model.encoder.layer
        ),
        final_norm=_norm(model.encoder.emb_layer_norm_after, device),
    )
    check_encoder(encoder)
    exact = replace(shape, dtype=torch.float32)
    first_layer = forward.block(_layer(model.encoder.layer[0], "fp32", device), exact)
    in_fp32 = replace(encoder, blocks=(first_layer,), shape=exact)
    check_positions(in_fp32, probe_ids(encoder.embedding.n_ids))
    return encoder


def _shape(
    config: Any,  # noqa: ANN401 (an untyped class)
    precision: Precision,
    device: torch.device,
    gated: bool,
) -> EncoderShape:
    rotary = config.position_embedding_type == "rotary"
    return EncoderShape(
        width=config.hidden_size,
        ffn=config.intermediate_size,
        n_heads=config.num_attention_heads,
        gated=gated,
        rope_base=float(config.rope_theta) if rotary else None,
        eps=config.layer_norm_eps,
        dtype=operand_dtype(precision, device),
    )


def _layer(layer: Any, precision: Precision, device: torch.device) -> EncoderLayer:  # noqa: ANN401
    attention = layer.attention.self
    stacked = [attention.query, attention.key, attention.value]
    return EncoderLayer(
        attention_norm=_norm(layer.attention.LayerNorm, device),
        qkv=Affine(
            weight=rounded(torch.cat([part.weight for part in stacked]), precision, device),
            bias=rounded(torch.cat([part.bias for part in stacked]), precision, device),
        ),
        attention_out=_linear(layer.attention.output.dense, precision, device),
        mlp_norm=_norm(layer.LayerNorm, device),
        up=_linear(layer.intermediate.dense, precision, device),
        down=_linear(layer.output.dense, precision, device),
    )


def _linear(layer: nn.Linear, precision: Precision, device: torch.device) -> Affine:
    bias = None if layer.bias is None else rounded(layer.bias, precision, device)
    return Affine(weight=rounded(layer.weight, precision, device), bias=bias)


def _norm(norm: nn.LayerNorm, device: torch.device) -> Affine:
    return Affine(weight=_tensor(norm.weight, device), bias=_tensor(norm.bias, device))


def _tensor(values: torch.Tensor, device: torch.device) -> torch.Tensor:
    return values.detach().to(device=device, dtype=torch.float32).contiguous()
