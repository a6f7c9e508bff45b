"""Windows as tokens, some of them hidden."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from peakatlas.engine.tokens.letters import N_TOKENS, TOKEN_BASES, token_ids

if TYPE_CHECKING:
    from numpy.typing import NDArray

HIDDEN_ID = N_TOKENS - 1
"""Six unknown letters."""
_KMER_POWERS = 4 ** np.arange(TOKEN_BASES - 1, -1, -1)


@dataclass(frozen=True)
class MaskedTokens:
    """One minibatch of masked language modelling."""

    inputs: NDArray[np.int64]
    """Token ids, shape (n, n_tokens); hidden ones are `HIDDEN_ID`."""
    targets: NDArray[np.int64]
    """Index of the true 6-mer of each token, shape (n, n_tokens)."""
    hidden: NDArray[np.bool_]
    """Which tokens are hidden, and so predicted, shape (n, n_tokens)."""

    def rows(self, rows: slice) -> MaskedTokens:
        """Some of the windows."""
        return MaskedTokens(self.inputs[rows], self.targets[rows], self.hidden[rows])


def hide_tokens(
    codes: NDArray[np.uint8], rate: float, rng: np.random.Generator, *, n_shown: int = 0
) -> MaskedTokens:
    """Hide each token with the probability `rate`; the letters of a hidden one are seen nowhere.

    Parameters
    ----------
    codes : uint8, shape (n, 6 × n_tokens)
        Letter codes of windows without unknown bases.
    rate : float
    n_shown : int
        So many windows, the first, are shown whole.
    """
    hidden = rng.random((len(codes), codes.shape[1] // TOKEN_BASES)) < rate
    hidden[:n_shown] = False
    return with_hidden(codes, hidden)


def with_hidden(codes: NDArray[np.uint8], hidden: NDArray[np.bool_]) -> MaskedTokens:
    """Windows as in `hide_tokens`, of which the tokens `hidden`, shape (n, n_tokens), are."""
    letters = codes.reshape(*hidden.shape, TOKEN_BASES)
    inputs = np.where(hidden, HIDDEN_ID, token_ids(letters))
    return MaskedTokens(inputs, letters.astype(np.int64) @ _KMER_POWERS, hidden)
