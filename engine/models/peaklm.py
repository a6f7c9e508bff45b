"""Models that `peakatlas pretrain` made, the shipped one among them, as a packed encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file
from torch import Tensor

from peakatlas.engine.documents import parse_object
from peakatlas.engine.errors import ModelError
from peakatlas.engine.forward.blocks import Affine, EncoderLayer, EncoderShape
from peakatlas.engine.forward.embedding_layer import (
    LetterFilters,
    both_strands,
    one_hot_tokens,
    scan_matrix,
)
from peakatlas.engine.forward.encoder import PackedEncoder, forward_of
from peakatlas.engine.forward.linear import operand_dtype, rounded
from peakatlas.engine.tokens.letters import TOKEN_BASES

from .checks import check_encoder, check_finite
from .files import weight_files
from .letter_network import LetterConfig, LetterModel, n_linear_weights

if TYPE_CHECKING:
    from pathlib import Path

    from peakatlas.engine.forward.blocks import Forward
    from peakatlas.engine.spec import Precision

    from .letter_network import Layer, LetterFiltersModule


def load_peaklm(path: Path, precision: Precision, device: torch.device) -> PackedEncoder:
    """Load a directory that `peakatlas pretrain` wrote.

    Parameters
    ----------
    path : Path
        Directory with ``config.json`` and ``model.safetensors``.
    precision : {'bf16', 'fp32'}
    device : torch.device

    Raises
    ------
    ModelError
        If weights are absent, misshapen or damaged, or the self-check fails.
    """
    return build_encoder(read_model(path), precision, device)


def read_model(path: Path) -> LetterModel:
    """The network of a directory, in float32, as it was when it had learnt.

    Raises
    ------
    ModelError
        If weights are absent, misshapen or damaged.
    """
    values = parse_object((path / "config.json").read_bytes(), f"{path}/config.json", ModelError)
    config = LetterConfig.from_json(values)
    file = weight_files(path)[0]
    if n_linear_weights(config) > file.stat().st_size:
        raise ModelError(
            f"{path}/config.json describes {n_linear_weights(config):,} weights, and {file.name} "
            f"has {file.stat().st_size:,} bytes: the folder is damaged. Fetch the model again."
        )
    model = LetterModel(config)
    try:
        model.load_state_dict({name: value.float() for name, value in load_file(file).items()})
    except RuntimeError as fault:
        raise ModelError(f"{file}: weights do not fit config.json: {fault}") from fault
    return model.eval()


def build_encoder(
    model: LetterModel,
    precision: Precision,
    device: torch.device,
    *,
    forward: Forward | None = None,
) -> PackedEncoder:
    """Lay the weights out for inference and check that they work.

    Parameters
    ----------
    model : LetterModel
    precision : {'bf16', 'fp32'}
    device : torch.device
    forward : Forward, optional
        How the layers are run; the way of the device if not given.

    Raises
    ------
    ModelError
        If a weight is not finite or the self-check fails.
    """
    config, forward = model.config, forward or forward_of(device)
    check_finite(model.parameters())
    shape = EncoderShape(
        width=config.hidden_size,
        ffn=config.intermediate_size,
        n_heads=config.num_attention_heads,
        gated=True,
        rope_base=config.rope_theta,
        eps=config.layer_norm_eps,
        dtype=operand_dtype(precision, device),
    )
    encoder = PackedEncoder(
        shape=shape,
        forward=forward,
        embedding=_letter_filters(model.stem, forward, precision, device),
        embedding_norm=None,
        blocks=tuple(
            forward.block(_layer(layer, precision, device), shape)  # type: ignore[arg-type]
            for layer in model.layers
        ),
        final_norm=_affine(model.final_norm.weight, "fp32", device),
        dim=config.embedding_size,
        output=forward.linear(
            _affine(model.embedding.weight, "fp32", device, bias=model.embedding.bias)
        ),
    )
    check_encoder(encoder)
    return encoder


def _letter_filters(
    stem: LetterFiltersModule, forward: Forward, precision: Precision, device: torch.device
) -> LetterFilters:
    filters, bias = both_strands(stem.filters, stem.filter_bias)
    scan = _affine(scan_matrix(filters), precision, device, bias=bias.repeat(TOKEN_BASES))
    return LetterFilters(
        one_hot=one_hot_tokens(device, operand_dtype(precision, device)),
        scan=forward.linear(scan),
        mix=forward.linear(_affine(stem.mix.weight, precision, device, bias=stem.mix.bias)),
    )


def _layer(layer: Layer, precision: Precision, device: torch.device) -> EncoderLayer:
    return EncoderLayer(
        attention_norm=_affine(layer.attention_norm.weight, "fp32", device),
        qkv=_affine(layer.qkv.weight, precision, device),
        attention_out=_affine(layer.attention_out.weight, precision, device),
        mlp_norm=_affine(layer.mlp_norm.weight, "fp32", device),
        up=_affine(layer.up.weight, precision, device),
        down=_affine(layer.down.weight, precision, device),
    )


def _affine(
    weight: Tensor, precision: Precision, device: torch.device, *, bias: Tensor | None = None
) -> Affine:
    kept = None if bias is None else rounded(bias, precision, device)
    return Affine(weight=rounded(weight, precision, device), bias=kept)
