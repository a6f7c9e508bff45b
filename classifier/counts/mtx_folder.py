"""Folders with matrix.mtx, barcodes.tsv and peaks.bed or features.tsv, as 10x writes them."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy.io import mmread

from peakatlas.engine.dna.gzip_stream import is_gzip, read_maybe_gzip
from peakatlas.engine.errors import CountsError, IntervalError
from peakatlas.engine.intervals.readers import read_bed

if TYPE_CHECKING:
    from numpy.typing import NDArray

PEAKS_TYPE = "Peaks"
"""What 10x calls a feature that is a peak."""


def is_mtx_folder(folder: Path) -> bool:
    """Whether a folder holds ``matrix.mtx``, plain or gzip."""
    return _found(folder, "matrix.mtx") is not None


def read_mtx_folder(folder: Path) -> ad.AnnData:
    """Read a folder of Cell Ranger ATAC or ARC; of several kinds of features, the peaks.

    Raises
    ------
    CountsError
        If a file is absent or damaged, sizes differ, or no feature is a peak.
    """
    cells = pd.Index(_column(_need(folder, "barcodes.tsv"), 0), dtype=object)
    var, kinds = _features(folder)
    file = _need(folder, "matrix.mtx")
    matrix = _matrix(file)
    if matrix.shape != (len(var), len(cells)):
        raise CountsError(
            f"{file}: has {matrix.shape[0]:,} rows and {matrix.shape[1]:,} columns, but there are "
            f"{len(var):,} features and {len(cells):,} barcodes. The files do not belong together."
        )
    return peaks_only(sp.csr_matrix(matrix.T), cells, var, kinds, folder.name)


def peaks_only(
    matrix: sp.csr_matrix,
    cells: pd.Index,
    var: pd.DataFrame,
    kinds: NDArray[np.object_] | None,
    source: str,
) -> ad.AnnData:
    """AnnData of those features that are peaks.

    Parameters
    ----------
    matrix : csr_matrix, shape (n_cells, n_features)
    cells : Index, length n_cells
    var : DataFrame, length n_features
        Its index names the features.
    kinds : str, shape (n_features,), optional
        Type of each feature; without it, all are peaks.
    source : str
        Name of the file, for an error.

    Raises
    ------
    CountsError
        If no feature is a peak.
    """
    obs = pd.DataFrame(index=cells)
    if kinds is None:
        return ad.AnnData(matrix, obs=obs, var=var)
    rows = np.flatnonzero(np.asarray(kinds) == PEAKS_TYPE)
    if not len(rows):
        there = ", ".join(sorted(set(map(str, kinds)))) or "none"
        raise CountsError(
            f"{source}: no feature has the type {PEAKS_TYPE!r}; types there are: {there}. "
            "Give the matrix of an ATAC or multiome run."
        )
    return ad.AnnData(matrix[:, rows], obs=obs, var=var.iloc[rows].copy())


def _features(folder: Path) -> tuple[pd.DataFrame, NDArray[np.object_] | None]:
    """Names of the features, and the type of each if the folder says."""
    bed = _found(folder, "peaks.bed")
    if bed is not None:
        try:
            peaks = read_bed(bed)
        except IntervalError as error:
            raise CountsError(f"{folder}: {error}") from error
        return peaks.to_frame().set_index(pd.Index(peaks.names(), dtype=object)), None
    file = _need(folder, "features.tsv", "peaks.bed")
    names, kinds = _column(file, 0), _column(file, 2)
    var = pd.DataFrame(index=pd.Index(names, dtype=object))
    return var, np.asarray(kinds, dtype=object) if all(kinds) and len(kinds) else None


def _matrix(file: Path) -> sp.coo_matrix:
    try:
        with _text(file) as text:
            found = mmread(text, spmatrix=True)
    except (EOFError, OSError, zlib.error, ValueError) as fault:
        raise CountsError(
            f"{file}: not a whole Matrix Market file ({fault}). Fetch it again."
        ) from fault
    if not sp.issparse(found):
        raise CountsError(f"{file}: a dense matrix. Write it in the coordinate format.")
    return sp.coo_matrix(found)


def _text(file: Path) -> IO[bytes]:
    return gzip.open(file, "rb") if is_gzip(file) else file.open("rb")  # type: ignore[return-value]


def _column(file: Path, column: int) -> list[str]:
    """One column of a table; the empty text where a line is too short."""
    try:
        text = read_maybe_gzip(file).decode("utf-8-sig")
    except (EOFError, OSError, zlib.error, UnicodeDecodeError) as fault:
        raise CountsError(f"{file}: no readable text ({fault}). Fetch it again.") from fault
    fields = [line.split("\t") for line in text.splitlines() if line]
    return [line[column].strip() if column < len(line) else "" for line in fields]


def _found(folder: Path, name: str) -> Path | None:
    """A file of a folder, called so with or without .gz."""
    paths = (folder / name, folder / f"{name}.gz")
    return next((path for path in paths if path.is_file()), None)


def _need(folder: Path, *names: str) -> Path:
    for name in names:
        found = _found(folder, name)
        if found is not None:
            return found
    raise CountsError(
        f"{folder}: has no {' or '.join(names)} (nor .gz of it). A 10x folder holds matrix.mtx, "
        "barcodes.tsv and peaks.bed or features.tsv."
    )
