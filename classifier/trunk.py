"""The accessibility trunk: peak embeddings to features in which each cell is one weight vector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from peakatlas.classifier.counts.sparse import binary

from .rows import solve_rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    import scipy.sparse as sp
    from numpy.typing import NDArray

MINIBATCH = 128
PATIENCE = 3
HELD_OUT = 10
MIN_PEAKS = 20
_EPS = 1e-6
ARRAYS = ("mean", "scale", "first", "first_bias", "second", "second_bias")


@dataclass(frozen=True, kw_only=True)
class TrunkOptions:
    """How the trunk is built and fitted."""

    hidden: int = 128
    """Width of the hidden layer."""
    n_features: int = 32
    """Features of a peak, and so weights of a cell."""
    least_open: float = 0.01
    """Peaks open in a smaller share of the reference's cells are not fitted."""
    max_epochs: int = 60
    """Passes over the peaks, at most; held-out peaks say when to stop."""
    learning_rate: float = 2e-3
    """Of AdamW."""
    weight_decay: float = 1e-2
    """AdamW's decoupled decay."""
    dropout: float = 0.2
    """Share of hidden units left out at random."""
    ridge: float = 1.0
    """Penalty on half the squared length of a cell's weights, in units of peaks."""

    def __post_init__(self) -> None:
        if min(self.hidden, self.n_features, self.max_epochs) < 1:
            raise ValueError(f"hidden, n_features and max_epochs must be ≥ 1: {self}")
        if not 0 <= self.least_open < 1 or self.ridge <= 0:
            raise ValueError(f"least_open must lie in [0, 1) and ridge above 0: {self}")


