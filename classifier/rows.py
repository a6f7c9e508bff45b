"""Many small logistic regressions on the same features at once, one a cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    import scipy.sparse as sp
    from numpy.typing import NDArray

CELLS_A_BATCH = 128
PEAKS_A_BLOCK = 2048
MAX_STEPS = 30
TOLERANCE = 1e-4
MAX_HALVINGS = 12
BIAS_RIDGE = 1e-3


def solve_rows(
    opened: sp.csr_matrix, features: NDArray[np.float32], *, ridge: float
) -> NDArray[np.float32]:
    """Ridge logistic regression of every cell's open peaks on the peaks' features.

    Newton's method with step halving in float64, in batches of one size, each cell stopped by
    itself: a cell's result is the same whatever cells are solved with it. A cell's penalised
    loss is strictly convex, so there is one solution.

    Parameters
    ----------
    opened : csr_matrix of float32, shape (n_cells, n_peaks)
        1 where a peak is open.
    features : float32, shape (n_peaks, n_features)
    ridge : float
        Penalty on half the squared length of a cell's weights; on that of its bias a
        thousandth.

    Returns
    -------
    float32, shape (n_cells, n_features + 1)
        Weights, then the bias. A cell without open peaks is all 0.

    Examples
    --------
    >>> import scipy.sparse as sp
    >>> opened = sp.csr_matrix(np.array([[1, 0, 1, 0]], np.float32))
    >>> features = np.array([[1], [-1], [1], [-1]], np.float32)
    >>> print(f"{solve_rows(opened, features, ridge=1.0)[0, 0]:.3f}")
    1.043
    """
    n_cells = opened.shape[0]
    solved = np.zeros((n_cells, features.shape[1] + 1), np.float32)
    filled = np.flatnonzero(np.diff(opened.indptr))
    if not len(filled):
        return solved
    ones = np.ones((len(features), 1), np.float64)
    design = torch.from_numpy(np.concatenate([features.astype(np.float64), ones], axis=1))
    penalty = torch.full((design.shape[1],), float(ridge), dtype=torch.float64)
    penalty[-1] = ridge * BIAS_RIDGE
    for start in range(0, len(filled), CELLS_A_BATCH):
        cells = filled[start : start + CELLS_A_BATCH]
        padded = np.zeros((CELLS_A_BATCH, len(features)), np.float64)
        padded[: len(cells)] = opened[cells].toarray()
        weights = _newton(torch.from_numpy(padded), design, penalty)
        solved[cells] = weights[: len(cells)].numpy().astype(np.float32)
    return solved


def _newton(opened: Tensor, design: Tensor, penalty: Tensor) -> Tensor:
    weights = torch.zeros((len(opened), design.shape[1]), dtype=torch.float64)
    weights[:, -1] = torch.logit(opened.mean(dim=1).clamp(1e-4, 1 - 1e-4))
    loss = _losses(weights, opened, design, penalty)
    going = torch.ones(len(opened), dtype=torch.bool)
    for _ in range(MAX_STEPS):
        gradient, curvature = _derivatives(weights, opened, design, penalty)
        step = torch.linalg.solve(curvature, gradient.unsqueeze(2)).squeeze(2)
        going &= (gradient * step).sum(dim=1) > TOLERANCE**2
        if not going.any():
            break
        weights, loss = _descend(weights, loss, step * going.unsqueeze(1), opened, design, penalty)
    return weights


def _descend(
    weights: Tensor, loss: Tensor, step: Tensor, opened: Tensor, design: Tensor, penalty: Tensor
) -> tuple[Tensor, Tensor]:
    """Halve each cell's step until its loss does not rise."""
    size = torch.ones((len(weights), 1), dtype=torch.float64)
    for _ in range(MAX_HALVINGS):
        moved = weights - size * step
        after = _losses(moved, opened, design, penalty)
        worse = after > loss + 1e-9 * loss.abs()
        if not worse.any():
            break
        size[worse] *= 0.5
    return moved, after


def _losses(weights: Tensor, opened: Tensor, design: Tensor, penalty: Tensor) -> Tensor:
    logits = weights @ design.T
    loss = torch.nn.functional.softplus(logits) - opened * logits
    return loss.sum(dim=1) + 0.5 * (weights**2 * penalty).sum(dim=1)


def _derivatives(
    weights: Tensor, opened: Tensor, design: Tensor, penalty: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradient, and curvature as one product with the outer products of the features."""
    chance = torch.sigmoid(weights @ design.T)
    gradient = (chance - opened) @ design + weights * penalty
    spread = chance * (1 - chance)
    upper, lower = torch.triu_indices(design.shape[1], design.shape[1])
    packed = torch.zeros((len(weights), len(upper)), dtype=torch.float64)
    for start in range(0, len(design), PEAKS_A_BLOCK):
        block = design[start : start + PEAKS_A_BLOCK]
        packed += spread[:, start : start + PEAKS_A_BLOCK] @ (block[:, upper] * block[:, lower])
    curvature = torch.diag_embed(penalty.expand(len(weights), -1)).clone()
    both = upper != lower
    curvature[:, upper, lower] += packed
    curvature[:, lower[both], upper[both]] += packed[:, both]
    return gradient, curvature
