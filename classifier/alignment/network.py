"""The alignment network: a supervised encoder whose space a query shares with its reference.

The losses of Liu et al. (Bioinformatics 2025, btaf682), whose two-stage scheme this project
follows, are not published in a form that was available: those here are this project's choice. The
labelled reference is the *source* and the query the *target*, as in the papers named below.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from peakatlas.classifier.models.protocol import Cells, Floats, JointAxes, Pair

LossName = Literal["none", "coral", "mmd", "adversarial", "class_means"]
CANDIDATES: tuple[tuple[LossName, float], ...] = (
    ("none", 0.0),
    ("coral", 10.0),
    ("mmd", 1.0),
    ("adversarial", 0.1),
    ("class_means", 1.0),
)
"""Alignment losses and their weights, from which pseudo-queries choose."""
BANDWIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)


@dataclass(frozen=True)
class AlignmentNetwork:
    """Encoder and classifier on joint axes, fitted to the reference and aligned to the query."""

    n_axes: int = 20
    hidden: int = 128
    latent: int = 32
    dropout: float = 0.3
    steps: int = 300
    minibatch: int = 256
    learning_rate: float = 3e-3
    networks: int = 3
    """Networks whose log-probabilities are averaged."""
    candidates: tuple[tuple[LossName, float], ...] = CANDIDATES

    @property
    def name(self) -> str:
        """Short name."""
        return "network"

    def usable(self, pair: Pair) -> bool:
        """Whether any peak with counts is shared."""
        return pair.reference.counts.nnz > 0 and pair.query.counts.nnz > 0

    def fit(self, pair: Pair) -> NetworkScorer:
        """Choose the alignment on a pseudo-query, then fit to all of the reference."""
        axes = pair.axes(self.n_axes)
        views = [unit(axes.reference)]
        if pair.thinned is not None:
            views.append(unit(axes.project(pair.thinned)[0]))
        source, target = torch.stack(views), unit(axes.query)
        codes = torch.from_numpy(pair.codes)
        chosen = self.choose(source, codes, pair)
        fitted = [
            self.train(source, codes, target, pair.n_types, chosen, pair.seed + k)
            for k in range(self.networks)
        ]
        return NetworkScorer(axes, fitted, chosen)

    def choose(self, source: Tensor, codes: Tensor, pair: Pair) -> tuple[LossName, float]:
        """Alignment of the least balanced log-loss on a part of the reference held out.

        The part is a batch where there are several, else a third of the cells of each type.
        """
        held = held_out(pair.codes, pair.reference.batches, pair.seed)
        if len(self.candidates) == 1 or not held.any() or held.all():
            return self.candidates[0]
        train, test = (
            torch.from_numpy(np.flatnonzero(~held)),
            torch.from_numpy(np.flatnonzero(held)),
        )
        weights = type_weights(codes, pair.n_types)[codes[test]]
        short, losses = replace(self, steps=max(1, self.steps // 2)), []
        for candidate in self.candidates:
            part = source[:, train], codes[train], source[-1, test]
            network = short.train(*part, pair.n_types, candidate, pair.seed)
            logs = network.logs(part[2])
            losses.append(float(-(weights * logs[torch.arange(len(test)), codes[test]]).mean()))
        return self.candidates[int(np.argmin(losses))]

    def train(
        self,
        source: Tensor,
        codes: Tensor,
        target: Tensor,
        n_types: int,
        alignment: tuple[LossName, float],
        seed: int,
    ) -> Network:
        """Fit one network.

        Parameters
        ----------
        source : float32, shape (n_views, n_reference, n_axes)
            The same cells at several depths.
        codes : int64, shape (n_reference,)
        target : float32, shape (n_query, n_axes)
        n_types : int
        alignment : (str, float)
            Loss and its weight, which grows from 0 over the fit.
        seed : int
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = Network(source.shape[2], n_types, self)
            aligner = Aligner(alignment, self, source[-1], codes, target)
            cross_entropy = nn.CrossEntropyLoss(type_weights(codes, n_types), label_smoothing=0.05)
            both = [*network.parameters(), *aligner.parameters()]
            optimiser = torch.optim.AdamW(both, self.learning_rate, weight_decay=1e-2)
            schedule = torch.optim.lr_scheduler.OneCycleLR(
                optimiser, self.learning_rate, total_steps=self.steps
            )
            for step in range(self.steps):
                rows = torch.randint(len(codes), (self.minibatch,))
                views = torch.randint(len(source), (self.minibatch,))
                loss = cross_entropy(network(source[views, rows]), codes[rows])
                loss = loss + aligner(network, step)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
        return network.eval()


class Network(nn.Module):
    """Encoder with a linear path beside a hidden layer, and a linear classifier."""

    def __init__(self, n_inputs: int, n_types: int, options: AlignmentNetwork) -> None:
        super().__init__()
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
        """Aligned embedding, shape (n_cells, latent)."""
        return torch.as_tensor(self.skip(cells) + self.deep(cells))

    def forward(self, cells: Tensor) -> Tensor:
        """Logits, shape (n_cells, n_types)."""
        return torch.as_tensor(self.classifier(self.encode(cells)))

    @torch.no_grad()
    def logs(self, cells: Tensor) -> Tensor:
        """Log-probabilities without dropout, shape (n_cells, n_types)."""
        was, _ = self.training, self.eval()
        found = torch.log_softmax(self(cells), dim=1)
        self.train(was)
        return found


