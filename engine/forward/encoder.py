"""Forward pass over packed sequences: no padding, and the same bytes whatever the company.

Tokens of all sequences of a pack go through the linear layers as one matrix; attention is computed
per sequence, sequences of equal length together. On a CPU the vectors of a sequence do not depend,
bit for bit, on what else is in the pack, nor on the number of threads.

Precision ``bf16`` keeps the matrices of the linear layers and the operands of their products in
bfloat16 with float32 accumulation; the residual stream, layer norms, softmax and pooling are
float32. Precision ``fp32`` is float32 throughout.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from .attention import cuda_attention, packed_attention, rotate
from .linear import has_onednn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from peakatlas.engine.spec import Precision

    from .blocks import Affine, Block
    from .embedding_layer import Stem
    from .linear import Linear

# Rows of the matrix products: below 256, kernels may choose another order of summation for the
# same row; whole vectors of rows keep kernels off their tails.
_LEAST_ROWS, _ROW_STEP, _PLAIN_ROW_STEP = 256, 16, 64
# On a CPU, one intermediate of the feed-forward of a pack: two of them lie in the last-level cache.
_INTERMEDIATE_BYTES = 10 << 20
_LEAST_TOKENS, _CUDA_TOKENS = 1024, 65_536
DTYPES: dict[Precision, torch.dtype] = {"bf16": torch.bfloat16, "fp32": torch.float32}


@dataclass(frozen=True, kw_only=True)
class PackedEncoder:
    """A pre-norm transformer encoder (ESM family) that reads packed tokens."""

    stem: Stem
    """Makes vectors of token ids."""
    width: int
    """Length of a token vector within the layers."""
    dim: int
    """Length of a token vector at the end."""
    embedding_norm: Affine | None
    blocks: tuple[Block, ...]
    final_norm: Affine
    n_heads: int
    eps: float
    dtype: torch.dtype
    """Of the matrices and of the operands of their products."""
    ffn: int
    """Width of the feed-forward's intermediate."""
    rope_base: float | None
    """Base period of the rotary positions; None with learnt positions."""
    output: Linear | None = None
    """Affine map, float32, width to dim, of the normed last layer, if the model has one."""

    @property
    def device(self) -> torch.device:
        """Device that holds the weights."""
        return self.stem.device

    @property
    def pack_tokens(self) -> int:
        """Tokens of a pack for which the encoder is fastest."""
        if self.device.type != "cpu":
            return _CUDA_TOKENS
        return max(_LEAST_TOKENS, _INTERMEDIATE_BYTES // (self.ffn * self.dtype.itemsize))

    @torch.inference_mode()
    def hidden(self, ids: Tensor, groups: Sequence[tuple[int, int]], *, layer: int = -1) -> Tensor:
        """Token vectors of packed sequences.

        Parameters
        ----------
        ids : int32 or int64, shape (n_tokens,)
            Tokens of the sequences one after the other.
        groups : sequence of (int, int)
            Number of sequences and their length in tokens, for each run of equal lengths.
        layer : int
            -1: after the last layer, the final norm and the model's output map; k >= 0: after k
            layers, without them.

        Returns
        -------
        float32, shape (n_tokens, dim), or (n_tokens, width) for k >= 0
        """
        n_tokens = len(ids)
        filler = (0, self._filler(n_tokens))
        ids = functional.pad(ids, filler)
        position = functional.pad(_positions(groups).to(self.device), filler)
        x = self._embed(ids, position)
        rotary = self._rotary(position)
        for block in self.blocks if layer < 0 else self.blocks[:layer]:
            x.add_(self._attend(x, block, groups, rotary))
            x.add_(self._mlp(x, block))
        if layer < 0:
            x = self._norm(x, self.final_norm)
            x = x if self.output is None else self.output(x)
        return x[:n_tokens]

    @property
    def _scale(self) -> float:
        return float((self.width // self.n_heads) ** -0.5)

    def _embed(self, ids: Tensor, position: Tensor) -> Tensor:
        x = self.stem(ids, position)
        return x if self.embedding_norm is None else self._norm(x, self.embedding_norm)

    def _norm(self, x: Tensor, norm: Affine) -> Tensor:
        return functional.layer_norm(x, (self.width,), norm.weight, norm.bias, self.eps)

    def _operand(self, x: Tensor, norm: Affine) -> Tensor:
        return self._norm(x, norm).to(self.dtype)

    def _mlp(self, x: Tensor, block: Block) -> Tensor:
        normed = self._operand(x, block.mlp_norm)
        if block.value is None:
            return block.down(block.gate(normed, "gelu"))
        return block.down(block.gate(normed, "swish").mul_(block.value(normed)))

    def _attend(
        self,
        x: Tensor,
        block: Block,
        groups: Sequence[tuple[int, int]],
        rotary: tuple[Tensor, Tensor] | None,
    ) -> Tensor:
        qkv = block.qkv(self._operand(x, block.attention_norm))
        shape = (len(x), self.n_heads, -1)
        if rotary is None:
            query, key = (part.reshape(shape) for part in qkv[:, : 2 * self.width].chunk(2, dim=-1))
        else:
            turned = rotate(qkv[:, : self.width], qkv[:, self.width : 2 * self.width], *rotary)
            halves = turned.view(2, len(x), 2, self.n_heads, -1)
            query, key = halves.permute(2, 1, 3, 0, 4)
        attention = packed_attention if x.device.type == "cpu" else cuda_attention
        mixed = attention(query, key, qkv[:, 2 * self.width :].view(shape), groups)
        return block.attention_out(mixed.view(len(x), self.width))

    def _rotary(self, position: Tensor) -> tuple[Tensor, Tensor] | None:
        """Cosine and sine of each row's angles for query and key, shape (n_rows, width).

        Those of the query are scaled, as the query is to be.
        """
        if self.rope_base is None:
            return None
        head = self.width // self.n_heads
        exponent = torch.arange(0, head, 2, dtype=torch.float32, device=self.device) / head
        angle = position[:, None].float() / self.rope_base**exponent
        return self._tables(angle.cos()), self._tables(angle.sin())

    def _tables(self, values: Tensor) -> Tensor:
        both = torch.stack([values * self._scale, values], 1).to(self.dtype)
        return both[:, :, None].expand(-1, -1, self.n_heads, -1).reshape(len(values), self.width)

    def _filler(self, n_tokens: int) -> int:
        step = _ROW_STEP if has_onednn(self.device, self.dtype) else _PLAIN_ROW_STEP
        return max(_LEAST_ROWS, -(-n_tokens // step) * step) - n_tokens


def group_lengths(lengths: Sequence[int]) -> list[tuple[int, int]]:
    """Runs of equal lengths as (number of sequences, length in tokens).

    Examples
    --------
    >>> group_lengths([9, 9, 3])
    [(2, 9), (1, 3)]
    """
    groups: list[tuple[int, int]] = []
    for length in lengths:
        if groups and groups[-1][1] == length:
            groups[-1] = (groups[-1][0] + 1, length)
        else:
            groups.append((1, length))
    return groups


def _positions(groups: Sequence[tuple[int, int]]) -> Tensor:
    return torch.cat([torch.arange(length).repeat(n) for n, length in groups])
