"""Count matrices as people have them on disk, told by content, as AnnData with a sparse matrix.

h5ad, h5mu (its ATAC modality), AnnData or MuData as Zarr (folder or zip), the HDF5 matrices of
Cell Ranger and Cell Ranger ARC, and folders with ``matrix.mtx``; any HDF5 file, and any file of
such a folder, may be gzip.
"""

from __future__ import annotations

import gzip
import shutil
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import anndata as ad
import h5py  # type: ignore[import-untyped]
import pandas as pd
import scipy.sparse as sp
import zarr
from anndata.experimental import read_dispatched

from peakatlas.atlas.storage.zarr_checks import check_zarr
from peakatlas.engine.dna.gzip_stream import GZIP_MAGIC
from peakatlas.engine.errors import CountsError

from .hdf5_checks import check_hdf5
from .mtx_folder import is_mtx_folder, peaks_only, read_mtx_folder

if TYPE_CHECKING:
    from collections.abc import Callable

ATAC_NAMES = ("atac", "peaks")
"""Modalities of an h5mu that hold peaks, in any case."""
KNOWN = (
    "h5ad, h5mu, AnnData-Zarr (folder or zip), a 10x .h5 matrix, or a 10x folder with matrix.mtx, "
    "barcodes.tsv and peaks.bed or features.tsv"
)
_HDF5_MAGIC, _ZIP_MAGIC = b"\x89HDF\r\n\x1a\n", b"PK\x03\x04"
_BLOCK_VALUES = 1 << 24


def read_matrix_file(path: str | Path) -> ad.AnnData:
    """Read a cell × peak matrix from whatever file or folder holds it.

    A dense matrix is made sparse block by block.

    Parameters
    ----------
    path : str or Path

    Raises
    ------
    CountsError
        If there is no such file, it is of another kind or damaged, or has no peaks.
    """
    source = Path(path)
    if not source.exists():
        raise CountsError(f"{source}: no such file. Check the path.")
    reader = _reader_of(source)
    try:
        return reader(source)
    except CountsError:
        raise
    except Exception as error:  # h5py, zarr and anndata raise many kinds
        raise CountsError(
            f"{source}: cannot be read ({type(error).__name__}: {error}). "
            "It is damaged or incomplete: fetch or write it again."
        ) from error


def _reader_of(path: Path) -> Callable[[Path], ad.AnnData]:
    """What reads a path, told by its content."""
    if path.is_dir():
        if is_mtx_folder(path):
            return read_mtx_folder
        if any((path / name).exists() for name in ("zarr.json", ".zgroup", ".zmetadata")):
            return _read_zarr
        there = ", ".join(sorted(entry.name for entry in path.iterdir())[:5]) or "nothing"
        raise CountsError(f"{path}: no count matrix in this folder, only {there}. Give {KNOWN}.")
    head = _head(path)
    if head.startswith(_HDF5_MAGIC):
        return _read_hdf5
    if head.startswith(_ZIP_MAGIC):
        return _read_zarr
    if head.startswith(b"%%MatrixMarket"):
        return lambda file: read_mtx_folder(file.parent)
    first = head.split(b"\n")[0][:60].decode("utf-8", "replace")
    if _is_fragments(head):
        raise CountsError(
            f"{path.name}: these are fragments, not counts. Count them first: peakatlas count "
            f"{path.name} PEAKS.bed -o counts.h5ad, then give counts.h5ad."
        )
    raise CountsError(
        f"{path.name}: not a count matrix of a known kind; it begins with {first!r}. Give {KNOWN}."
    )


def _head(path: Path) -> bytes:
    """The first bytes of a file, decompressed when it is gzip."""
    try:
        with path.open("rb") as raw:
            head = raw.read(1024)
        if not head.startswith(GZIP_MAGIC):
            return head
        with gzip.open(path, "rb") as text:
            return text.read(1024)
    except (EOFError, OSError, zlib.error) as fault:
        raise CountsError(
            f"{path.name}: damaged or truncated ({fault}). Fetch it again."
        ) from fault


def _is_fragments(head: bytes) -> bool:
    lines = [line for line in head.split(b"\n") if not line.startswith(b"#")]
    fields = lines[0].split(b"\t") if lines else []
    return len(fields) >= 4 and fields[1].isdigit() and fields[2].isdigit()


