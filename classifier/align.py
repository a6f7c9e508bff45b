"""Losses that pull two sets of cells together, and how hard to pull.

The losses of Liu et al. (Bioinformatics 2025, btaf682), whose two-stage scheme this project
follows, are not published in a form that was available: those here are this project's choice.
Inside this module the labelled reference is the *source* and the query the *target*, as in the
papers the formulas come from.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from torch import Tensor

LossName = Literal["coral", "mmd", "adversarial", "class-conditional"]
Alignment = Literal[
    "adaptive", "none", "coral", "mmd", "adversarial", "class-conditional", "self-training"
]
LOSSES: tuple[LossName, ...] = ("coral", "mmd", "adversarial", "class-conditional")


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


def class_means_loss(
    source: Tensor, source_types: Tensor, target: Tensor, target_types: Tensor
) -> Tensor:
    """Squared distance of a type's two means over ``d``, averaged over types of both sides.

    Parameters
    ----------
    source, target : float32, shapes (n, d) and (m, d)
    source_types, target_types : int64, shapes (n,) and (m,)
        Known types of the source and confident guesses for the target; -1 for cells to leave out.

    Returns
    -------
    float32, shape ()
        0 if the sides have no type in common.

    References
    ----------
    Xie et al. (2018), Learning Semantic Representations for Unsupervised Domain Adaptation,
    equation 4 (here without the moving average of the means).
    """
    shared = sorted(set(source_types.tolist()) & set(target_types.tolist()) - {-1})
    if not shared:
        return source.new_zeros(())
    gaps = [
        source[source_types == code].mean(dim=0) - target[target_types == code].mean(dim=0)
        for code in shared
    ]
    return torch.stack(gaps).square().mean()


def reverse_gradient(cells: Tensor, scale: float) -> Tensor:
    """The same values, whose gradient is turned round and multiplied by `scale`.

    Parameters
    ----------
    cells : float32, any shape
    scale : float

    References
    ----------
    Ganin et al. (2016), Domain-Adversarial Training of Neural Networks, equation 18.
    """
    return (1 + scale) * cells.detach() - scale * cells


def reversal_scale(progress: float) -> float:
    """Strength of the reversal as the fit goes on, from 0 to 1.

    Parameters
    ----------
    progress : float
        Share of the steps done, in [0, 1].

    References
    ----------
    Ganin et al. (2016), section 5.2.2.

    Examples
    --------
    >>> reversal_scale(0.0), round(reversal_scale(1.0), 4)
    (0.0, 0.9999)
    """
    return float(2 / (1 + np.exp(-10 * progress)) - 1)


def loss_weights(alignment: Alignment) -> dict[LossName, float]:
    """How much each loss counts; none at all is an empty table.

    Parameters
    ----------
    alignment : str
        A name of a loss, which then counts 1; ``adaptive``, ``none`` or ``self-training`` for none.

    Raises
    ------
    ValueError
        If the name is not known.

    Examples
    --------
    >>> loss_weights("coral"), loss_weights("adaptive")
    ({'coral': 1.0}, {})
    """
    if alignment in ("adaptive", "none", "self-training"):
        return {}
    for name in LOSSES:
        if name == alignment:
            return {name: 1.0}
    names = ", ".join(("adaptive", "none", *LOSSES, "self-training"))
    raise ValueError(f"alignment {alignment!r} is not known; choose one of {names}")


def proportion_shift(reference: NDArray[np.int64], probabilities: NDArray[np.float32]) -> float:
    """Total variation distance of two sides' proportions of types, in [0, 1].

    Parameters
    ----------
    reference : int64, shape (n,)
        Type codes.
    probabilities : float32, shape (m, n_types)
        Of the query cells.

    Examples
    --------
    >>> query = np.array([[1, 0], [0, 1]], np.float32)
    >>> proportion_shift(np.array([0, 0, 0, 1]), query)
    0.25
    """
    have = np.bincount(reference, minlength=probabilities.shape[1]) / len(reference)
    return float(np.abs(probabilities.mean(axis=0, dtype=np.float64) - have).sum() / 2)


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
