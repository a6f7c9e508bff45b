"""Count matrices as people have them, recognised by content, as AnnData with a sparse matrix.

h5ad, h5mu (its ATAC modality), AnnData or MuData as Zarr (folder or zip), the HDF5 matrices of
Cell Ranger and Cell Ranger ARC, and folders with ``matrix.mtx``; any HDF5 file, and any file of
such a folder, may be gzip.
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import h5py  # type: ignore[import-untyped]

from peakatlas.engine.errors import CountsError
from peakatlas.engine.gzip_stream import GZIP_MAGIC

from .anndata_groups import KNOWN, refuse_modality
from .hdf5_files import begins_hdf5, read_hdf5
from .mtx_folder import is_mtx_folder, read_mtx_file, read_mtx_folder
from .written import make_writable
from .zarr_files import is_zarr_folder, read_zarr

if TYPE_CHECKING:
    from collections.abc import Callable

    import anndata as ad

_HEAD_BYTES = 1 << 16
_ZIP = b"PK\x03\x04"
_PACKED = {
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!": "rar",
}
_R_OBJECTS = (b"RDX", b"RDA", b"X\n\x00", b"A\n2\n", b"A\n3\n", b"B\n\x02", b"B\n\x03")


def read_matrix_file(path: str | Path, mod: str | None = None) -> ad.AnnData:
    """Read a cell × peak matrix from whatever file or folder holds it.

    A dense matrix is made sparse block by block. What AnnData reads and would refuse to write is
    changed: see `make_writable`.

    Parameters
    ----------
    path : str or Path
    mod : str, optional
        Modality of a MuData with the peaks; found by its name if not given.

    Raises
    ------
    CountsError
        If there is no such file, or it is of another kind or damaged.
    """
    source = Path(path)
    if not source.exists():
        raise CountsError(f"{source}: no such file. Check the path.")
    reader = _reader_of(source)
    try:
        if reader in (read_hdf5, read_zarr):
            adata = reader(source, mod)
        else:
            refuse_modality(mod, source.name)
            adata = reader(source)
        make_writable(adata, source.name)
    except CountsError:
        raise
    except PermissionError as error:
        raise CountsError(
            f"{error.filename or source}: may not be read. Ask for permission."
        ) from error
    except Exception as error:  # h5py, zarr and anndata raise many kinds
        reason = " ".join(str(error).split()).partition(" Error raised while")[0]
        raise CountsError(
            f"{source}: cannot be read ({type(error).__name__}: {reason}). "
            "It is damaged or incomplete: fetch or write it again."
        ) from error
    return adata


def _reader_of(path: Path) -> Callable[..., ad.AnnData]:
    """What reads a path, told by its content."""
    if path.is_dir():
        return _folder_reader(path)
    if not path.is_file():
        raise CountsError(f"{path}: neither a file nor a folder. Give {KNOWN}.")
    head = _head(path)
    if begins_hdf5(head) or h5py.is_hdf5(path):
        return read_hdf5
    if head.startswith(_ZIP):
        return read_zarr
    if head.startswith(b"%%MatrixMarket"):
        return read_mtx_file
    raise CountsError(f"{path.name}: {_other_kind(head, path.name)}")


def _folder_reader(path: Path) -> Callable[..., ad.AnnData]:
    if is_zarr_folder(path):
        return read_zarr
    if is_mtx_folder(path):
        return read_mtx_folder
    there = ", ".join(sorted(entry.name for entry in path.iterdir())[:5]) or "nothing"
    raise CountsError(f"{path}: no count matrix in this folder, only {there}. Give {KNOWN}.")


def _other_kind(head: bytes, name: str) -> str:
    """What a file is that holds no matrix that is read, and what to do."""
    packed = next((kind for mark, kind in _PACKED.items() if head.startswith(mark)), None)
    if head[257:262] == b"ustar":
        packed = "tar"
    if packed is not None:
        return f"packed as {packed}. Unpack it, then give what was in it: {KNOWN}."
    if head.startswith(_R_OBJECTS):
        return (
            "an R object (RDS). In R, write its counts with DropletUtils::write10xCounts or as "
            "h5ad, and give that."
        )
    if _is_fragments(head):
        return (
            "these are fragments, not counts. Count them first: peakatlas count "
            f"{name} PEAKS.bed -o counts.h5ad, then give counts.h5ad."
        )
    if not head:
        return f"the file is empty. Give {KNOWN}."
    first = head.split(b"\n")[0][:60].decode("utf-8", "replace")
    return f"not a count matrix of a known kind; it begins with {first!r}. Give {KNOWN}."


def _head(path: Path) -> bytes:
    """The first bytes of a file, decompressed when it is gzip."""
    try:
        with path.open("rb") as raw:
            head = raw.read(_HEAD_BYTES)
        if not head.startswith(GZIP_MAGIC):
            return head
        with gzip.open(path, "rb") as text:
            return text.read(_HEAD_BYTES)
    except PermissionError as error:
        raise CountsError(f"{path}: may not be read. Ask for permission.") from error
    except (EOFError, OSError, zlib.error) as fault:
        raise CountsError(
            f"{path.name}: damaged or truncated ({fault}). Fetch it again."
        ) from fault


def _is_fragments(head: bytes) -> bool:
    lines = [line for line in head.split(b"\n") if not line.startswith(b"#")]
    fields = lines[0].split(b"\t") if lines else []
    return len(fields) >= 4 and fields[1].isdigit() and fields[2].isdigit()
