"""Folders that an atlas may be written into."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from peakatlas.atlas.format.layout import ZARR_NAME
from peakatlas.atlas.format.schema import CARD_NAME, MANIFEST_NAME, SHOWN
from peakatlas.atlas.storage.urls import writable_storage
from peakatlas.engine.errors import AtlasError

if TYPE_CHECKING:
    from peakatlas.atlas.format.segment import Place


def refuse_links(place: Place) -> None:
    """Refuse to write into a folder with links by which what is written would land elsewhere.

    Linked shards are read, and replaced by files. Linked folders, locks and files written aside
    would be followed.

    Raises
    ------
    AtlasError
        Names the first of them.
    """
    root = writable_storage(place).local_path()
    for folder, folders, names in os.walk(root) if root else ():
        hidden = [name for name in names if name.startswith(".")]
        for name in (*folders, *hidden):
            path = Path(folder) / name
            if path.is_symlink():
                raise AtlasError(
                    f"{path} is a link to {path.readlink()}: what is written there would land "
                    "outside of the atlas. Replace it by what it points to, or remove it."
                )


def refuse_foreign(place: Place) -> None:
    """Refuse a path that holds something else than an atlas, begun or finished, or lies in one.

    Raises
    ------
    AtlasError
        Names what is there.
    """
    storage = writable_storage(place)
    root = storage.local_path()
    if root is not None:
        _refuse_files(root)
    names = storage.names()
    foreign = [
        name
        for name in names
        if name not in (MANIFEST_NAME, CARD_NAME, ZARR_NAME)
        and not name.startswith((".", "segment-"))
    ]
    if foreign:
        raise AtlasError(
            f"{storage.name} exists and is not an atlas (it holds {', '.join(foreign[:SHOWN])}). "
            "Give another output path."
        )


def _refuse_files(root: Path) -> None:
    """Refuse a local path that is a file, or lies in an atlas."""
    if root.exists() and not root.is_dir():
        raise AtlasError(f"{root} is a file, not an atlas. Give another output path.")
    for folder in root.absolute().parents:
        if any(folder.glob("segment-*/plan.json")):
            raise AtlasError(f"{root} lies inside the atlas {folder}. Give another output path.")
