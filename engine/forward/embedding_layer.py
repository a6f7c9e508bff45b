"""From token ids to the vectors that enter the first layer.

`TokenTable` looks a vector up for each token. `LetterFilters` scans letters: each base of a token
is seen with `FLANK` bases on either side, across the borders of tokens, so that a motif is found
wherever it begins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from peakatlas.engine.dna.kmers import UNKNOWN
from peakatlas.engine.tokens.letters import TOKEN_BASES, token_letters

if TYPE_CHECKING:
    from .linear import Linear

FLANK = TOKEN_BASES
"""Bases on either side of a base that a filter sees."""
FILTER_WIDTH = 2 * FLANK + 1
SEEN_BASES = TOKEN_BASES + 2 * FLANK
"""Bases that a token's vector is made of: its own and those of both neighbours."""
_BASES = 4


class EmbeddingLayer(Protocol):
    """Token ids in, vectors of the residual stream out."""

    @property
    def device(self) -> torch.device:
        """Device that holds the weights."""

    @property
    def n_ids(self) -> int:
        """Number of token ids that there are."""

    def __call__(self, ids: Tensor, position: Tensor) -> Tensor:
        """Vectors, float32, shape (n_tokens, dim).

        Parameters
        ----------
        ids : int32 or int64, shape (n_tokens,)
        position : int64, shape (n_tokens,)
            Place of each token in its sequence, from 0.
        """


@dataclass(frozen=True, kw_only=True)
class TokenTable:
    """A vector for each token and, perhaps, one for each position."""

    words: Tensor
    """Token embeddings, float32, shape (vocab, dim), scaled as at inference."""
    positions: Tensor | None
    """Learnt position embeddings, float32, shape (context, dim); None with rotary positions."""

    @property
    def device(self) -> torch.device:
        """Device that holds the weights."""
        return self.words.device

    @property
    def n_ids(self) -> int:
        """Number of token ids that there are."""
        return len(self.words)

    def __call__(self, ids: Tensor, position: Tensor) -> Tensor:
        """Look vectors up, float32, shape (n_tokens, dim)."""
        x = self.words[ids.long()]
        return x if self.positions is None else x + self.positions[position]


@dataclass(frozen=True, kw_only=True)
class LetterFilters:
    """Filters over letters, then a mix of what was found at the six bases of a token."""

    one_hot: Tensor
    """Letters of each token, one of four or none, shape (`N_TOKENS` + 1, 24); the last row, no
    token at all, is all zero. Of the dtype of the products."""
    scan: Linear
    """From `SEEN_BASES` × 4 to 6 × filters, see `scan_matrix`."""
    mix: Linear
    """From 6 × filters to dim."""

    @property
    def device(self) -> torch.device:
        """Device that holds the weights."""
        return self.one_hot.device

    @property
    def n_ids(self) -> int:
        """Number of token ids that there are."""
        return len(self.one_hot) - 1

    def __call__(self, ids: Tensor, position: Tensor) -> Tensor:
        """Scan and mix, float32, shape (n_tokens, dim)."""
        seen = self.one_hot[with_neighbours(ids.long(), position, self.n_ids)].flatten(1)
        return self.mix(self.scan(seen, "gelu")).float()


def one_hot_tokens(device: torch.device, dtype: torch.dtype) -> Tensor:
    """Table of `LetterFilters.one_hot`."""
    letters = torch.from_numpy(token_letters()).long()
    table = functional.one_hot(letters, UNKNOWN + 1)[..., :_BASES].flatten(1)
    return functional.pad(table, (0, 0, 0, 1)).to(device=device, dtype=dtype)


def with_neighbours(ids: Tensor, position: Tensor, none: int) -> Tensor:
    """Ids of the token before, the token and the token after, `none` past an end; (n_tokens, 3)."""
    before, after = ids.roll(1), ids.roll(-1)
    first = position == 0
    return torch.stack(
        [before.masked_fill(first, none), ids, after.masked_fill(first.roll(-1), none)], 1
    )


def both_strands(filters: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Filters followed by their reverse complements, shape (2 n, 4, width), and their biases.

    Bases in the order A, C, G, T: the complement is the reverse of that axis.
    """
    return torch.cat([filters, filters.flip(1, 2)]), torch.cat([bias, bias])


def scan_matrix(filters: Tensor) -> Tensor:
    """One matrix that applies filters at each of the six bases of a token.

    Parameters
    ----------
    filters : shape (n_filters, 4, FILTER_WIDTH)

    Returns
    -------
    shape (6 × n_filters, SEEN_BASES × 4)
        Row ``base × n_filters + filter``; column ``letter × 4 + base code``.
    """
    n = len(filters)
    places = [
        functional.pad(filters.transpose(1, 2), (0, 0, base, SEEN_BASES - FILTER_WIDTH - base))
        for base in range(TOKEN_BASES)
    ]
    return torch.stack(places).reshape(TOKEN_BASES * n, SEEN_BASES * _BASES)
