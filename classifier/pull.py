"""What pulls the encoder towards a query while it is fitted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from .align import (
    class_means_loss,
    coral_loss,
    mean_loss,
    mmd_loss,
    reversal_scale,
    reverse_gradient,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from .align import LossName

HIDDEN = 64
REVERSED = 0.1
"""Share of the critic's gradient that is turned round; all of it makes a short fit unstable."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Pull:
    """The query and how hard each loss pulls the encoder to it."""

    cells: NDArray[np.float32]
    """Unlabelled query cells, shape (n_query, n_inputs)."""
    guesses: NDArray[np.int64]
    """Their confident types, -1 where none is, shape (n_query,); for ``class-conditional``."""
    weights: Mapping[LossName, float]
    """Weight of each loss against the classification loss."""
    draw: NDArray[np.float64]
    """Chance of each reference cell to be compared with the query, shape (n_reference,)."""


class Puller(nn.Module):
    """Weighted sum of the alignment losses of two minibatches.

    Parameters
    ----------
    latent : int
        Dimension of the aligned embedding.
    weights : mapping of loss name to float
    """

    def __init__(self, latent: int, weights: Mapping[LossName, float]) -> None:
        super().__init__()
        self.weights = dict(weights)
        self.critic = nn.Sequential(nn.Linear(latent, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 1))

    def forward(
        self, sides: tuple[Tensor, Tensor], types: tuple[Tensor, Tensor], progress: float
    ) -> Tensor:
        """The loss, float32, shape ().

        Parameters
        ----------
        sides : pair of float32, shapes (n, latent) and (m, latent)
            Aligned embeddings of reference and query cells.
        types : pair of int64, shapes (n,) and (m,)
            Their types; -1 for query cells that are not confident.
        progress : float
            Share of the steps done, in [0, 1].
        """
        losses = [
            weight * self._loss(name, sides, types, progress)
            for name, weight in self.weights.items()
        ]
        return torch.stack(losses).sum()

    def _loss(
        self,
        name: LossName,
        sides: tuple[Tensor, Tensor],
        types: tuple[Tensor, Tensor],
        progress: float,
    ) -> Tensor:
        if name == "coral":
            return mean_loss(*sides) + coral_loss(*sides)
        if name == "mmd":
            return mmd_loss(*sides)
        if name == "adversarial":
            return adversarial_loss(self.critic, *sides, REVERSED * reversal_scale(progress))
        return class_means_loss(sides[0], types[0], sides[1], types[1])


def adversarial_loss(critic: nn.Module, source: Tensor, target: Tensor, scale: float) -> Tensor:
    """Loss of a critic that tells the sides apart; the encoder receives its gradient reversed.

    Parameters
    ----------
    critic : Module
        Maps float32 (n, d) to logits (n, 1) of a cell being of the target.
    source, target : float32, shapes (n, d) and (m, d)
    scale : float
        Of the reversed gradient.

    Returns
    -------
    float32, shape ()
        Binary cross-entropy, both sides weighing the same.

    References
    ----------
    Ganin et al. (2016), Domain-Adversarial Training of Neural Networks, equation 9.
    """
    logits = [critic(reverse_gradient(side, scale)).squeeze(1) for side in (source, target)]
    softplus = nn.functional.softplus
    return (softplus(logits[0]).mean() + softplus(-logits[1]).mean()) / 2
