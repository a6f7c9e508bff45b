"""Rows of a count matrix, in memory or in a file: checked, and read in blocks of cells."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from peakatlas.engine.errors import CountsError

from .anndata_groups import check_sparse
from .sparse import widened

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

MOST_CELLS = 20_000
"""Cells of a block, at most."""
MOST_COUNTS = 32_000_000
"""Nonzero counts of a block, at most, unless a single cell has more."""
MOST = 1 << 24
"""Largest count that float32 holds exactly."""
SHOWN = 5


@dataclass(frozen=True, eq=False)
class CountRows:
    """Counts of cells over peaks; what is in a file stays there and is read when asked for.

    Parameters
    ----------
    values : csr_matrix of float32, or CSRDataset of anndata, shape (n_cells, n_peaks)
        A matrix in memory has been checked; a block of a file is checked when it is read.
    source : str
        Name of the file, for error texts.
    """

    values: Any
    source: str = "counts"

    @property
    def stored(self) -> bool:
        """Whether the counts are in a file."""
        return not sp.issparse(self.values)

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of cells and peaks."""
        n_cells, n_peaks = self.values.shape
        return int(n_cells), int(n_peaks)

    @cached_property
    def ends(self) -> NDArray[np.int64]:
        """How many counts are stored before each cell and after the last, shape (n_cells + 1,)."""
        if not self.stored:
            return np.asarray(self.values.indptr, np.int64)
        ends = np.asarray(self.values.group["indptr"][:], np.int64)
        room = len(self.values.group["indices"])
        if (
            len(ends) != self.shape[0] + 1
            or ends[0]
            or (np.diff(ends) < 0).any()
            or ends[-1] > room
        ):
            raise CountsError(
                f"{self.source}: X: not a whole sparse matrix (its indptr does not fit). It is "
                "damaged: fetch or write it again."
            )
        return ends

    def read(self, start: int = 0, stop: int | None = None) -> sp.csr_matrix:
        """Some of the rows, all by default.

        Raises
        ------
        CountsError
            If one of them has a count that is NaN, infinite, negative or fractional.
        """
        stop = self.shape[0] if stop is None else stop
        if self.stored:
            _ = self.ends  # checks them
            return checked_matrix(self.values[start:stop], self.source, first_cell=start)
        if (start, stop) == (0, self.shape[0]):
            return sp.csr_matrix(self.values)
        return sp.csr_matrix(self.values[start:stop])

    def blocks(self) -> Iterator[tuple[int, sp.csr_matrix]]:
        """First row and rows of each block, in order."""
        start, n_cells = 0, self.shape[0]
        while start < n_cells:
            full = np.searchsorted(self.ends, self.ends[start] + MOST_COUNTS, side="right") - 1
            stop = min(start + MOST_CELLS, max(int(full), start + 1), n_cells)
            yield start, self.read(start, stop)
            start = stop


def checked_matrix(
    values: sp.csr_matrix | NDArray[np.float32],
    source: str,
    *,
    place: str = "X",
    first_cell: int = 0,
) -> sp.csr_matrix:
    """Counts as float32 CSR.

    Parameters
    ----------
    values : matrix of any kind, shape (n_cells, n_peaks)
    source : str
        Name of the file, for error texts.
    place : str
        Where it stands in the file, for error texts.
    first_cell : int
        Number of the first row in the file, for error texts.

    Raises
    ------
    CountsError
        If a value is NaN, infinite, negative, not a whole number or above 16,777,216, or an
        index lies outside of the matrix.
    """
    check_sparse(values, f"{source}: {place}")
    if values.dtype.kind not in "biuf":
        raise CountsError(
            f"{source}: {place} holds {values.dtype}, not numbers. Put counts into {place}."
        )
    matrix = sp.csr_matrix(widened(values) if isinstance(values, np.ndarray) else values)
    data = matrix.data
    for bad, word, remedy in (
        (np.isnan(data), "NaN", "Replace them by 0, or give the raw counts."),
        (np.isinf(data), "infinite", "Give the raw counts."),
        (data < 0, "negative", "Give raw counts, not scaled values."),
        (
            data != np.rint(data),
            "fractional",
            "Give raw counts (often in layers['counts'] or raw.X: --layer counts or --use-raw), "
            "not TF-IDF or normalised values.",
        ),
        (data > MOST, "too large", "Give raw counts."),
    ):
        if bad.any():
            shown = _shown(matrix, bad, first_cell)
            raise CountsError(
                f"{source}: {int(bad.sum())} {word} count(s) in {place}: {shown}. {remedy}"
            )
    counts = sp.csr_matrix(matrix, dtype=np.float32, copy=True)
    counts.sum_duplicates()
    counts.eliminate_zeros()
    return counts


def _shown(matrix: sp.csr_matrix, bad: NDArray[np.bool_], first_cell: int) -> str:
    places = np.flatnonzero(bad)[:SHOWN]
    rows = np.searchsorted(matrix.indptr, places, side="right") - 1
    return ", ".join(
        f"cell {first_cell + r} peak {matrix.indices[p]} ({matrix.data[p]:g})"
        for r, p in zip(rows, places, strict=True)
    )