def _read_hdf5(path: Path) -> ad.AnnData:
    with tempfile.TemporaryFile() as unpacked:
        with path.open("rb") as raw:
            zipped = raw.read(2) == GZIP_MAGIC
        if zipped:
            _unpack(path, unpacked)
        with h5py.File(unpacked if zipped else path, "r") as file:
            check_hdf5(file, path.name, CountsError)
            if isinstance(file.get("matrix"), h5py.Group) and "barcodes" in file["matrix"]:
                return _read_10x(file["matrix"], path.name)
            if "X" not in file and "mod" not in file and "obs" not in file:
                there = ", ".join(list(file)[:5]) or "nothing"
                raise CountsError(
                    f"{path.name}: an HDF5 file, but no count matrix: it holds {there}. "
                    f"Give {KNOWN}."
                )
            if not zipped and "encoding-type" not in file.attrs:
                return ad.read_h5ad(path)  # files older than anndata 0.8
            return _read_group(file, path.name)


def _unpack(path: Path, out: IO[bytes]) -> None:
    with gzip.open(path, "rb") as text:
        shutil.copyfileobj(text, out, 1 << 22)
    out.seek(0)


def _read_zarr(path: Path) -> ad.AnnData:
    check_zarr(path, CountsError)
    if path.is_dir():
        return _read_group(zarr.open_group(str(path), mode="r"), path.name)
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    # The archive may hold the folder, or what is in it.
    roots = {name.rpartition("/")[0] for name in names if name.endswith(("zarr.json", ".zgroup"))}
    if not roots:
        raise CountsError(f"{path.name}: a zip archive without a Zarr group. Give {KNOWN}.")
    store = zarr.storage.ZipStore(path, mode="r")
    try:
        return _read_group(zarr.open_group(store, path=min(roots, key=len), mode="r"), path.name)
    finally:
        store.close()


def _read_group(group: Any, source: str) -> ad.AnnData:  # noqa: ANN401 - of h5py or zarr
    """AnnData from a group of an HDF5 file or a Zarr store."""
    if "mod" not in group:
        if "obs" not in group:
            there = ", ".join(list(group)[:5]) or "nothing"
            raise CountsError(f"{source}: no AnnData: it holds {there}. Give {KNOWN}.")
        return _sparse_anndata(group)
    names = list(group["mod"])
    atac = [name for name in names if name.lower() in ATAC_NAMES] or (
        names if len(names) == 1 else []
    )
    if len(atac) != 1:
        there = ", ".join(names) or "none"
        raise CountsError(
            f"{source}: {len(atac) or 'no'} modalities are called {' or '.join(ATAC_NAMES)}; "
            f"there are: {there}. Write the one with the peaks as an h5ad."
        )
    return _with_columns(_sparse_anndata(group["mod"][atac[0]]), group, names)


def _with_columns(adata: ad.AnnData, group: Any, modalities: list[str]) -> ad.AnnData:  # noqa: ANN401
    """Add what a MuData says of its cells as a whole, such as their labels."""
    if "obs" not in group:
        return adata
    shared = ad.io.read_elem(group["obs"])
    own = tuple(f"{name}:" for name in modalities)
    names = [name for name in shared if name not in adata.obs and not str(name).startswith(own)]
    if names and not shared.index.has_duplicates:
        adata.obs = adata.obs.join(shared[names])
    return adata


def _sparse_anndata(group: Any) -> ad.AnnData:  # noqa: ANN401
    def read(func: Any, name: str, elem: Any, iospec: Any) -> Any:  # noqa: ANN401 - as anndata calls it
        place = name.strip("/").split("/")
        if place[-1] == "X" and len(place) in (1, 3) and iospec.encoding_type == "array":
            return _sparse_blocks(elem)
        return func(elem)

    return read_dispatched(group, read)


def _sparse_blocks(dense: Any) -> sp.csr_matrix:  # noqa: ANN401 - a dataset of h5py or zarr
    n_rows, n_columns = dense.shape
    step = max(1, _BLOCK_VALUES // max(n_columns, 1))
    blocks = [sp.csr_matrix(dense[i : i + step]) for i in range(0, n_rows, step)]
    return sp.vstack(blocks, format="csr") if blocks else sp.csr_matrix(dense.shape)


def _read_10x(group: h5py.Group, source: str) -> ad.AnnData:
    """Matrix of Cell Ranger 3 or later: compressed columns, one a cell."""
    features = group["features"]
    names = features["id"].asstr()[:]
    kinds = features["feature_type"].asstr()[:] if "feature_type" in features else None
    cells = pd.Index(group["barcodes"].asstr()[:])
    arrays = (group["data"][:], group["indices"][:], group["indptr"][:])
    matrix = sp.csr_matrix(arrays, shape=(len(cells), len(names)))
    return peaks_only(matrix, cells, pd.DataFrame(index=pd.Index(names)), kinds, source)