@dataclass(frozen=True, eq=False, kw_only=True)
class Trunk:
    """A frozen two-layer network from peak embeddings to peak features.

    The logarithm of the odds that a peak is open in a cell is the product of the peak's features
    with the cell's weights, plus the cell's bias. The network is fitted once, together with
    weights for the reference's cells, which are then thrown away: any cell, of the reference or
    not, over any peaks that have an embedding, is found by ridge logistic regression on the
    features (`cells`), a convex problem that it does not share with other cells.

    References
    ----------
    Yuan and Kelley (2022), scBasset, doi:10.1038/s41592-022-01562-8: cells as weights of the last
    layer of a sequence model. Zeng et al. (2024), SANGO, doi:10.1038/s41467-024-47081-x, uses such
    weights to annotate. Both have to train again for new cells.
    """

    mean: NDArray[np.float32]
    """Of the embeddings of the reference's peaks, shape (dim,)."""
    scale: NDArray[np.float32]
    """Their standard deviation, shape (dim,)."""
    first: NDArray[np.float32]
    """Shape (hidden, dim)."""
    first_bias: NDArray[np.float32]
    second: NDArray[np.float32]
    """Shape (n_features, hidden)."""
    second_bias: NDArray[np.float32]
    ridge: float
    """See `TrunkOptions.ridge`."""

    @classmethod
    def fit(
        cls,
        counts: sp.csr_matrix,
        values: NDArray[np.float32],
        *,
        options: TrunkOptions | None = None,
        seed: int = 0,
    ) -> Trunk:
        """Fit on reference cells.

        A tenth of the peaks is held out, and fitting stops when they are no longer told better.

        Parameters
        ----------
        counts : csr_matrix of float32, shape (n_cells, n_peaks)
            Whether a peak is open in a cell is all that is read.
        values : float32, shape (n_peaks, dim)
            Embeddings; rows of NaN are left out.
        options : TrunkOptions, optional
        seed : int

        Raises
        ------
        ValueError
            If fewer than 20 peaks have an embedding and are open often enough.
        """
        options = options or TrunkOptions()
        share = np.bincount(counts.indices, minlength=counts.shape[1]) / max(1, counts.shape[0])
        peaks = np.flatnonzero(np.isfinite(values[:, 0]) & (share >= options.least_open))
        if len(peaks) < MIN_PEAKS:
            raise ValueError(
                f"the trunk needs {MIN_PEAKS} embedded peaks that are open in at least "
                f"{options.least_open:.0%} of the cells, and there are {len(peaks)}"
            )
        x, mean, scale = _standard(values[peaks])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            layers = _layers(x.shape[1], options)
            opened = binary(counts[:, peaks]).T.tocsr()
            _optimise(layers, torch.from_numpy(x), opened, options, np.random.default_rng(seed))
        state = {name: value.detach().numpy() for name, value in layers.state_dict().items()}
        return cls(
            mean=mean,
            scale=scale,
            first=state["0.weight"],
            first_bias=state["0.bias"],
            second=state["3.weight"],
            second_bias=state["3.bias"],
            ridge=options.ridge,
        )

    @property
    def n_features(self) -> int:
        """Features of a peak."""
        return len(self.second)

    def features(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Features of peaks, float32, shape (n_peaks, n_features).

        Parameters
        ----------
        values : float32, shape (n_peaks, dim)
            Embeddings, without NaN.
        """
        x = torch.from_numpy(np.ascontiguousarray((values - self.mean) / self.scale, np.float32))
        first, second = torch.from_numpy(self.first), torch.from_numpy(self.second)
        hidden = nn.functional.gelu(x @ first.T + torch.from_numpy(self.first_bias))
        features: NDArray[np.float32] = (
            hidden @ second.T + torch.from_numpy(self.second_bias)
        ).numpy()
        return features

    def cells(self, counts: sp.csr_matrix, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Weights of cells, the trunk frozen.

        Parameters
        ----------
        counts : csr_matrix of float32, shape (n_cells, n_peaks)
        values : float32, shape (n_peaks, dim)
            Embeddings; rows of NaN are left out.

        Returns
        -------
        float32, shape (n_cells, n_features)
            The same bytes for a cell alone and in company; 0 without an open peak.
        """
        peaks = np.flatnonzero(np.isfinite(values[:, 0]))
        features = self.features(values[peaks])
        rows = solve_rows(binary(counts[:, peaks]), features, ridge=self.ridge)
        return rows[:, : self.n_features]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays that make up the trunk, by name."""
        return {name: getattr(self, name) for name in ARRAYS}

    @classmethod
    def restore(cls, arrays: Mapping[str, NDArray[Any]], ridge: float) -> Trunk:
        """Inverse of `arrays`.

        Raises
        ------
        KeyError
            If an array is missing.
        """
        return cls(**{name: arrays[name] for name in ARRAYS}, ridge=ridge)


def _standard(
    values: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    mean = values.mean(axis=0, dtype=np.float64).astype(np.float32)
    scale = (values.std(axis=0, dtype=np.float64) + _EPS).astype(np.float32)
    return np.ascontiguousarray((values - mean) / scale, np.float32), mean, scale


def _layers(dim: int, options: TrunkOptions) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(dim, options.hidden),
        nn.GELU(),
        nn.Dropout(options.dropout),
        nn.Linear(options.hidden, options.n_features),
    )


def _optimise(
    layers: nn.Sequential,
    x: Tensor,
    opened: sp.csr_matrix,
    options: TrunkOptions,
    rng: np.random.Generator,
) -> None:
    """Fit layers and last-layer weights of the cells; leave the best layers in place."""
    last = nn.Linear(options.n_features, opened.shape[1])
    order = rng.permutation(len(x))
    held, seen = order[: max(2, len(x) // HELD_OUT)], order[max(2, len(x) // HELD_OUT) :]
    optimiser = torch.optim.AdamW(
        [*layers.parameters(), *last.parameters()],
        lr=options.learning_rate,
        weight_decay=options.weight_decay,
    )
    best, best_loss, since = _copy(layers), np.inf, 0
    for _ in range(options.max_epochs):
        layers.train()
        for rows in np.array_split(rng.permutation(seen), max(1, len(seen) // MINIBATCH)):
            loss = _loss(last(layers(x[rows])), opened[rows])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        loss_held = _held_out_loss(layers, last, x, opened, held)
        since += 1
        if loss_held < best_loss - 1e-5:
            best, best_loss, since = _copy(layers), loss_held, 0
        if since >= PATIENCE:
            break
    layers.load_state_dict(best)
    layers.eval()


def _loss(logits: Tensor, opened: sp.csr_matrix) -> Tensor:
    return nn.functional.binary_cross_entropy_with_logits(
        logits, torch.from_numpy(opened.toarray())
    )


@torch.no_grad()
def _held_out_loss(
    layers: nn.Sequential,
    last: nn.Linear,
    x: Tensor,
    opened: sp.csr_matrix,
    held: NDArray[np.int64],
) -> float:
    layers.eval()
    parts = np.array_split(held, max(1, len(held) // MINIBATCH))
    losses = [float(_loss(last(layers(x[rows])), opened[rows])) * len(rows) for rows in parts]
    return sum(losses) / len(held)


def _copy(layers: nn.Sequential) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in layers.state_dict().items()}