@dataclass(frozen=True, eq=False)
class NetworkScorer:
    """Fitted `AlignmentNetwork`."""

    axes: JointAxes
    networks: list[Network]
    alignment: tuple[LossName, float]
    """The loss that was chosen, and its weight."""

    def scores(self, cells: Cells) -> Floats:
        """Mean log-probabilities of the networks."""
        rows = unit(self.axes.project(cells.counts)[0])
        logs = torch.stack([network.logs(rows) for network in self.networks])
        return logs.mean(dim=0).double().numpy()


class Aligner(nn.Module):
    """An alignment loss between minibatches of source and target; its weight grows from 0.

    Source cells are drawn so that their types have the shares that the network gives the target.
    """

    def __init__(
        self,
        alignment: tuple[LossName, float],
        options: AlignmentNetwork,
        source: Tensor,
        codes: Tensor,
        target: Tensor,
    ) -> None:
        super().__init__()
        self.loss, self.strength = alignment
        self.options, self.codes = options, codes
        self.source, self.target = source, target
        self.critic = nn.Sequential(nn.Linear(options.latent, 32), nn.GELU(), nn.Linear(32, 1))
        self.posterior, self.draw = target[:, :0], torch.ones(len(codes))

    def forward(self, network: Network, step: int) -> Tensor:
        """The weighted loss of new minibatches."""
        if self.strength == 0:
            return torch.zeros(())
        if step % 50 == 0:
            self.posterior = network.logs(self.target).exp()
            self.draw = like_target(self.codes, self.posterior)
        n = self.options.minibatch // 2
        rows = torch.multinomial(self.draw, n, replacement=True)
        query = torch.randint(len(self.target), (n,))
        source, target = network.encode(self.source[rows]), network.encode(self.target[query])
        ramp = 2 / (1 + float(np.exp(-10 * step / self.options.steps))) - 1
        return self.strength * ramp * self._loss(source, target, rows, query)

    def _loss(self, source: Tensor, target: Tensor, rows: Tensor, query: Tensor) -> Tensor:
        if self.loss == "coral":
            return coral(source, target)
        if self.loss == "mmd":
            return mmd(source, target)
        if self.loss == "class_means":
            known = nn.functional.one_hot(self.codes[rows], self.posterior.shape[1]).float()
            return class_means(source, target, known, self.posterior[query])
        return self._adversarial(source, target)

    def _adversarial(self, source: Tensor, target: Tensor) -> Tensor:
        """Ganin et al. (2016), Domain-Adversarial Training of Neural Networks, equation 18."""
        both = torch.cat([source, target])
        found = self.critic(2 * both.detach() - both).squeeze(1)
        side = torch.cat([torch.zeros(len(source)), torch.ones(len(target))])
        return nn.functional.binary_cross_entropy_with_logits(found, side)


def coral(source: Tensor, target: Tensor) -> Tensor:
    """Squared distance of the covariances over 4 d²: Sun & Saenko (2016), Deep CORAL."""
    gap = torch.cov(source.T) - torch.cov(target.T)
    return gap.square().sum() / (4 * source.shape[1] ** 2)


def mmd(source: Tensor, target: Tensor) -> Tensor:
    """Squared maximum mean discrepancy under five Gaussian kernels, biased: Long et al. (2015)."""
    cells = torch.cat([source, target])
    squares = torch.cdist(cells, cells).square()
    width = squares.detach().mean() + 1e-12
    kernel = torch.stack([torch.exp(-squares / (width * b)) for b in BANDWIDTHS]).sum(dim=0)
    n = len(source)
    return kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean()


def class_means(source: Tensor, target: Tensor, known: Tensor, guessed: Tensor) -> Tensor:
    """Squared distance of each type's two means over d, weighed by its expected target cells.

    Xie et al. (2018), Learning Semantic Representations for Unsupervised Domain Adaptation.
    """
    sizes, expected = known.sum(dim=0), guessed.sum(dim=0)
    gap = known.T @ source / (sizes[:, None] + 1e-6) - guessed.T @ target / (
        expected[:, None] + 1e-6
    )
    weights = expected * (sizes > 0)
    return (weights * gap.square().mean(dim=1)).sum() / (weights.sum() + 1e-6)


def like_target(codes: Tensor, posterior: Tensor) -> Tensor:
    """Weights of source cells that give their types the target's shares, shape (n_source,).

    Lipton et al. (2018), Detecting and Correcting for Label Shift with Black Box Predictors.
    """
    sizes = torch.bincount(codes, minlength=posterior.shape[1]).float()
    want = 0.9 * posterior.mean(dim=0) + 0.1 * sizes / sizes.sum()
    return (want / sizes.clamp(min=1))[codes]


def type_weights(codes: Tensor, n_types: int) -> Tensor:
    """Weight of each type, inverse to its size, mean 1 over cells."""
    sizes = torch.bincount(codes, minlength=n_types).clamp(min=1).float()
    return len(codes) / (n_types * sizes)


def held_out(
    codes: NDArray[np.int64], batches: NDArray[np.str_] | None, seed: int
) -> NDArray[np.bool_]:
    """Reference cells that stand for a query: a batch, or a third of the cells of each type."""
    rng = np.random.default_rng([seed, 7])
    if batches is not None and len(np.unique(batches)) > 1:
        held = batches == rng.choice(np.unique(batches))
        return np.asarray(held & np.isin(codes, codes[~held]))
    held, order = np.zeros(len(codes), np.bool_), rng.permutation(len(codes))
    for code in np.unique(codes):
        rows = order[codes[order] == code]
        held[rows[: len(rows) // 3]] = True
    return held


def unit(rows: Floats) -> Tensor:
    """Rows whose squares have mean 1, float32."""
    length = np.linalg.norm(rows, axis=1, keepdims=True) / np.sqrt(rows.shape[1])
    return torch.from_numpy((rows / np.maximum(length, 1e-9)).astype(np.float32))
