"""AnnData and MuData from groups of HDF5 files and Zarr stores, every sparse matrix checked."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import scipy.sparse as sp
import zarr
from anndata.experimental import read_dispatched

from peakatlas.engine.errors import CountsError

from .sparse import must_widen, widened

if TYPE_CHECKING:
    import pandas as pd

ATAC_NAMES = ("atac", "peaks")
"""Modalities of an h5mu that hold peaks, in any case."""
KNOWN = (
    "h5ad, h5mu, AnnData-Zarr (folder or zip), a 10x .h5 matrix, or a 10x folder with matrix.mtx, "
    "barcodes.tsv and peaks.bed or features.tsv"
)
_BLOCK_VALUES = 1 << 24
_SPARSE = {"csr_matrix": sp.csr_matrix, "csc_matrix": sp.csc_matrix}


def read_group(
    group: Any,  # noqa: ANN401 - of h5py or zarr
    source: str,
    *,
    most: int | None = None,
    mod: str | None = None,
) -> ad.AnnData:
    """AnnData from a group; of a MuData, the modality with the peaks.

    Labels of the whole, and columns of the other modalities as ``rna:column``, are added to `obs`.

    Parameters
    ----------
    group : h5py.Group or zarr.Group
    source : str
        Name of the file, for error texts.
    most : int, optional
        Counts that are read; more than these stay in the file, as a `CSRDataset`.
    mod : str, optional
        Modality of a MuData with the peaks; found by its name if not given.

    Raises
    ------
    CountsError
        If it is no AnnData, no modality or several have peaks, or a sparse matrix is damaged.
    """
    if "mod" not in group:
        refuse_modality(mod, source)
        if "obs" not in group or "var" not in group:
            there = ", ".join(list(group)[:5]) or "nothing"
            raise CountsError(f"{source}: no AnnData: it holds {there}. Give {KNOWN}.")
        return _sparse_anndata(group, source, most)
    names = [str(name) for name in group["mod"]]
    mine = peak_modality(names, source, mod)
    adata = _sparse_anndata(group["mod"][mine], source)
    return _with_columns(adata, group, mine, names)


def check_sparse(matrix: Any, where: str) -> None:  # noqa: ANN401 - of scipy
    """Refuse a sparse matrix whose indices lie outside of it: reading it would crash.

    Parameters
    ----------
    matrix : sparse matrix or array of scipy
    where : str
        The file and the place in it.

    Raises
    ------
    CountsError
    """
    if not hasattr(matrix, "check_format"):
        return
    try:
        if matrix.indices.dtype.kind not in "iu" or matrix.indptr.dtype.kind not in "iu":
            raise ValueError("its indices are not whole numbers")
        if (np.diff(matrix.indptr.astype(np.int64)) < 0).any():  # SciPy misses it if unsigned
            raise ValueError("its indptr goes down")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of unsigned indices
            matrix.check_format(full_check=True)
    except (ValueError, IndexError) as fault:
        raise CountsError(
            f"{where}: not a whole sparse matrix ({fault}). It is damaged: fetch or write it again."
        ) from fault


def check_sparse_parts(adata: ad.AnnData, source: str) -> None:
    """`check_sparse` of all that an AnnData in memory holds.

    Raises
    ------
    CountsError
    """
    parts: dict[str, Any] = {"X": adata.X}
    if adata.raw is not None:
        parts["raw.X"] = adata.raw.X
    for name in ("layers", "obsm", "varm", "obsp", "varp"):
        parts |= {f"{name}[{key!r}]": value for key, value in getattr(adata, name).items()}
    for place, value in parts.items():
        if sp.issparse(value):
            check_sparse(value, f"{source}: {place}")


def sparse_blocks(dense: Any) -> sp.csr_matrix:  # noqa: ANN401 - a dataset of h5py or zarr
    """A dense matrix of a file as CSR, a block of rows in memory at a time."""
    n_rows, n_columns = dense.shape
    step = max(1, _BLOCK_VALUES // max(n_columns, 1))
    blocks = [sp.csr_matrix(widened(dense[i : i + step])) for i in range(0, n_rows, step)]
    return sp.vstack(blocks, format="csr") if blocks else sp.csr_matrix(dense.shape)


def refuse_modality(mod: str | None, source: str) -> None:
    """Refuse a modality by name where there are none.

    Raises
    ------
    CountsError
    """
    if mod is not None:
        raise CountsError(
            f"{source}: no MuData, so there is no modality {mod!r}. Leave --mod (mod=) out."
        )


def peak_modality(names: list[str], source: str, mod: str | None = None) -> str:
    """Name of the modality with the peaks.

    Parameters
    ----------
    names : list of str
        Modalities that there are.
    source : str
        Name of the file, for error texts.
    mod : str, optional
        The one that was asked for.

    Raises
    ------
    CountsError
        If it is not there, or none or several are called like peaks.
    """
    if mod is not None and mod in names:
        return mod
    if mod is not None:
        there = ", ".join(names) or "none"
        raise CountsError(f"{source}: no modality {mod!r}; there are: {there}. Name one of them.")
    exact = [name for name in names if name.lower() in ATAC_NAMES]
    like = [name for name in names if any(word in name.lower() for word in ("atac", "peak"))]
    found = exact or like or (names if len(names) == 1 else [])
    if len(found) != 1:
        there = ", ".join(names) or "none"
        raise CountsError(
            f"{source}: {len(found) or 'no'} modalities are called {' or '.join(ATAC_NAMES)}; "
            f"there are: {there}. Name the one with the peaks: --mod NAME (mod=)."
        )
    return found[0]


def _with_columns(adata: ad.AnnData, group: Any, mine: str, modalities: list[str]) -> ad.AnnData:  # noqa: ANN401
    """Add what a MuData says of its cells elsewhere, such as their labels."""
    if "obs" in group:
        shared = ad.io.read_elem(group["obs"])
        _add(adata, shared[[name for name in shared if not str(name).startswith(f"{mine}:")]])
    for name in modalities:
        if name != mine and "obs" in group["mod"][name]:
            _add(adata, ad.io.read_elem(group["mod"][name]["obs"]).add_prefix(f"{name}:"))
    return adata


def columns_of_whole(whole: Any, mine: str) -> pd.DataFrame:  # noqa: ANN401 - a MuData
    """`obs` of a modality of a MuData in memory, with what the rest says of its cells.

    Parameters
    ----------
    whole : MuData
        Not modified.
    mine : str
        The modality.
    """
    obs: pd.DataFrame = whole.mod[mine].obs
    shell = ad.AnnData(obs=obs.copy())
    shared = whole.obs
    _add(shell, shared[[name for name in shared if not str(name).startswith(f"{mine}:")]])
    for name in whole.mod:
        if name != mine:
            _add(shell, whole.mod[name].obs.add_prefix(f"{name}:"))
    joined: pd.DataFrame = shell.obs
    return joined


def _add(adata: ad.AnnData, columns: pd.DataFrame) -> None:
    """Add columns that are not there yet, by the names of the cells."""
    new = [name for name in columns if name not in adata.obs]
    if new and not columns.index.has_duplicates:
        adata.obs = adata.obs.join(columns[new])


def _sparse_anndata(group: Any, source: str, most: int | None = None) -> ad.AnnData:  # noqa: ANN401
    def read(func: Any, name: str, elem: Any, iospec: Any) -> Any:  # noqa: ANN401 - as anndata calls it
        place = name.strip("/").split("/")
        if place[-1] == "X" and len(place) in (1, 3) and iospec.encoding_type == "array":
            _warn_of_absent(elem, f"{source}: {name}", "counts are read as 0")
            return sparse_blocks(elem)
        kind = _SPARSE.get(iospec.encoding_type)
        if kind is not None:
            _check_stored(elem, f"{source}: {name}")
        if iospec.encoding_type == "categorical" and elem["categories"].shape[0] > 1:
            where = f"{source}: {name}"
            _warn_of_absent(elem["codes"], where, "cells are read as the first category")
        if kind is not None and must_widen(elem["data"].dtype):  # AnnData cannot read it
            arrays = tuple(widened(elem[part][:]) for part in ("data", "indices", "indptr"))
            half = kind(arrays, shape=tuple(elem.attrs["shape"]))
            check_sparse(half, f"{source}: {name}")
            return half
        if name.strip("/") == "X" and _stays(elem, iospec.encoding_type, most):
            return ad.io.sparse_dataset(elem)
        value = func(elem)
        if sp.issparse(value):
            check_sparse(value, f"{source}: {name}")
        return value

    adata = read_dispatched(group, read)
    if not isinstance(adata, ad.AnnData):
        raise CountsError(f"{source}: no AnnData. Give {KNOWN}.")
    return adata


def _check_stored(group: Any, where: str) -> None:  # noqa: ANN401 - of h5py or zarr
    """Refuse a sparse matrix of which chunks are absent: Zarr reads them as 0."""
    if not group["indices"].shape[0] or min(group.attrs["shape"]) < 2:
        return  # what is 0 throughout is not written
    for part in ("data", "indices", "indptr"):
        if absent := _absent_chunks(group[part]):
            raise CountsError(
                f"{where}/{part}: {absent:,} of {group[part].nchunks:,} chunks are not there, and "
                "would be read as 0. The copy is not whole: fetch or write it again."
            )


def _warn_of_absent(array: Any, where: str, meaning: str) -> None:  # noqa: ANN401 - of h5py or zarr
    """Warn of an array of which chunks are absent: what is 0 throughout is not written either."""
    if absent := _absent_chunks(array):
        warnings.warn(
            f"{where}: {absent:,} of {array.nchunks:,} chunks are not there; their {meaning}. If "
            "that is wrong, the copy is not whole: fetch it again.",
            stacklevel=2,
        )


def _absent_chunks(array: Any) -> int:  # noqa: ANN401 - of h5py or zarr
    """Chunks of a Zarr array that are not stored; 0 for others."""
    if not isinstance(array, zarr.Array):
        return 0
    return max(0, array.nchunks - array.nchunks_initialized)


def _stays(group: Any, encoding: str, most: int | None) -> bool:  # noqa: ANN401 - of h5py or zarr
    """Whether the matrix of a group is read in blocks later."""
    return most is not None and encoding == "csr_matrix" and len(group["indices"]) > most


def whole(values: Any, sample: int = 100_000) -> bool:  # noqa: ANN401 - a matrix of any kind
    """Whether the first values of a matrix are whole numbers of 0 or more."""
    first = getattr(values, "data", None) if sp.issparse(values) else values[:100]
    data = np.asarray(first).ravel()[:sample]
    return data.dtype.kind in "biuf" and bool(((data >= 0) & (data == np.rint(data))).all())
