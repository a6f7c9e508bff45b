"""Sparse count matrices: carried between peak sets, thinned, weighted; never densified."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

if TYPE_CHECKING:
    from numpy.typing import NDArray


def widened(values: NDArray[Any]) -> NDArray[Any]:
    """The same numbers in a dtype that sparse matrices can have.

    Half floats become float32; bytes come in the order of the machine.
    """
    kind = np.dtype(np.float32) if values.dtype == np.float16 else values.dtype.newbyteorder("=")
    return values.astype(kind, copy=False)


def must_widen(kind: np.dtype[Any]) -> bool:
    """Whether `widened` changes numbers of a dtype."""
    return kind == np.float16 or not kind.isnative


def carry(
    counts: sp.csr_matrix, peak_rows: NDArray[np.int64], rows: NDArray[np.int64]
) -> sp.csr_matrix:
    """Counts of peaks summed into registry rows.

    Parameters
    ----------
    counts : csr_matrix, shape (n_cells, n_peaks)
    peak_rows : int64, shape (n_peaks,)
        Row of each peak, -1 if none.
    rows : int64, shape (n_rows,)
        Sorted rows wanted; other rows are left out.

    Returns
    -------
    csr_matrix of float32, shape (n_cells, n_rows)
    """
    peaks = np.flatnonzero(np.isin(peak_rows, rows) & (peak_rows >= 0))
    columns = np.searchsorted(rows, peak_rows[peaks])
    shape = (len(peak_rows), len(rows))
    move = sp.csr_matrix((np.ones(len(peaks), np.float32), (peaks, columns)), shape=shape)
    return sp.csr_matrix(counts @ move, dtype=np.float32)


def thin(
    counts: sp.csr_matrix, keep: NDArray[np.float64], rng: np.random.Generator
) -> sp.csr_matrix:
    """Counts as a shallower experiment would have seen them: every read is kept by chance.

    Parameters
    ----------
    counts : csr_matrix of float32, shape (n_cells, n_peaks)
    keep : float64, shape (n_cells,)
        Probability of keeping a read, for each cell.
    rng : Generator
    """
    return kept_reads(counts, np.repeat(keep, np.diff(counts.indptr)), rng)


def kept_reads(
    counts: sp.csr_matrix, chance: NDArray[np.float64], rng: np.random.Generator
) -> sp.csr_matrix:
    """Counts of which each read of each entry stays with the entry's probability."""
    data = rng.binomial(counts.data.astype(np.int64), chance).astype(np.float32)
    kept = sp.csr_matrix((data, counts.indices, counts.indptr), shape=counts.shape, copy=True)
    kept.eliminate_zeros()
    return kept


def inverse_document_frequency(
    counts: sp.csr_matrix, could: NDArray[np.int64] | None = None
) -> NDArray[np.float32]:
    """``log(1 + cells / (1 + cells in which a column is open))``, shape (n_columns,).

    Parameters
    ----------
    counts : csr_matrix, shape (n_cells, n_columns)
    could : int64, shape (n_columns,), optional
        Cells whose experiment could show a column; all if not given.
    """
    open_in = np.bincount(counts.indices, minlength=counts.shape[1])
    n_cells = counts.shape[0] if could is None else could
    return np.asarray(np.log1p(n_cells / (1 + open_in)), np.float32)


def binary(counts: sp.csr_matrix) -> sp.csr_matrix:
    """1 wherever there is a count."""
    ones = np.ones_like(counts.data, np.float32)
    return sp.csr_matrix((ones, counts.indices, counts.indptr), shape=counts.shape)


def scaled(
    matrix: sp.csr_matrix,
    *,
    rows: NDArray[np.floating] | None = None,
    columns: NDArray[np.floating] | None = None,
) -> sp.csr_matrix:
    """Values times a factor of their row and one of their column, in float32.

    The same as products with diagonal matrices, without going through the pattern.
    """
    data = matrix.data.astype(np.float32)
    if columns is not None:
        data *= columns.astype(np.float32)[matrix.indices]
    if rows is not None:
        data *= np.repeat(rows.astype(np.float32), np.diff(matrix.indptr))
    return sp.csr_matrix((data, matrix.indices, matrix.indptr), shape=matrix.shape)


def unit_sums(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """Rows that sum to 1; empty rows stay empty."""
    return scaled(matrix, rows=_inverse(matrix.sum(axis=1)))


def unit_rows(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """Rows of Euclidean length 1; empty rows stay empty."""
    squares = sp.csr_matrix((matrix.data**2, matrix.indices, matrix.indptr), shape=matrix.shape)
    return scaled(matrix, rows=_inverse(np.sqrt(squares.sum(axis=1))))


def _inverse(sums: NDArray[Any]) -> NDArray[np.float64]:
    """1 / sum, 0 where that is not above 0."""
    flat = np.asarray(sums, np.float64).ravel()
    return np.where(flat > 0, 1 / np.where(flat > 0, flat, 1), 0)
