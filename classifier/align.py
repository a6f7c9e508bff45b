"""Losses that pull two sets of cells together, and how hard to pull.

The losses of Liu et al. (Bioinformatics 2025, btaf682), whose two-stage scheme this project
follows, are not published in a form that was available: those here are this project's choice.
Inside this module the labelled reference is the *source* and the query the *target*, as in the
papers the formulas come from.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from torch import Tensor

Alignment = Literal["adaptive", "none", "coral", "mmd", "coral+mmd"]
AlignmentLoss = Callable[[Tensor, Tensor], Tensor]


def coral_loss(source: Tensor, target: Tensor) -> Tensor:
    """Squared Frobenius distance of the two covariances over ``4 d²``.

    Parameters
    ----------
    source, target : float32, shapes (n, d) and (m, d)
        At least two rows each.

    Returns
    -------
    float32, shape ()

    Raises
    ------
    ValueError
        If a side has fewer than two rows: its covariance is undefined.

    References
    ----------
    Sun & Saenko (2016), Deep CORAL, equation 1.
    """
    _need_two_rows(source, target)
    gap = torch.cov(source.T) - torch.cov(target.T)
    return gap.square().sum() / (4 * source.shape[1] ** 2)


def mmd_loss(source: Tensor, target: Tensor) -> Tensor:
    """Squared maximum mean discrepancy under a sum of five Gaussian kernels (biased estimate).

    Bandwidths are the mean squared distance of all pairs times 1/4, 1/2, 1, 2 and 4; no gradient
    flows through them.

    Parameters
    ----------
    source, target : float32, shapes (n, d) and (m, d)

    Returns
    -------
    float32, shape ()
        In [0, 10].

    Raises
    ------
    ValueError
        If a side has fewer than two rows.

    References
    ----------
    Gretton et al. (2012), A Kernel Two-Sample Test, equation 5;
    Long et al. (2015), Learning Transferable Features with Deep Adaptation Networks.
    """
    _need_two_rows(source, target)
    cells = torch.cat([source, target])
    squares = torch.cdist(cells, cells).square()
    n, total = len(source), len(cells)
    bandwidth = squares.detach().sum() / (total * (total - 1)) + 1e-12
    scales = [0.25, 0.5, 1.0, 2.0, 4.0]
    kernel = torch.stack([torch.exp(-squares / (bandwidth * s)) for s in scales]).sum(dim=0)
    return kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean()


def mean_loss(source: Tensor, target: Tensor) -> Tensor:
    """Squared distance of the two means over ``d``: MMD under a linear kernel.

    Raises
    ------
    ValueError
        If a side has fewer than two rows.
    """
    _need_two_rows(source, target)
    return (source.mean(dim=0) - target.mean(dim=0)).square().mean()


def alignment_loss(name: Alignment) -> AlignmentLoss:
    """The loss of a name; ``none`` is zero, ``adaptive`` is ``coral+mmd``.

    Raises
    ------
    ValueError
        If the name is not known.
    """
    losses: dict[str, AlignmentLoss] = {
        "none": lambda source, _: source.new_zeros(()),
        "coral": lambda source, target: mean_loss(source, target) + coral_loss(source, target),
        "mmd": mmd_loss,
        "coral+mmd": lambda source, target: coral_loss(source, target) + mmd_loss(source, target),
    }
    losses["adaptive"] = losses["coral+mmd"]
    if name not in losses:
        raise ValueError(f"alignment {name!r} is not known; choose one of {', '.join(losses)}")
    return losses[name]


def domain_separability(
    source: NDArray[np.float32], target: NDArray[np.float32], *, seed: int = 0
) -> float:
    """How well a linear classifier tells the two sides apart, cross-validated AUC in [0.5, 1].

    0.5 means that nothing is to be aligned; ``2 (AUC - .5)`` stands in for the proxy A-distance.

    Parameters
    ----------
    source, target : float32, shapes (n, d) and (m, d)
    seed : int

    Raises
    ------
    ValueError
        If a side has fewer than two rows.

    References
    ----------
    Ben-David et al. (2007), Analysis of Representations for Domain Adaptation, section 5.
    """
    if min(len(source), len(target)) < 2:
        raise ValueError("separability needs at least two cells on each side")
    cells = np.concatenate([source, target])
    side = np.repeat([0, 1], [len(source), len(target)])
    folds = StratifiedKFold(min(3, len(source), len(target)), shuffle=True, random_state=seed)
    model = LogisticRegression(C=0.1, class_weight="balanced", max_iter=200)
    scale = cells.std(axis=0) + 1e-6
    scores = cross_val_predict(
        model, (cells - cells.mean(axis=0)) / scale, side, cv=folds, method="decision_function"
    )
    return float(max(0.5, roc_auc_score(side, scores)))


def adaptive_weight(separability: float) -> float:
    """Weight of the alignment loss, 0 for sides that cannot be told apart, at most 1.

    Separability below .6 is what a few batches of one donor show; it is left alone.

    Examples
    --------
    >>> adaptive_weight(0.55), adaptive_weight(1.0)
    (0.0, 1.0)
    """
    return float(np.clip((separability - 0.6) / 0.4, 0.0, 1.0))


def class_weights(
    reference: NDArray[np.int64], probabilities: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Weight of each reference cell that gives its types the proportions predicted for the query.

    Aligning all of the reference to a query of another composition would move types onto each
    other; drawing reference cells with these weights compares like with like.

    Parameters
    ----------
    reference : int64, shape (n,)
        Type codes.
    probabilities : float32, shape (m, n_types)
        Of the query cells.

    Returns
    -------
    float64, shape (n,)
        Sums to 1.

    References
    ----------
    Lipton et al. (2018), Detecting and Correcting for Label Shift with Black Box Predictors.
    """
    n_types = probabilities.shape[1]
    have = np.bincount(reference, minlength=n_types) / len(reference)
    want = 0.9 * probabilities.mean(axis=0, dtype=np.float64) + 0.1 * have
    weights = np.asarray((want / np.maximum(have, 1e-12))[reference], np.float64)
    normalised: NDArray[np.float64] = weights / weights.sum()
    return normalised


def _need_two_rows(source: Tensor, target: Tensor) -> None:
    if min(len(source), len(target)) < 2:
        raise ValueError(
            f"alignment needs two cells on each side, not {len(source)} and {len(target)}"
        )
