"""HDF5 files that come from elsewhere: what is refused before one is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import h5py  # type: ignore[import-untyped]

from peakatlas.atlas.storage.zarr_checks import check_declared

if TYPE_CHECKING:
    from peakatlas.engine.errors import PeakAtlasError


def check_hdf5(file: h5py.File, source: str, error: type[PeakAtlasError]) -> None:
    """Refuse an HDF5 file that points into other files, or declares what is not there.

    Parameters
    ----------
    file : h5py.File
        Opened for reading.
    source : str
        Name of the file, for the text.
    error : type
        Raised when something is wrong.

    Raises
    ------
    PeakAtlasError
        Of the type given; names the dataset.
    """

    def fault(name: str, link: object) -> PeakAtlasError | None:  # raised here, it would be lost
        try:
            _check(file, name, link, source, error)
        except error as found:
            return found
        return None

    found = file.visititems_links(fault)
    if found is not None:
        raise found


def _check(
    file: h5py.File, name: str, link: object, source: str, error: type[PeakAtlasError]
) -> None:
    where = f"{source}: {name}"
    if isinstance(link, h5py.SoftLink | h5py.ExternalLink):
        raise error(f"{where} is a link to {link.path}. Write the file again without links.")
    held = file[name]
    if not isinstance(held, h5py.Dataset):
        return
    if held.external or held.is_virtual:
        raise error(f"{where} lies in another file. Write the file again with it inside.")
    declared = int(held.size or 0) * held.dtype.itemsize
    check_declared(declared, held.id.get_storage_size(), where, error)
