"""Cells named without a reference: scores of terms, smoothed, learnt from, and left open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from scipy.special import softmax
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize

from peakatlas.classifier.alignment.joint_space import JointSpace
from peakatlas.classifier.ontology.lineages import lineage_of
from peakatlas.engine.errors import CountsError, LabelsError

from .scores import term_scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MOST_NEIGHBOURS, CELLS_A_NEIGHBOUR = 30, 12
"""A cell's scores are the mean over so many cells like it, in small samples a twelfth of them."""
NEIGHBOUR_AXES, LABEL_AXES = 20, 50
SURE_SHARE = 0.4
"""Of the cells of each lineage, those with the highest scores, which the others learn from."""
LEAST_SURE, CELLS_AN_AXIS = 10, 10
LEAST_FIT = 0.2
"""Score by the root of open peaks below which no term fits. Cells of known kinds reach 0.27 to 0.5,
stem and progenitor cells 0.02 to 0.15 (Granja 2019, where it was set)."""
SHRINKAGE = 0.05


@dataclass(frozen=True, kw_only=True, eq=False)
class CellNames:
    """What is said of n cells."""

    terms: tuple[str, ...]
    """Ids of the m terms that were scored."""
    scores: NDArray[np.float32]
    """Smoothed scores, shape (n, m)."""
    best: NDArray[np.int64]
    """Place in `terms` of the best term of the cell's lineage, shape (n,)."""
    lineage: NDArray[np.str_]
    """Id of the lineage, shape (n,)."""
    confidence: Floats
    """Probability of the lineage among lineages, shape (n,)."""
    fit: Floats
    """Best score by the root of open peaks, shape (n,)."""

    @property
    def named(self) -> NDArray[np.bool_]:
        """Whether any term fits, shape (n,)."""
        return self.fit >= LEAST_FIT


def name_cells(
    opened: sp.csr_matrix, peak_terms: sp.csr_matrix, terms: Sequence[str], wanted: Sequence[str]
) -> CellNames:
    """Name cells by the annotated elements that they open.

    Parameters
    ----------
    opened : csr_matrix of float32
        Binary, shape (n_cells, n_peaks).
    peak_terms : csr_matrix of float32
        Binary, shape (n_peaks, len(terms)).
    terms : sequence of str
        Ids of the columns of `peak_terms`.
    wanted : sequence of str
        Those that cells may be named by.

    Raises
    ------
    CountsError
        If there are fewer than 20 cells, or no open peak has a term.
    LabelsError
        If fewer than two of the wanted terms are on any peak.
    """
    held = np.asarray(peak_terms.sum(axis=0)).ravel() > 0
    column = {term: number for number, term in enumerate(terms)}
    kept = [term for term in wanted if term in column and held[column[term]]]
    _check(opened, peak_terms, kept)
    scores, depth = term_scores(opened, peak_terms, [column[term] for term in kept])
    space = JointSpace.fit(opened, opened[:0], LABEL_AXES, 0)
    near = _neighbours(space.axes(NEIGHBOUR_AXES).reference)
    smooth = scores[near].mean(axis=1)
    lineages = np.array([lineage_of(term) for term in kept])
    kinds = np.unique(lineages)
    by_kind = np.stack([smooth[:, lineages == kind].max(axis=1) for kind in kinds], axis=1)
    chances = _chances(by_kind, near.shape[1], normalize(space.axes(LABEL_AXES).reference))
    chosen = kinds[chances.argmax(axis=1)]
    within = np.where(chosen[:, None] == lineages, smooth, -np.inf)
    return CellNames(
        terms=tuple(kept),
        scores=smooth.astype(np.float32),
        best=within.argmax(axis=1),
        lineage=chosen,
        confidence=chances.max(axis=1),
        fit=by_kind.max(axis=1) / np.sqrt(depth[near].mean(axis=1)),
    )


def _check(opened: sp.csr_matrix, peak_terms: sp.csr_matrix, kept: Sequence[str]) -> None:
    if opened.shape[0] < 20:
        raise CountsError(f"{opened.shape[0]} cells are too few to name: 20 are needed.")
    if len(kept) < 2:
        raise LabelsError(
            f"peaks carry {len(kept)} of the terms of this tissue; two are needed. Is the genome "
            "build right?"
        )
    if not (opened @ (np.asarray(peak_terms.sum(axis=1)).ravel() > 0)).any():
        raise CountsError("no cell opens a peak that has a term. Is the genome build right?")


def _neighbours(axes: Floats) -> NDArray[np.int64]:
    """Cells like each cell, itself among them, shape (n, k)."""
    unit = normalize(axes)
    k = int(np.clip(len(unit) // CELLS_A_NEIGHBOUR, 5, MOST_NEIGHBOURS))
    found = NearestNeighbors(n_neighbors=k).fit(unit).kneighbors(unit, return_distance=False)
    return np.asarray(found, np.int64)


def _chances(by_kind: Floats, n_near: int, axes: Floats) -> Floats:
    """Probabilities of lineages: the mean of what the scores say and what is learnt from them.

    The mean of `n_near` scores of unit variance, were they of one kind of cell and independent,
    would be told apart by their root; half of that is what neighbours are worth.
    """
    said = np.asarray(softmax(by_kind * np.sqrt(n_near) / 2, axis=1), np.float64)
    learnt = _learnt(by_kind, axes)
    return said if learnt is None else (said + learnt) / 2


def _learnt(by_kind: Floats, axes: Floats) -> Floats | None:
    """Probabilities of lineages, learnt from the cells with the highest scores of each.

    None where only one lineage has such cells.
    """
    best, height = by_kind.argmax(axis=1), by_kind.max(axis=1)
    sure = np.zeros(len(best), np.bool_)
    for kind in np.unique(best):
        rows = np.flatnonzero(best == kind)
        if len(rows) >= LEAST_SURE:
            sure[rows[np.argsort(-height[rows])[: int(np.ceil(SURE_SHARE * len(rows)))]]] = True
    known = np.unique(best[sure])
    if len(known) < 2:
        return None
    chances = np.zeros_like(by_kind)
    axes = axes[:, : max(2, int(sure.sum()) // CELLS_AN_AXIS)]
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=SHRINKAGE)
    chances[:, known] = _probabilities(model.fit(axes[sure], best[sure]), axes)
    return chances


def _probabilities(model: LinearDiscriminantAnalysis, axes: Floats) -> Floats:
    return np.asarray(model.predict_proba(axes), np.float64)
