"""Stage 2: an encoder whose space is aligned, and a classifier on top of it."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from .pull import Pull, Puller

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MINIBATCH = 256
CELLS_A_STEP = 8
FEWEST_STEPS = 250
CRITIC_RATE = 10.0
"""How much faster the critic learns than the encoder: Heusel et al. (2017), two time scales."""


@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """How the network is built and fitted."""

    hidden: int = 128
    """Width of the hidden layer."""
    latent: int = 48
    """Dimension of the aligned embedding."""
    dropout: float = 0.3
    """Share of hidden units left out at random."""
    learning_rate: float = 2e-3
    """Peak of the one-cycle schedule."""
    weight_decay: float = 1e-2
    """AdamW's decoupled decay."""
    steps: int = 800
    """Optimiser steps of a fit, at most: an eighth of the cells, but 250 if there are few."""
    smoothing: float = 0.05
    """Label smoothing."""

    def __post_init__(self) -> None:
        if min(self.hidden, self.latent, self.steps) < 1 or not 0 <= self.dropout < 1:
            raise ValueError(f"hidden, latent and steps must be ≥ 1, dropout in [0, 1): {self}")


class AlignmentNetwork(nn.Module):
    """Encoder of cell embeddings and linear classifier on its output.

    Parameters
    ----------
    n_inputs, n_types : int
        Length of a cell embedding, number of cell types.
    options : NetworkOptions
    """

    def __init__(self, n_inputs: int, n_types: int, options: NetworkOptions) -> None:
        super().__init__()
        self.options = options
        self.gain = float(np.sqrt(n_inputs))
        self.skip = nn.Linear(n_inputs, options.latent, bias=False)
        self.deep = nn.Sequential(
            nn.Linear(n_inputs, options.hidden),
            nn.LayerNorm(options.hidden),
            nn.GELU(),
            nn.Dropout(options.dropout),
            nn.Linear(options.hidden, options.latent),
        )
        self.classifier = nn.Linear(options.latent, n_types)

    def encode(self, cells: Tensor) -> Tensor:
        """Aligned embedding, float32, shape (n_cells, latent)."""
        scaled = cells * self.gain
        aligned: Tensor = self.skip(scaled) + self.deep(scaled)
        return aligned

    def forward(self, cells: Tensor) -> Tensor:
        """Logits, float32, shape (n_cells, n_types)."""
        logits: Tensor = self.classifier(self.encode(cells))
        return logits

    @torch.no_grad()
    def run(self, cells: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Aligned embeddings and log-probabilities of many cells, in minibatches.

        Parameters
        ----------
        cells : float32, shape (n_cells, n_inputs)
        """
        self.eval()
        latent, logs = [], []
        for start in range(0, max(len(cells), 1), 4096):
            part = self.encode(torch.from_numpy(cells[start : start + 4096]))
            latent.append(part.numpy())
            logs.append(torch.log_softmax(self.classifier(part), dim=1).numpy())
        return np.concatenate(latent), np.concatenate(logs)


def fit_network(
    views: Sequence[NDArray[np.float32]],
    types: NDArray[np.int64],
    n_types: int,
    *,
    options: NetworkOptions,
    seed: int = 0,
    weights: NDArray[np.float32] | None = None,
) -> AlignmentNetwork:
    """Fit encoder and classifier on reference cells, every type weighing the same.

    Parameters
    ----------
    views : sequence of float32, shape (n_cells, n_inputs)
        Embeddings of the same cells at different depths; each minibatch draws from all.
    types : int64, shape (n_cells,)
    n_types : int
    options : NetworkOptions
    seed : int
    weights : float32, shape (n_cells,), optional
        Of each cell among those of its type, mean 1 a type.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = AlignmentNetwork(views[0].shape[1], n_types, options)
        _optimise(network, views, types, options=options, pull=None, seed=seed, weights=weights)
    return network


def adapt_network(
    network: AlignmentNetwork,
    views: Sequence[NDArray[np.float32]],
    types: NDArray[np.int64],
    pull: Pull,
    *,
    options: NetworkOptions,
    seed: int = 0,
) -> AlignmentNetwork:
    """A copy of the network, fitted further with the query pulled onto the reference.

    Parameters
    ----------
    network : AlignmentNetwork
        Not modified.
    views, types
        As in `fit_network`; a sample of the reference is enough.
    pull : Pull
    options : NetworkOptions
    seed : int
    """
    adapted = copy.deepcopy(network)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        _optimise(adapted, views, types, options=options, pull=pull, seed=seed)
    return adapted


def type_weights(types: NDArray[np.int64], n_types: int) -> NDArray[np.float32]:
    """Weight of each type in the loss: inverse to its size, mean 1 over cells.

    Examples
    --------
    >>> type_weights(np.array([0, 0, 0, 1]), 2).tolist()
    [0.6666666865348816, 2.0]
    """
    sizes = np.maximum(np.bincount(types, minlength=n_types), 1)
    return (len(types) / (n_types * sizes)).astype(np.float32)


class _Loss:
    """Cross-entropy of cells in which every type, and within a type every batch, counts its due."""

    def __init__(
        self,
        types: NDArray[np.int64],
        weights: NDArray[np.float32] | None,
        n_types: int,
        smoothing: float,
    ) -> None:
        self._types = torch.from_numpy(types)
        self._by_type = torch.from_numpy(type_weights(types, n_types))
        self._by_cell = None if weights is None else torch.from_numpy(weights)
        self._smoothing = smoothing

    def __call__(self, logits: Tensor, rows: NDArray[np.int64]) -> Tensor:
        wanted = self._types[rows]
        each = nn.functional.cross_entropy(
            logits,
            wanted,
            self._by_type,
            reduction="mean" if self._by_cell is None else "none",
            label_smoothing=self._smoothing,
        )
        if self._by_cell is None:
            return each
        weights = self._by_cell[rows]
        return (each * weights).sum() / (self._by_type[wanted] * weights).sum()


def _optimise(
    network: AlignmentNetwork,
    views: Sequence[NDArray[np.float32]],
    types: NDArray[np.int64],
    *,
    options: NetworkOptions,
    pull: Pull | None,
    seed: int,
    weights: NDArray[np.float32] | None = None,
) -> None:
    rng = np.random.default_rng(seed)
    stacked, target = torch.from_numpy(np.stack(views)), torch.from_numpy(types)
    loss_of = _Loss(types, weights, network.classifier.out_features, options.smoothing)
    puller = None if pull is None else Puller(network.options.latent, pull.weights)
    groups = [(network.parameters(), options.learning_rate)]
    if puller is not None:
        groups.append((puller.parameters(), options.learning_rate * CRITIC_RATE))
    optimiser = torch.optim.AdamW(
        [{"params": list(fitted)} for fitted, _ in groups], weight_decay=options.weight_decay
    )
    steps = min(options.steps, max(FEWEST_STEPS, len(types) // CELLS_A_STEP))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, [rate for _, rate in groups], total_steps=steps
    )
    network.train()
    for step in range(steps):
        rows = rng.integers(len(types), size=min(MINIBATCH, len(types)))
        view = rng.integers(len(views), size=len(rows))
        loss = loss_of(network(stacked[view, rows]), rows)
        if pull is not None and puller is not None:
            sides, guesses = _sides(network, stacked, target, pull, rng)
            loss = loss + puller(sides, guesses, step / steps)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    network.eval()


def _sides(
    network: AlignmentNetwork,
    views: Tensor,
    types: Tensor,
    pull: Pull,
    rng: np.random.Generator,
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Minibatches of reference and query, as the encoder sees them, and their types."""
    size = min(MINIBATCH, len(pull.cells))
    rows = rng.choice(views.shape[1], size=min(MINIBATCH, views.shape[1]), p=pull.draw)
    query = rng.choice(len(pull.cells), size=size, replace=False)
    source = network.encode(views[rng.integers(views.shape[0], size=len(rows)), rows])
    target = network.encode(torch.from_numpy(pull.cells[query]))
    return (source, target), (types[rows], torch.from_numpy(pull.guesses[query]))
