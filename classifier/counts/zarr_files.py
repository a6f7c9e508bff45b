"""AnnData and MuData as Zarr, in a folder or a zip archive; nothing in them is run."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import zarr

from peakatlas.atlas.storage.zarr_checks import check_zarr
from peakatlas.engine.errors import CountsError

from .anndata_groups import KNOWN, read_group

if TYPE_CHECKING:
    from pathlib import Path

    import anndata as ad

_MARKS = ("zarr.json", ".zgroup", ".zmetadata")
_ENDS = ("zarr.json", ".zgroup")


def is_zarr_folder(folder: Path) -> bool:
    """Whether a folder is a Zarr group."""
    return any((folder / name).exists() for name in _MARKS)


def read_zarr(path: Path, mod: str | None = None) -> ad.AnnData:
    """Read a folder, or a zip archive that holds the folder or what is in it.

    Raises
    ------
    CountsError
        If it holds no AnnData, an array is packed by a codec that could run code, or one declares
        more than its bytes can hold.
    """
    check_zarr(path, CountsError)
    if path.is_dir():
        return read_group(zarr.open_group(str(path), mode="r"), path.name, mod=mod)
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    roots = {name.rpartition("/")[0] for name in names if name.endswith(_ENDS)}
    if not roots:
        packed = [name for name in names if not name.endswith("/")]
        inside = f" It holds {', '.join(packed[:3])}: unpack it first." if packed else ""
        raise CountsError(f"{path.name}: a zip archive without a Zarr group.{inside} Give {KNOWN}.")
    store = zarr.storage.ZipStore(path, mode="r")
    try:
        group = zarr.open_group(store, path=min(roots, key=len), mode="r")
        return read_group(group, path.name, mod=mod)
    finally:
        store.close()
