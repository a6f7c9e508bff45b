"""Held-out loss, in bits a base, of a model and of what it must beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from peakatlas.engine.pretrain.markov import MarkovModel
from peakatlas.engine.tokens.letters import TOKEN_BASES, letter_codes

from .masking import MaskedTokens, hide_tokens
from .windows import WindowSampler

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from peakatlas.engine.dna.sequences import Sequences
    from peakatlas.engine.models.letter_network import LetterModel

    from .recipe import Recipe

_MINIBATCH = 64


def masked_loss(model: LetterModel, hidden: Tensor, batch: MaskedTokens) -> Tensor:
    """Cross-entropy summed over the hidden tokens, nats, float32 scalar.

    Parameters
    ----------
    model : LetterModel
    hidden : shape (n, n_tokens, dim)
        Last hidden state.
    batch : MaskedTokens
    """
    targets = torch.from_numpy(batch.targets[batch.hidden]).to(hidden.device)
    where = torch.from_numpy(batch.hidden).to(hidden.device)
    return functional.cross_entropy(
        model.kmer_head(hidden[where]).float(), targets, reduction="sum"
    )


@dataclass(frozen=True)
class HoldoutWindows:
    """Held-out windows with some tokens hidden, the same for every model.

    Parameters
    ----------
    windows : uint8, shape (n, width)
        Upper-case ASCII, A, C, G, T only.
    tokens : MaskedTokens
    """

    windows: NDArray[np.uint8]
    tokens: MaskedTokens

    @classmethod
    def draw(cls, holdout: Sequences, recipe: Recipe) -> HoldoutWindows:
        """Draw ``recipe.eval_windows`` windows by the recipe's seed."""
        rng = np.random.default_rng(recipe.seed)
        sampler = WindowSampler(holdout, TOKEN_BASES * recipe.context_tokens)
        windows = sampler.draw(recipe.eval_windows, rng)
        return cls(windows, hide_tokens(letter_codes(windows), recipe.mask_rate, rng))

    @torch.no_grad()
    def bits_per_base(self, model: LetterModel) -> float:
        """Loss of a model over the hidden tokens, in bits a base."""
        total = 0.0
        for first in range(0, len(self.windows), _MINIBATCH):
            batch = self.tokens.rows(slice(first, first + _MINIBATCH))
            with torch.autocast(model.device.type, torch.bfloat16):
                hidden = model.hidden(torch.from_numpy(batch.inputs).to(model.device))
                total += float(masked_loss(model, hidden, batch))
        return total / int(self.tokens.hidden.sum()) / TOKEN_BASES / float(np.log(2))

    def markov_bits_per_base(self, training: NDArray[np.uint8], order: int = 5) -> float:
        """The same for a Markov model of the training DNA (uint8 ASCII), on the same bases.

        It sees the bases before each, hidden ones included, but none after.
        """
        bits = MarkovModel.fit(training, order).bits(self.windows)
        by_token = bits.reshape(*self.tokens.hidden.shape, TOKEN_BASES).sum(axis=2)
        return float(by_token[self.tokens.hidden].mean() / TOKEN_BASES)
