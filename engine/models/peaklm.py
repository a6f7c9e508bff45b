"""Models that `peakatlas pretrain` made, the shipped one among them, as a packed encoder."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file
from torch import Tensor

from peakatlas.engine.errors import ModelError
from peakatlas.engine.forward.blocks import Affine, EncoderLayer, make_block
from peakatlas.engine.forward.embedding_layer import (
    SEEN_BASES,
    LetterStem,
    both_strands,
    one_hot_tokens,
    scan_matrix,
)
from peakatlas.engine.forward.encoder import DTYPES, PackedEncoder
from peakatlas.engine.forward.linear import make_linear
from peakatlas.engine.tokens.letters import TOKEN_BASES

from .checks import check_encoder, check_finite
from .files import weight_files
from .letter_network import LetterConfig, LetterModel

if TYPE_CHECKING:
    from pathlib import Path

    from peakatlas.engine.forward.blocks import Block
    from peakatlas.engine.spec import Precision

    from .letter_network import Layer


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
    config = LetterConfig.from_json(json.loads((path / "config.json").read_text()))
    model = LetterModel(config)
    file = weight_files(path)[0]
    try:
        model.load_state_dict({name: value.float() for name, value in load_file(file).items()})
    except RuntimeError as fault:
        raise ModelError(f"{file}: weights do not fit config.json: {fault}") from fault
    return model.eval()


def build_encoder(model: LetterModel, precision: Precision, device: torch.device) -> PackedEncoder:
    """Lay the weights out for inference and check that they work.

    Raises
    ------
    ModelError
        If a weight is not finite or the self-check fails.
    """
    config, dtype = model.config, DTYPES[precision]
    check_finite(model.parameters())

    def tensor(values: Tensor, kind: torch.dtype = dtype) -> Tensor:
        return values.detach().to(device=device, dtype=kind).contiguous()

    filters, bias = both_strands(model.stem.filters, model.stem.filter_bias)
    encoder = PackedEncoder(
        stem=LetterStem(
            one_hot=one_hot_tokens(device, dtype),
            scan=make_linear(tensor(scan_matrix(filters)), tensor(bias.repeat(TOKEN_BASES))),
            mix=make_linear(tensor(model.stem.mix.weight), tensor(model.stem.mix.bias)),
        ),
        width=config.hidden_size,
        dim=config.embedding_size,
        embedding_norm=None,
        blocks=tuple(
            _block(layer, dtype, device)  # type: ignore[arg-type]
            for layer in model.layers
        ),
        final_norm=Affine(weight=tensor(model.final_norm.weight, torch.float32)),
        n_heads=config.num_attention_heads,
        eps=config.layer_norm_eps,
        dtype=dtype,
        ffn=config.intermediate_size,
        rope_base=config.rope_theta,
        output=make_linear(
            tensor(model.embedding.weight, torch.float32),
            tensor(model.embedding.bias, torch.float32),
        ),
    )
    check_encoder(encoder)
    return encoder


def peaklm_linear_weights(config: LetterConfig) -> int:
    """Weights of the linear layers that every token goes through."""
    dim, scanned = config.hidden_size, 2 * TOKEN_BASES * config.n_filters
    layer = 4 * dim * dim + 3 * dim * config.intermediate_size
    ends = scanned * (4 * SEEN_BASES + dim) + dim * config.embedding_size
    return ends + config.num_hidden_layers * layer


def _block(layer: Layer, dtype: torch.dtype, device: torch.device) -> Block:
    def affine(weight: Tensor, kind: torch.dtype = dtype) -> Affine:
        return Affine(weight=weight.detach().to(device=device, dtype=kind).contiguous())

    weights = EncoderLayer(
        attention_norm=affine(layer.attention_norm.weight, torch.float32),
        qkv=affine(layer.qkv.weight),
        attention_out=affine(layer.attention_out.weight),
        mlp_norm=affine(layer.mlp_norm.weight, torch.float32),
        up=affine(layer.up.weight),
        down=affine(layer.down.weight),
    )
    return make_block(weights, n_heads=layer.n_heads, rotary=True, gated=True)
