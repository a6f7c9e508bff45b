"""A cell × peak matrix that has been checked, and its labels."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata as ad
import h5py  # type: ignore[import-untyped]
import numpy as np
import scipy.sparse as sp
import zarr
from anndata.abc import CSCDataset, CSRDataset

from peakatlas.engine.errors import CountsError, LabelsError
from peakatlas.engine.summary import Summary, listed

from .anndata_groups import (
    ATAC_NAMES,
    check_sparse_parts,
    columns_of_whole,
    peak_modality,
    refuse_modality,
    sparse_blocks,
    whole,
)
from .features import peak_rows, peaks_of
from .files import read_matrix_file
from .labels import texts_of
from .rows import CountRows, checked_matrix

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from peakatlas.engine.intervals.table import Intervals

SHOWN = 5
UNKNOWN_NAMES = frozenset({"", "nan", "NaN", "None", "NA", "<NA>"})


@dataclass(frozen=True, eq=False, repr=False)
class CellCounts(Summary):
    """Counts of cells over peaks, sparse throughout.

    Parameters
    ----------
    rows : CountRows, shape (n_cells, n_peaks)
    peaks : Intervals, length n_peaks
    obs : DataFrame, length n_cells
        Annotation of the cells, as read.
    adata : AnnData
        The object that the counts came from, its peaks alone. Not modified.
    source : str
        Name of the file, for error texts.
    path : str or Path, optional
        The file, if they came from one.
    modality : str, optional
        Of the MuData that holds `adata`, if one does and it was in memory or named.
    """

    rows: CountRows
    peaks: Intervals
    obs: pd.DataFrame
    adata: ad.AnnData
    source: str
    path: str | Path | None = None
    modality: str | None = None

    def _summary(self) -> tuple[str, dict[str, object]]:
        facts = {
            "cells": self.n_cells,
            "peaks": self.n_peaks,
            "obs": listed(list(map(str, self.obs.columns))),
        }
        return f"Counts of {self.source}", facts

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return self.rows.shape[0]

    @property
    def n_peaks(self) -> int:
        """Number of peaks."""
        return self.rows.shape[1]

    @cached_property
    def matrix(self) -> sp.csr_matrix:
        """All counts, csr_matrix of float32 with whole numbers ≥ 0 and no explicit zeros."""
        return self.rows.read()

    @property
    def depth(self) -> NDArray[np.float32]:
        """Counts a cell, shape (n_cells,)."""
        return np.asarray(self.matrix.sum(axis=1), np.float32).ravel()


def read_counts(
    data: str | Path | ad.AnnData | CellCounts,
    *,
    layer: str | None = None,
    use_raw: bool = False,
    mod: str | None = None,
) -> CellCounts:
    """Read and check a cell × peak matrix.

    Peaks come from the columns chrom/start/end of `var` (or chr, seqnames, …), else from
    names such as ``chr1:100-600``; features that ``var["feature_types"]`` calls otherwise are
    left out. Files are recognised by content, not by name.

    Parameters
    ----------
    data : path, AnnData, MuData, or CellCounts
        An h5ad, an h5mu (modality ``atac`` or ``peaks``), AnnData-Zarr (folder or zip), a 10x
        ``.h5`` matrix or a 10x folder with ``matrix.mtx``. `X` holds whole counts. Not modified.
        Counts that were read before stay as they are.
    layer : str, optional
        Read the counts from this layer, not from `X`.
    use_raw : bool
        Read counts and peaks from `raw`.
    mod : str, optional
        Modality of a MuData (h5mu) with the peaks; if not given, the one that is called like
        ``atac`` or ``peaks``.

    Raises
    ------
    CountsError
        If the file cannot be read or is empty, a count is NaN, infinite, negative or
        fractional, or a peak or cell occurs twice; if there is no such layer, or no `raw`.
    IntervalError
        If a peak has no usable coordinates.

    Examples
    --------
    >>> read_counts("reference.h5ad")
    Counts of reference.h5ad
        cells  72
        peaks  ...
        obs    cell_type, donor
    """
    if isinstance(data, CellCounts):
        return data
    whole_data, source, mod = _open(data, mod)
    adata, values, place = _chosen(whole_data, source, layer, use_raw)
    if adata.n_obs == 0 or adata.n_vars == 0:
        raise CountsError(
            f"{source}: the matrix is empty ({adata.n_obs} cells × {adata.n_vars} peaks). "
            "Give a file with at least one cell and one peak."
        )
    if values is None:
        other = _elsewhere(adata)
        other = f"; there are whole numbers{other}" if other else ""
        raise CountsError(f"{source}: X is empty. Put the counts into X{other}.")
    rows = _rows(values, source, place, adata)
    _refuse_duplicate_cells(adata, source)
    peaks = peaks_of(adata.var, source)
    _refuse_duplicate_peaks(peaks, source)
    path = data if isinstance(data, str | Path) else None
    obs = adata.obs if not is_mudata(data) else columns_of_whole(data, str(mod))
    return CellCounts(rows, peaks, obs, adata, source, path, mod)


def is_mudata(data: object) -> bool:
    """Whether an object holds modalities as a MuData does, which need not be installed."""
    return hasattr(data, "mod") and hasattr(data, "obs") and not isinstance(data, ad.AnnData)


def column_of(counts: CellCounts, name: str, option: str) -> NDArray[np.str_]:
    """A column of `obs` as strings; whole numbers are written as such, whatever their type.

    Parameters
    ----------
    counts : CellCounts
    name : str
    option : str
        That named the column, for the error.

    Returns
    -------
    str, shape (n_cells,)

    Raises
    ------
    LabelsError
        If there is no such column or several, or a cell has no value in it.
    """
    modality, _, own = name.partition(":")
    if name not in counts.obs and modality.lower() in ATAC_NAMES and own in counts.obs:
        name = own  # MuData calls it so
    if name not in counts.obs:
        there = [str(column) for column in counts.obs.columns]
        plain = {_plain(column): column for column in there}
        near = get_close_matches(_plain(name), plain, n=1, cutoff=0.75)
        like = f" ({plain[near[0]]!r} is like it)" if near else ""
        raise LabelsError(
            f"{counts.source}: obs has no column {name!r}; columns there are: "
            f"{', '.join(there) or 'none'}{like}. Name one of them with {option}."
        )
    column = counts.obs[name]
    if column.ndim > 1:
        raise LabelsError(
            f"{counts.source}: {column.shape[1]} columns of obs are called {name!r}. Keep one."
        )
    values = texts_of(column)
    absent = np.asarray(column.isna()) | np.isin(np.char.strip(values), list(UNKNOWN_NAMES))
    if absent.any():
        cells = ", ".join(map(str, column.index[absent][:SHOWN]))
        what = "label" if option == "--labels" else "value"
        raise LabelsError(
            f"{counts.source}: obs[{name!r}]: {int(absent.sum())} cell(s) have no {what}: {cells}. "
            "Remove these cells, or label them."
        )
    return values


def _plain(name: str) -> str:
    return name.lower().replace(" ", "_").replace(".", "_")


def _chosen(
    adata: ad.AnnData, source: str, layer: str | None, use_raw: bool
) -> tuple[ad.AnnData, Any, str]:
    """The peaks of an object, the matrix with their counts, and what to call it."""
    if layer is not None and use_raw:
        raise CountsError(f"{source}: counts are either in a layer or in raw. Name one of them.")
    if layer is not None and layer not in adata.layers:
        there = ", ".join(map(str, adata.layers)) or "none"
        raise CountsError(f"{source}: there is no layer {layer!r}; layers there are: {there}.")
    if use_raw:
        if adata.raw is None:
            raise CountsError(f"{source}: there is no raw. Leave --use-raw (use_raw=True) out.")
        adata = _of_raw(adata)
    peaks = peak_rows(adata.var, source)
    if peaks is not None:
        _check_in_memory(adata, source)
        stored = adata.isbacked or isinstance(adata.X, CSRDataset)
        adata = adata.to_memory()[:, peaks].copy() if stored else adata[:, peaks].copy()
    if layer is not None:
        return adata, adata.layers[layer], f"layers[{layer!r}]"
    return adata, adata.X, "raw.X" if use_raw else "X"


def _of_raw(adata: ad.AnnData) -> ad.AnnData:
    """The cells with the matrix and the features of `raw`."""
    kept = adata.raw
    values = kept.X
    if isinstance(values, h5py.Dataset | zarr.Array):
        values = sparse_blocks(values)
    elif isinstance(values, CSRDataset | CSCDataset):
        values = values.to_memory()
    uns = dict(adata.uns)
    return ad.AnnData(values, obs=adata.obs, var=kept.var, obsm=dict(adata.obsm), uns=uns)


def _check_in_memory(adata: ad.AnnData, source: str) -> None:
    """Check the matrix before rows or columns are taken from it."""
    if not adata.isbacked:
        check_sparse_parts(adata, source)


def _rows(values: Any, source: str, place: str, adata: ad.AnnData) -> CountRows:  # noqa: ANN401 - of numpy, scipy or anndata
    if isinstance(values, CSRDataset):
        return CountRows(values, source)
    if isinstance(values, CSCDataset):
        values = values.to_memory()
    elif isinstance(values, h5py.Dataset | zarr.Array):
        values = sparse_blocks(values)
    elif hasattr(values, "compute"):  # dask
        values = values.compute()
    try:
        return CountRows(checked_matrix(values, source, place=place), source)
    except CountsError as error:
        other = _elsewhere(adata, but=place)
        if not other:
            raise
        raise CountsError(f"{error} There are whole numbers{other}.") from error


def _elsewhere(adata: ad.AnnData, but: str = "X") -> str:
    """Where else an object seems to hold counts, in words."""
    found = [
        f"in layers[{name!r}] (--layer {name})"
        for name, values in adata.layers.items()
        if but != f"layers[{name!r}]" and whole(values)
    ]
    if adata.raw is not None and but != "raw.X" and whole(adata.raw.X):
        found.append("in raw.X (--use-raw)")
    return f" {', '.join(found)}" if found else ""


def _open(
    data: str | Path | ad.AnnData,
    mod: str | None,
) -> tuple[ad.AnnData, str, str | None]:
    """The peaks' object, what to call it, and its modality."""
    if is_mudata(data):
        found: Any = data
        mod = peak_modality(list(map(str, found.mod)), "MuData", mod)
        return found.mod[mod], "MuData", mod
    if isinstance(data, ad.AnnData):
        refuse_modality(mod, "AnnData")
        return data, "AnnData", None
    return read_matrix_file(data, mod), Path(data).name, mod


def _refuse_duplicate_cells(adata: ad.AnnData, source: str) -> None:
    repeated = adata.obs_names.duplicated()
    if repeated.any():
        shown = ", ".join(map(str, adata.obs_names[repeated][:SHOWN]))
        raise CountsError(
            f"{source}: {int(repeated.sum())} cell name(s) occur more than once: {shown}. "
            "Make them different, as by the name of the sample (AnnData.obs_names_make_unique())."
        )


def _refuse_duplicate_peaks(peaks: Intervals, source: str) -> None:
    repeated = np.flatnonzero(peaks.duplicated())
    if len(repeated):
        shown = ", ".join(peaks.take(repeated[:SHOWN]).names())
        raise CountsError(
            f"{source}: {len(repeated)} peak(s) occur more than once: {shown}. "
            "Sum their counts into one column."
        )
