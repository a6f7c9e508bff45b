"""What every member is fitted on and what it returns."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
import scipy.sparse as sp

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Rows = NDArray[np.int64] | NDArray[np.bool_]

Matrix = sp.csr_matrix


@dataclass(frozen=True, kw_only=True, eq=False)
class DnaInput:
    """Cells on their own list of peaks, and the embeddings of these peaks."""

    counts: Matrix
    """csr_matrix of float32, shape (n_cells, n_own)."""
    embeddings: NDArray[np.float32]
    """Shape (n_own, dim); a row of NaN where no embedding is known."""
    column: NDArray[np.int64]
    """Column of the reference peak that each peak was matched to, -1 where none; shape (n_own,)."""
    n_fraction: NDArray[np.float32] | None = None
    """Share of N in the sequence of each peak, shape (n_own,); no N if None."""
    kind: Literal["dna", "terms"] = "dna"
    """What the embeddings are made of: the peaks' DNA, or terms of the elements in them."""

    def take(self, rows: Rows) -> DnaInput:
        """Some of the cells."""
        return replace(self, counts=self.counts[rows])

    def take_peaks(self, kept: Rows) -> DnaInput:
        """Some of the peaks."""
        return replace(
            self,
            counts=self.counts[:, kept],
            embeddings=self.embeddings[kept],
            column=self.column[kept],
            n_fraction=None if self.n_fraction is None else self.n_fraction[kept],
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Cells:
    """Counts of cells on the peaks of the reference."""

    counts: Matrix
    """csr_matrix of float32, shape (n_cells, n_peaks), no explicit zeros."""
    measured: NDArray[np.bool_] | None = None
    """Peaks that the experiment could show, shape (n_peaks,); all if None."""
    labels: NDArray[np.str_] | None = None
    """Types of reference cells, shape (n_cells,)."""
    batches: NDArray[np.str_] | None = None
    """Experimental batches of reference cells, shape (n_cells,)."""
    dna: DnaInput | None = None
    """The same cells on their own peaks."""

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return int(self.counts.shape[0])

    @property
    def n_peaks(self) -> int:
        """Number of peaks of the reference."""
        return int(self.counts.shape[1])

    def take(self, rows: Rows) -> Cells:
        """Some of the cells, in the order of `rows`."""
        return replace(
            self,
            counts=self.counts[rows],
            labels=None if self.labels is None else self.labels[rows],
            batches=None if self.batches is None else self.batches[rows],
            dna=None if self.dna is None else self.dna.take(rows),
        )


class JointAxes(Protocol):
    """Axes that reference and query share; the sampling noise of a cell of depth d is I / d."""

    @property
    def reference(self) -> Floats:
        """Shape (n_reference, n_axes)."""

    @property
    def query(self) -> Floats:
        """Shape (n_query, n_axes)."""

    @property
    def reference_depth(self) -> Floats:
        """Open peaks a cell, at least 1, shape (n_reference,)."""

    def project(self, counts: Matrix) -> tuple[Floats, Floats]:
        """Axes and depth of other cells on the same peaks."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Pair:
    """A reference and a query, ready for members.

    Counts are binary and hold the peaks that both experiments could show.
    """

    reference: Cells
    query: Cells
    codes: NDArray[np.int64]
    """Type of each reference cell, shape (n_reference,)."""
    n_types: int
    axes: Callable[[int], JointAxes]
    """Gives at most this many joint axes; computed once a pair."""
    thinned: Matrix | None = None
    """Reference cells thinned to the query's depths; None where the query is not shallower."""
    seed: int = 0

    @property
    def one_hot(self) -> Floats:
        """Types of reference cells as columns of 0 and 1, shape (n_reference, n_types)."""
        return np.eye(self.n_types)[self.codes]


class Scorer(Protocol):
    """A fitted member."""

    def scores(self, cells: Cells) -> Floats:
        """Log-scores, up to a constant a cell.

        Parameters
        ----------
        cells : Cells
            Binary counts on the pair's peaks; any cells of the query's experiment. What a cell
            gets does not depend on the others.

        Returns
        -------
        float64, shape (n_cells, n_types)
            Finite.
        """


class Member(Protocol):
    """One way from a reference to types of a query's cells."""

    @property
    def name(self) -> str:
        """Short name, for tables of weights."""

    def usable(self, pair: Pair) -> bool:
        """Whether the pair has what this member reads."""

    def fit(self, pair: Pair) -> Scorer:
        """Fit on a pair; the same result whenever `pair` is the same."""
