"""Which peaks carry a type: how much oftener its cells open them than other cells do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy.special import logit

from peakatlas.classifier.bundle.reference_files import codes_of
from peakatlas.classifier.counts.sparse import binary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from peakatlas.classifier.bundle.bundle import Bundle
    from peakatlas.classifier.models.protocol import Cells

ELEMENT_COLUMNS = (
    "chrom",
    "start",
    "end",
    "type",
    "rank",
    "weight",
    "contribution",
    "open_in_type",
    "open_elsewhere",
)


LEAST = 1e-4
"""Of shares, for their odds."""
SHRINKAGE = 10.0
"""Cells with the mean openness over types that are added to each type."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ElementScores:
    """What every peak of a bundle says of every type; arrays have shape (n_peaks, n_types).

    `weight` is the logarithm of the odds that a cell of the type opens the peak, over the odds
    that a cell of another type does (each other type counting the same), in natural units. Ten
    cells of mean openness are added to each type, so that a peak seen open in few cells has a
    weight near 0. `contribution` is that times how much more often cells of the type open it. It
    describes the reference cells, not the inside of the labeller.
    """

    weight: NDArray[np.float32]
    contribution: NDArray[np.float32]
    open_in_type: NDArray[np.float32]
    """Share of the type's cells in the bundle's sample that open the element."""
    open_elsewhere: NDArray[np.float32]
    """The same of the other types, each counting the same."""

    def best(self, code: int, top: int) -> NDArray[np.int64]:
        """Marker peaks of a type, best first: at most `top`, ties to the lower row.

        An element that cells of the type do not open more often than others is left out.
        """
        speaks = np.flatnonzero((self.weight[:, code] > 0) & (self.contribution[:, code] > 0))
        order = np.argsort(-self.contribution[speaks, code], kind="stable")
        return speaks[order[:top]]


def element_scores(bundle: Bundle) -> ElementScores:
    """Score every peak of a bundle for every type.

    Parameters
    ----------
    bundle : Bundle
    """
    reference = bundle.reference
    inside, cells = _open_shares(reference, bundle.types)
    mean = inside.mean(axis=1, keepdims=True)
    shrunk = (inside * cells + SHRINKAGE * mean) / (cells + SHRINKAGE)
    weight = _log_odds(shrunk) - _log_odds(_mean_of_others(shrunk))
    elsewhere = _mean_of_others(inside)
    return ElementScores(
        weight=weight.astype(np.float32),
        contribution=(weight * (inside - elsewhere)).astype(np.float32),
        open_in_type=inside.astype(np.float32),
        open_elsewhere=elsewhere.astype(np.float32),
    )


def marker_elements(bundle: Bundle, *, top: int = 20) -> pd.DataFrame:
    """Elements that carry each type, best first.

    Parameters
    ----------
    bundle : Bundle
    top : int
        Elements a type, at most.

    Returns
    -------
    pandas.DataFrame
        ``chrom, start, end, type, rank`` (from 1), ``weight, contribution, open_in_type,
        open_elsewhere``, see `ElementScores`; types in the order of ``bundle.types``.

    Raises
    ------
    ValueError
        If `top` is below 1.

    Examples
    --------
    >>> import peakatlas
    >>> found = peakatlas.marker_elements(peakatlas.Bundle.load("bundle"), top=3)
    >>> found.groupby("type", observed=True).size().max()
    np.int64(3)
    >>> bool((found["open_in_type"] > found["open_elsewhere"]).all())
    True
    """
    return marker_table(bundle, element_scores(bundle), top)


def markers_bed(markers: pd.DataFrame) -> str:
    """Marker elements as BED text, in the order of their places.

    The name is the type; the score is the contribution, 1000 for the greatest of the type.

    Parameters
    ----------
    markers : DataFrame
        From `marker_elements`.
    """
    greatest = markers.groupby("type", observed=True)["contribution"].transform("max")
    score = np.rint(1000 * markers["contribution"] / greatest).astype(np.int64)
    table = markers[["chrom", "start", "end", "type"]].assign(score=score)
    return str(table.sort_values(["chrom", "start"]).to_csv(sep="\t", header=False, index=False))


def marker_table(bundle: Bundle, scores: ElementScores, top: int) -> pd.DataFrame:
    """`marker_elements` from scores that are there already.

    Parameters
    ----------
    bundle : Bundle
    scores : ElementScores
        Of the same bundle.
    top : int
    """
    if top < 1:
        raise ValueError(f"top must be 1 or more, not {top}")
    parts = [_of_type(bundle, scores, code, top) for code in range(len(bundle.types))]
    table = pd.concat(parts, ignore_index=True)
    table["type"] = pd.Categorical(table["type"], categories=list(bundle.types))
    return table[list(ELEMENT_COLUMNS)]


def _of_type(bundle: Bundle, scores: ElementScores, code: int, top: int) -> pd.DataFrame:
    chosen = scores.best(code, top)
    return (
        bundle.peaks.take(chosen)
        .to_frame()
        .assign(
            type=bundle.types[code],
            rank=np.arange(1, len(chosen) + 1),
            weight=scores.weight[chosen, code],
            contribution=scores.contribution[chosen, code],
            open_in_type=scores.open_in_type[chosen, code],
            open_elsewhere=scores.open_elsewhere[chosen, code],
        )
    )


def _open_shares(
    reference: Cells, types: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Share of each type's cells that open a peak, shape (n_peaks, n_types), and its cells."""
    codes = codes_of(reference.labels, types)
    cells = np.bincount(codes, minlength=len(types))
    place = (codes, np.arange(len(codes)))
    member = sp.csr_matrix((np.ones(len(codes)), place), shape=(len(types), len(codes)))
    return np.asarray((member @ binary(reference.counts)).todense()).T / cells, cells


def _log_odds(share: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(logit(np.clip(share, LEAST, 1 - LEAST)))


def _mean_of_others(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each column the mean of the other columns."""
    total = values.sum(axis=1, keepdims=True)
    return np.asarray((total - values) / max(1, values.shape[1] - 1))
