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

    def check(name: str, link: object) -> None:
        where = f"{source}: {name}"
        if isinstance(link, h5py.SoftLink | h5py.ExternalLink):
            raise error(f"{where} is a link to {link.path}. Write the file again without links.")
        found = file[name]
        if not isinstance(found, h5py.Dataset):
            return
        if found.external or found.is_virtual:
            raise error(f"{where} lies in another file. Write the file again with it inside.")
        declared = int(found.size or 0) * found.dtype.itemsize
        check_declared(declared, found.id.get_storage_size(), where, error)

    file.visititems_links(check)
