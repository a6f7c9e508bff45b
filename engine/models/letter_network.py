"""The network while it learns; `peaklm` lays the same weights out for inference.

A pre-norm transformer over six-base tokens (`tokens.letters`) that enter through filters over
letters (`embedding_layer`). It has two outputs: scores of the 4,096 6-mers, for masked tokens, and
the embedding, an affine map of the last hidden state that is averaged over a sequence.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from peakatlas.engine.documents import as_model
from peakatlas.engine.errors import ModelError
from peakatlas.engine.forward.embedding_layer import (
    FILTER_WIDTH,
    SEEN_BASES,
    both_strands,
    one_hot_tokens,
    scan_matrix,
    with_neighbours,
)
from peakatlas.engine.tokens.letters import TOKEN_BASES

if TYPE_CHECKING:
    from collections.abc import Mapping

MODEL_TYPE = "peaklm"
N_KMERS = 4**TOKEN_BASES
_INIT_SD = 0.02


@dataclass(frozen=True, kw_only=True)
class LetterConfig:
    """Shape of a model: what its config.json says."""

    hidden_size: int = 256
    embedding_size: int = 64
    """Length of an embedding."""
    num_hidden_layers: int = 4
    num_attention_heads: int = 4
    intermediate_size: int = 512
    """Of the gated feed-forward (SwiGLU)."""
    n_filters: int = 64
    """Filters over letters; each also scans as its reverse complement."""
    max_position_embeddings: int = 256
    """Longest input, in tokens of six bases."""
    rope_theta: float = 10000.0
    layer_norm_eps: float = 1e-5

    def to_json(self) -> dict[str, Any]:
        """All fields, with the model type."""
        return {"model_type": MODEL_TYPE, **asdict(self)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> LetterConfig:
        """Inverse of `to_json`; other keys are left alone.

        Raises
        ------
        ModelError
            If a value is not a positive number, or a size not a whole one.
        """
        known = {f.name: values[f.name] for f in fields(cls) if f.name in values}
        for name, value in known.items():
            if not isinstance(value, int | float) or value <= 0:
                raise ModelError(f"config.json: {name} is {value!r}, not a positive number")
        return as_model(known, cls, "config.json", ModelError)


def n_linear_weights(config: LetterConfig) -> int:
    """Weights of the linear layers that every token goes through."""
    dim, scanned = config.hidden_size, 2 * TOKEN_BASES * config.n_filters
    layer = 4 * dim * dim + 3 * dim * config.intermediate_size
    ends = scanned * (4 * SEEN_BASES + dim) + dim * config.embedding_size
    return ends + config.num_hidden_layers * layer


class LetterFiltersModule(nn.Module):
    """`embedding_layer.LetterFilters` with weights that learn."""

    def __init__(self, config: LetterConfig) -> None:
        super().__init__()
        self.filters = nn.Parameter(torch.randn(config.n_filters, 4, FILTER_WIDTH) * 0.25)
        self.filter_bias = nn.Parameter(torch.zeros(config.n_filters))
        self.mix = nn.Linear(2 * TOKEN_BASES * config.n_filters, config.hidden_size)
        self.one_hot: Tensor
        self.register_buffer(
            "one_hot", one_hot_tokens(torch.device("cpu"), torch.bfloat16), persistent=False
        )

    def forward(self, ids: Tensor) -> Tensor:
        """Vectors of tokens, shape (n, n_tokens) to (n, n_tokens, dim)."""
        position = torch.arange(ids.shape[1], device=ids.device).repeat(len(ids))
        near = with_neighbours(ids.flatten(), position, len(self.one_hot) - 1)
        seen = self.one_hot[near].view(*ids.shape, -1)
        filters, bias = both_strands(self.filters, self.filter_bias)
        dtype = seen.dtype if torch.is_autocast_enabled(seen.device.type) else torch.float32
        matrix = scan_matrix(filters).to(dtype)
        found = functional.linear(seen.to(dtype), matrix, bias.repeat(TOKEN_BASES).to(dtype))
        mixed: Tensor = self.mix(functional.gelu(found))
        return mixed


class Layer(nn.Module):
    """One pre-norm transformer layer with rotary positions and a SwiGLU."""

    def __init__(self, config: LetterConfig) -> None:
        super().__init__()
        dim, ffn = config.hidden_size, config.intermediate_size
        self.n_heads = config.num_attention_heads
        self.attention_norm = nn.LayerNorm(dim, config.layer_norm_eps, bias=False)
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.attention_out = nn.Linear(dim, dim, bias=False)
        self.mlp_norm = nn.LayerNorm(dim, config.layer_norm_eps, bias=False)
        self.up = nn.Linear(dim, 2 * ffn, bias=False)
        self.down = nn.Linear(ffn, dim, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Residual stream, shape (n, n_tokens, dim)."""
        n, length, dim = x.shape
        qkv = self.qkv(self.attention_norm(x)).view(n, length, 3, self.n_heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        query, key = (turned(each, cos, sin) for each in (query, key))
        # plain products: on a CPU the backward pass of fused attention is slower at these lengths
        weights = (query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5).softmax(-1)
        mixed = weights.to(value.dtype) @ value
        x = x + self.attention_out(mixed.transpose(1, 2).reshape(n, length, dim))
        gate, lifted = self.up(self.mlp_norm(x)).chunk(2, dim=-1)
        out: Tensor = x + self.down(functional.silu(gate) * lifted)
        return out


def turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions (Su et al. 2021, arXiv:2104.09864); halves of a head form the pairs."""
    low, high = x.chunk(2, dim=-1)
    return torch.cat([low * cos - high * sin, high * cos + low * sin], dim=-1)


class LetterModel(nn.Module):
    """A model that learns; `hidden`, then `kmer_head` or `embedding`."""

    def __init__(self, config: LetterConfig) -> None:
        super().__init__()
        self.config, dim = config, config.hidden_size
        self.stem = LetterFiltersModule(config)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))
        self.final_norm = nn.LayerNorm(dim, config.layer_norm_eps, bias=False)
        self.kmer_head = nn.Linear(dim, N_KMERS)
        self.embedding = nn.Linear(dim, config.embedding_size)
        for name, weight in self.named_parameters():
            if weight.ndim == 2:
                deep = name.endswith(("attention_out.weight", "down.weight"))
                scale = (2 * config.num_hidden_layers) ** -0.5 if deep else 1.0
                nn.init.normal_(weight, std=_INIT_SD * scale)

    @property
    def device(self) -> torch.device:
        """Device that holds the weights."""
        return self.final_norm.weight.device

    def hidden(self, ids: Tensor) -> Tensor:
        """Last hidden state, shape (n, n_tokens, dim), of ids of equal length, (n, n_tokens)."""
        x = self.stem(ids)
        head = self.config.hidden_size // self.config.num_attention_heads
        exponent = torch.arange(0, head, 2, device=ids.device) / head
        angle = torch.arange(ids.shape[1], device=ids.device)[:, None] / (
            self.config.rope_theta**exponent
        )
        cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
        x = x.float()
        for layer in self.layers:
            x = layer(x, cos, sin)
        out: Tensor = self.final_norm(x)
        return out
