"""Which elements carry a type: what opening each adds to its log-odds, and how often it is open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from peakatlas.engine.errors import BundleError

if TYPE_CHECKING:
    import scipy.sparse as sp
    from numpy.typing import NDArray

    from peakatlas.classifier.bundle.bundle import Bundle
    from peakatlas.classifier.route import Route

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


@dataclass(frozen=True, eq=False, kw_only=True)
class ElementScores:
    """What every element of a bundle says of every type; arrays have shape (n_elements, n_types).

    `weight` is what opening an element adds to the log-odds of a type against the mean of the
    others, in natural units, in the median reference cell: coefficient × inverse document frequency
    of the fitted linear member, over how many elements that cell opens (for a discriminant, over
    the length of its row). `contribution` is that
    times how much more often cells of the type open it, which is the part of the mean difference
    in log-odds between the type and the others that the element carries (the mean Shapley value
    of a linear model). The network, the other member of the ensemble, is not in it.

    References
    ----------
    Lundberg and Lee (2017), A unified approach to interpreting model predictions, Corollary 1.
    """

    rows: NDArray[np.int64]
    """Registry row of each element, shape (n_elements,)."""
    weight: NDArray[np.float32]
    contribution: NDArray[np.float32]
    open_in_type: NDArray[np.float32]
    """Share of the type's cells in the bundle's sample that open the element."""
    open_elsewhere: NDArray[np.float32]
    """The same of the other types, each counting the same."""

    def best(self, code: int, top: int) -> NDArray[np.int64]:
        """Elements that speak for a type, best first: at most `top`, ties to the lower row.

        An element that cells of the type do not open more often than others is left out.
        """
        speaks = np.flatnonzero((self.weight[:, code] > 0) & (self.contribution[:, code] > 0))
        order = np.argsort(-self.contribution[speaks, code], kind="stable")
        return speaks[order[:top]]


def element_scores(bundle: Bundle) -> ElementScores:
    """Score every element of a bundle for every type.

    Parameters
    ----------
    bundle : Bundle

    Raises
    ------
    BundleError
        If the bundle reads nothing but DNA, so that it has no weights on elements.
    """
    route = bundle.routes.get("shared")
    if route is None or route.sample_open is None:
        raise BundleError(
            f"the bundle ({bundle.encoder.representation}) reads only the DNA of peaks and has no "
            'weights on elements. Train with representation="hybrid" or "reindexed".'
        )
    weight = _weights(route, route.sample_open)
    inside = _open_shares(route.sample_open, route.sample_types, len(bundle.types))
    elsewhere = _mean_of_others(inside)
    return ElementScores(
        rows=route.encoder.rows,
        weight=weight,
        contribution=weight * (inside - elsewhere),
        open_in_type=inside,
        open_elsewhere=elsewhere,
    )


def marker_elements(bundle: Bundle, *, top: int = 20) -> pd.DataFrame:
    """Elements that carry each type, best first.

    Parameters
    ----------
    bundle : Bundle
        With a route for shared peaks.
    top : int
        Elements a type, at most.

    Returns
    -------
    pandas.DataFrame
        ``chrom, start, end, type, rank`` (from 1), ``weight, contribution, open_in_type,
        open_elsewhere``, see `ElementScores`; types in the order of ``bundle.types``.

    Raises
    ------
    BundleError
        If the bundle reads nothing but DNA.
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
        bundle.registry.take(scores.rows[chosen])
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


def _weights(route: Route, opened: sp.csr_matrix) -> NDArray[np.float32]:
    scale = np.float32(_usual_length(route, opened))
    weights = route.linear.coefficients - _mean_of_others(route.linear.coefficients)
    weights *= (route.encoder.idf / scale)[:, None]
    return np.asarray(weights, np.float32)


def _usual_length(route: Route, opened: sp.csr_matrix) -> float:
    """What the linear member divides inverse document frequencies by, in the median cell."""
    if route.linear.unit:
        return max(1e-12, float(np.median(np.sqrt(opened @ np.square(route.encoder.idf)))))
    return float(route.encoder.tfidf_scale) * max(1.0, float(np.median(np.diff(opened.indptr))))


def _open_shares(
    opened: sp.csr_matrix, types: NDArray[np.int64], n_types: int
) -> NDArray[np.float32]:
    """Share of each type's cells that open an element, shape (n_elements, n_types)."""
    shares = np.zeros((opened.shape[1], n_types), np.float32)
    for code in np.unique(types):
        shares[:, code] = np.asarray(opened[types == code].mean(axis=0)).ravel()
    return shares


def _mean_of_others(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """For each column the mean of the other columns."""
    total = values.sum(axis=1, keepdims=True)
    return np.asarray((total - values) / max(1, values.shape[1] - 1), np.float32)
