"""Network of a peaklm for `transformers.AutoModel` and `AutoModelForMaskedLM`.

It needs torch and transformers only. `pooler_output` is the embedding of a sequence: the mean, over
its tokens with three known letters or more, of an affine map of the last hidden state. peakatlas
runs the same weights without padding; both agree to rounding.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling, MaskedLMOutput

from .configuration_peaklm import PeakLMConfig

TOKEN_BASES = 6
FILTER_WIDTH = 13
SEEN_BASES = 3 * TOKEN_BASES
LEAST_KNOWN = 3
"""Known letters that a token needs to count in the mean."""


def letters_of(ids: Tensor) -> Tensor:
    """Codes of the letters of tokens, 0 to 4 for A, C, G, T, N; shape (…) to (…, 6)."""
    powers = 5 ** torch.arange(TOKEN_BASES - 1, -1, -1, device=ids.device)
    return ids[..., None] // powers % 5


class LetterStem(nn.Module):
    """Filters over letters on both strands, then a mix of what a token's six bases answered."""

    def __init__(self, config: PeakLMConfig) -> None:
        super().__init__()
        self.filters = nn.Parameter(torch.zeros(config.n_filters, 4, FILTER_WIDTH))
        self.filter_bias = nn.Parameter(torch.zeros(config.n_filters))
        self.mix = nn.Linear(2 * TOKEN_BASES * config.n_filters, config.hidden_size)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Vectors of tokens, shape (n, length) to (n, length, hidden)."""
        bases = functional.one_hot(letters_of(ids), 5)[..., :4].to(self.filters.dtype)
        bases = (bases * mask[..., None, None]).flatten(2)  # padding is no letter at all
        around = functional.pad(bases, (0, 0, 1, 1))
        seen = torch.cat([around[:, :-2], bases, around[:, 2:]], dim=-1)
        found = seen.view(*ids.shape, SEEN_BASES, 4).flatten(0, 1).transpose(1, 2)
        filters = torch.cat([self.filters, self.filters.flip(1, 2)])
        scanned = functional.conv1d(found, filters, torch.cat([self.filter_bias] * 2))
        flat = functional.gelu(scanned).transpose(1, 2).flatten(1)
        mixed: Tensor = self.mix(flat).view(*ids.shape, -1)
        return mixed


class Layer(nn.Module):
    """One pre-norm transformer layer with rotary positions and a SwiGLU."""

    def __init__(self, config: PeakLMConfig) -> None:
        super().__init__()
        dim, ffn, eps = config.hidden_size, config.intermediate_size, config.layer_norm_eps
        self.n_heads = config.num_attention_heads
        self.attention_norm = nn.LayerNorm(dim, eps, bias=False)
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.attention_out = nn.Linear(dim, dim, bias=False)
        self.mlp_norm = nn.LayerNorm(dim, eps, bias=False)
        self.up = nn.Linear(dim, 2 * ffn, bias=False)
        self.down = nn.Linear(ffn, dim, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor) -> Tensor:
        """Residual stream, shape (n, length, hidden)."""
        n, length, dim = x.shape
        qkv = self.qkv(self.attention_norm(x)).view(n, length, 3, self.n_heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(
            turned(query, cos, sin), turned(key, cos, sin), value, mask[:, None, None, :]
        )
        x = x + self.attention_out(mixed.transpose(1, 2).reshape(n, length, dim))
        gate, lifted = self.up(self.mlp_norm(x)).chunk(2, dim=-1)
        out: Tensor = x + self.down(functional.silu(gate) * lifted)
        return out


def turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions (Su et al. 2021, arXiv:2104.09864); halves of a head form the pairs."""
    low, high = x.chunk(2, dim=-1)
    return torch.cat([low * cos - high * sin, high * cos + low * sin], dim=-1)


class PeakLMModel(PreTrainedModel):
    """Sequences to one vector each (`pooler_output`)."""

    config_class = PeakLMConfig

    def __init__(self, config: PeakLMConfig) -> None:
        super().__init__(config)
        self.stem = LetterStem(config)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))
        self.final_norm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps, bias=False)
        self.kmer_head = nn.Linear(config.hidden_size, 4**TOKEN_BASES)
        self.embedding = nn.Linear(config.hidden_size, config.embedding_size)
        self.post_init()

    def hidden(self, input_ids: Tensor, mask: Tensor) -> Tensor:
        """Last hidden state, shape (n, length, hidden)."""
        config, length = self.config, input_ids.shape[1]
        x = self.stem(input_ids, mask)
        head = config.hidden_size // config.num_attention_heads
        place = torch.arange(length, device=x.device)[:, None]
        turn = place / config.rope_theta ** (torch.arange(0, head, 2, device=x.device) / head)
        for layer in self.layers:
            x = layer(x, turn.cos().to(x.dtype), turn.sin().to(x.dtype), mask)
        out: Tensor = self.final_norm(x)
        return out

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, **_: object
    ) -> BaseModelOutputWithPooling:
        """Embed sequences; the pooled vector is NaN where no token counts."""
        mask = _mask(input_ids, attention_mask)
        hidden = self.hidden(input_ids, mask)
        real = mask & ((letters_of(input_ids) < 4).sum(-1) >= LEAST_KNOWN)
        weight = real[..., None].to(hidden.dtype)
        pooled = (self.embedding(hidden) * weight).sum(1) / weight.sum(1)
        return BaseModelOutputWithPooling(last_hidden_state=hidden, pooler_output=pooled)


class PeakLMForMaskedLM(PeakLMModel):
    """Scores of the 4,096 6-mers (A, C, G, T in base 4) for each token; hide one by its NNNNNN."""

    def forward(  # type: ignore[override]
        self, input_ids: Tensor, attention_mask: Tensor | None = None, **_: object
    ) -> MaskedLMOutput:
        """Logits, shape (n, length, 4096)."""
        hidden = self.hidden(input_ids, _mask(input_ids, attention_mask))
        return MaskedLMOutput(logits=self.kmer_head(hidden))


def _mask(input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
    if attention_mask is None:
        return torch.ones_like(input_ids, dtype=torch.bool)
    return attention_mask.bool()
