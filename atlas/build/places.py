"""Folders that an atlas may be written into."""

from __future__ import annotations

import os
from pathlib import Path

from peakatlas.atlas.format.schema import CARD_NAME, MANIFEST_NAME, SHOWN
from peakatlas.engine.errors import AtlasError


def refuse_links(root: Path) -> None:
    """Refuse to write into a folder with links by which what is written would land elsewhere.

    Linked shards are read, and replaced by files. Linked folders, locks and files written aside
    would be followed.

    Raises
    ------
    AtlasError
        Names the first of them.
    """
    for folder, folders, names in os.walk(root):
        hidden = [name for name in names if name.startswith(".")]
        for name in (*folders, *hidden):
            path = Path(folder) / name
            if path.is_symlink():
                raise AtlasError(
                    f"{path} is a link to {path.readlink()}: what is written there would land "
                    "outside of the atlas. Replace it by what it points to, or remove it."
                )


def refuse_foreign(root: Path) -> None:
    """Refuse a path that holds something else than an atlas, begun or finished, or lies in one.

    Raises
    ------
    AtlasError
        Names what is there.
    """
    if root.exists() and not root.is_dir():
        raise AtlasError(f"{root} is a file, not an atlas. Give another output path.")
    for folder in root.absolute().parents:
        if any(folder.glob("segment-*/plan.json")):
            raise AtlasError(f"{root} lies inside the atlas {folder}. Give another output path.")
    names = sorted(path.name for path in root.iterdir()) if root.is_dir() else []
    foreign = [
        name
        for name in names
        if name not in (MANIFEST_NAME, CARD_NAME, "zarr.json")
        and not name.startswith((".", "segment-"))
    ]
    if foreign:
        raise AtlasError(
            f"{root} exists and is not an atlas (it holds {', '.join(foreign[:SHOWN])}). "
            "Give another output path."
        )
