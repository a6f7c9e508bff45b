"""HDF5 files with counts: opened with care, since they may be a stranger's."""

from __future__ import annotations

import gzip
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata as ad
import h5py  # type: ignore[import-untyped]
import hdf5plugin  # noqa: F401 - filters that SnapATAC2 writes with
import pandas as pd
import scipy.sparse as sp
from anndata.abc import CSRDataset

from peakatlas.engine.errors import CountsError
from peakatlas.engine.gzip_stream import is_gzip

from .anndata_groups import KNOWN, check_sparse, check_sparse_parts, read_group, refuse_modality
from .hdf5_checks import check_hdf5
from .sparse import widened

if TYPE_CHECKING:
    from collections.abc import Iterator

SIGNATURE = b"\x89HDF\r\n\x1a\n"
_FOREIGN = {
    "row_attrs": "a Loom file. Read it with anndata.read_loom",
    "active.ident": "an h5Seurat file. Convert it with SeuratDisk::Convert(dest = 'h5ad')",
    "assays": "an h5Seurat file. Convert it with SeuratDisk::Convert(dest = 'h5ad')",
    "Fragments": "an ArchR Arrow file. Export its peak matrix",
    "FM": "a snap file of SnapATAC. Export its peak matrix",
}
MOST_IN_MEMORY = 100_000_000
"""Counts of an h5ad, from which on they stay in the file and are read in blocks."""
_LATER = ", write it as h5ad and give that."


def begins_hdf5(head: bytes) -> bool:
    """Whether the first bytes of a file are those of HDF5, a user block before it or not.

    Parameters
    ----------
    head : bytes
        The signature stands at 0, 512, 1024, 2048, …, as far as there are bytes.
    """
    places = [0, *(512 << n for n in range(16))]
    return any(head[place : place + len(SIGNATURE)] == SIGNATURE for place in places)


def read_hdf5(path: Path, mod: str | None = None) -> ad.AnnData:
    """Read an h5ad, an h5mu or a 10x matrix, plain or gzip.

    Parameters
    ----------
    path : Path
    mod : str, optional
        Modality of an h5mu with the peaks.

    Raises
    ------
    CountsError
        If it is locked, of another kind, damaged, links to other files, or declares arrays that
        its bytes cannot hold.
    """
    with _plain_file(path) as place:
        file = _opened(place, path.name)
        try:
            most = None if place != path else MOST_IN_MEMORY
            adata = _read_open(file, path.name, most=most, mod=mod)
            dense = isinstance(file.get("X"), h5py.Dataset)
        except BaseException:
            file.close()
            raise
        if adata is not None and isinstance(adata.X, CSRDataset):
            return adata  # its counts are read later
        file.close()
        return _read_old(place, path.name, dense) if adata is None else adata


def _read_open(file: h5py.File, name: str, most: int | None, mod: str | None) -> ad.AnnData | None:
    """What an open file holds; None for an old h5ad, which does not say how it is encoded."""
    check_hdf5(file, name, CountsError)
    _check_once(file, name)
    if isinstance(file.get("matrix"), h5py.Group) and "barcodes" in file["matrix"]:
        refuse_modality(mod, name)
        return _read_10x(file["matrix"], name)
    _check_kind(file, name)
    if "encoding-type" in file.attrs or "mod" in file:
        return read_group(file, name, most=most, mod=mod)
    refuse_modality(mod, name)
    return None


@contextmanager
def _plain_file(path: Path) -> Iterator[Path]:
    """The file itself, or a temporary one with what its gzip data hold."""
    if not is_gzip(path):
        yield path
        return
    with tempfile.NamedTemporaryFile(prefix="peakatlas-", suffix=".h5") as unpacked:
        with gzip.open(path, "rb") as text:
            shutil.copyfileobj(text, unpacked, 1 << 22)
        unpacked.flush()
        yield Path(unpacked.name)


def _opened(place: Path, name: str) -> h5py.File:
    try:
        return h5py.File(place, "r", locking="best-effort")
    except OSError as error:
        if "unable to lock file" in str(error):
            raise CountsError(
                f"{name} is locked: another program has it open for writing. Close it there, then "
                "run this again."
            ) from error
        if "already open for write" in str(error):
            raise CountsError(
                f"{name} was not closed by the program that wrote it. Wait until that is done; if "
                "it died, run h5clear -s on the file, or write it again."
            ) from error
        raise


def _check_kind(file: h5py.File, name: str) -> None:
    if "X" in file or "mod" in file or ("obs" in file and "var" in file):
        return
    for telltale, what in _FOREIGN.items():
        if telltale in file:
            raise CountsError(f"{name}: {what}{_LATER}")
    there = ", ".join(list(file)[:5]) or "nothing"
    raise CountsError(f"{name}: an HDF5 file, but no count matrix: it holds {there}. Give {KNOWN}.")


def _check_once(file: h5py.File, name: str) -> None:
    """Refuse groups that are linked twice: read as a tree, they would have no end."""
    seen = {_address(file)}
    waiting: list[h5py.Group] = [file]
    while waiting:
        for item in waiting.pop().values():
            if not isinstance(item, h5py.Group):
                continue
            if _address(item) in seen:
                raise CountsError(
                    f"{name}: {item.name} is linked more than once. Write the file again, without "
                    "links."
                )
            seen.add(_address(item))
            waiting.append(item)


def _address(group: h5py.Group) -> int:
    return int(h5py.h5o.get_info(group.id).addr)


def _read_old(place: Path, name: str, dense: bool) -> ad.AnnData:
    """An h5ad that does not say what it is: of anndata before 0.8, or of SnapATAC2."""
    adata = ad.read_h5ad(place, as_sparse=("X",) if dense else ())
    check_sparse_parts(adata, name)
    return adata


def _read_10x(group: h5py.Group, source: str) -> ad.AnnData:
    """Matrix of Cell Ranger 3 or later: compressed columns, one a cell."""
    features = group["features"]
    names = features["id"].asstr()[:]
    cells = pd.Index(group["barcodes"].asstr()[:])
    arrays = tuple(widened(group[part][:]) for part in ("data", "indices", "indptr"))
    matrix = sp.csr_matrix(arrays, shape=(len(cells), len(names)))
    check_sparse(matrix, f"{source}: matrix")
    if "shape" in group and group["shape"][:].tolist() != [len(names), len(cells)]:
        raise CountsError(
            f"{source}: the matrix says that it is {group['shape'][:].tolist()}, but there are "
            f"{len(names):,} features and {len(cells):,} barcodes. Fetch or write it again."
        )
    columns = {"feature_type": "feature_types", "interval": "interval"}
    var = {
        new: features[old].asstr()[:]
        for old, new in columns.items()
        if isinstance(features.get(old), h5py.Dataset) and features[old].shape == (len(names),)
    }
    return ad.AnnData(matrix, obs=pd.DataFrame(index=cells), var=_frame(var, names))


def _frame(columns: dict[str, Any], names: Any) -> pd.DataFrame:  # noqa: ANN401 - arrays
    return pd.DataFrame(columns, index=pd.Index(names))
