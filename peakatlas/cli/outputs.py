"""Files that commands write: the place is checked first, and a file is whole or absent."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from peakatlas.classifier.bundle.folder import check_bundle_folder
from peakatlas.engine.errors import PeakAtlasError

from .base import later

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def check_writable(path: Path) -> None:
    """Refuse a file that could not be written in the end.

    Parameters
    ----------
    path : Path

    Raises
    ------
    PeakAtlasError
        If its folder does not exist, or it is a folder itself.
    """
    if not path.absolute().parent.is_dir():
        raise PeakAtlasError(
            f"{path} cannot be written: there is no folder {path.parent}. Make it, or give another "
            "path."
        )
    if path.is_dir():
        raise PeakAtlasError(f"{path} is a folder; a file is wanted there. Give another path.")


writable = later(check_writable)
"""Callback of an option that names a file to write."""
writable_bundle = later(check_bundle_folder)
"""Callback of an option that names the folder of a bundle to write."""


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a path beside `path` to write to; it takes its name when the block ends well."""
    aside = path.with_name(f".{path.name}.part")
    try:
        yield aside
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
