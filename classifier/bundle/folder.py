"""The folder of a bundle: one file decides what it holds, so a save is whole or never was."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peakatlas.atlas.storage.atomic import json_bytes, sweep, write_bytes
from peakatlas.engine.errors import BundleError

from .settings import BundleSettings, read_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMAT_VERSION = 5
SETTINGS_FILE = "bundle.json"
ARRAYS_PATTERN = "arrays*.safetensors"
_ORPHAN_S = 3600.0
"""Arrays that no bundle names and that are older than this were left by an interrupted save."""


def write_bundle_files(folder: Path, settings: Mapping[str, Any], arrays: bytes) -> None:
    """Write a bundle over an earlier one, or into a new folder.

    The arrays go into a file named after their SHA-256; ``bundle.json`` names it and is replaced
    last, in one step. Whoever is killed midway leaves the earlier bundle as it was.

    Parameters
    ----------
    folder : Path
    settings : mapping
        JSON types.
    arrays : bytes
        A safetensors file.

    Raises
    ------
    BundleError
        If the folder holds other things.
    """
    check_bundle_folder(folder)
    earlier = _arrays_named(folder)
    digest = hashlib.sha256(arrays).hexdigest()
    path = folder / f"arrays-{digest[:16]}.safetensors"
    write_bytes(path, arrays)
    named = {**settings, "arrays_file": path.name, "arrays_sha256": digest}
    write_bytes(folder / SETTINGS_FILE, json_bytes(named))
    for old in folder.glob(ARRAYS_PATTERN):
        if old != path and (old.name == earlier or _is_old(old)):  # or another save's, in progress
            old.unlink(missing_ok=True)
    sweep(folder, deep=False)


def read_bundle_files(folder: Path) -> tuple[BundleSettings, bytes]:
    """Settings and arrays of a bundle.

    Raises
    ------
    BundleError
        If there is no bundle, it is damaged, or of another format version.
    """
    settings = read_bundle_settings(folder)
    arrays = _read(folder, settings.arrays_file)
    if hashlib.sha256(arrays).hexdigest() != settings.arrays_sha256:
        raise BundleError(
            f"{folder / settings.arrays_file} is not the file that {SETTINGS_FILE} names (SHA-256 "
            "differs). Copy the bundle again, or train again."
        )
    return settings, arrays


def read_bundle_settings(folder: Path) -> BundleSettings:
    """Settings of a bundle, its arrays unread.

    Raises
    ------
    BundleError
        If there is no bundle, it is damaged, or of another format version.
    """
    path = folder / SETTINGS_FILE
    return read_settings(_read(folder, SETTINGS_FILE), str(path), FORMAT_VERSION)


def arrays_path(folder: Path) -> Path:
    """The file with the arrays of a bundle.

    Parameters
    ----------
    folder : Path
    """
    settings = json.loads((folder / SETTINGS_FILE).read_text())
    return folder / Path(settings["arrays_file"]).name


def check_bundle_folder(folder: Path) -> None:
    """Refuse a folder that holds other things than a bundle, whole or begun.

    Raises
    ------
    BundleError
        If it does, or is a file.
    """
    if not folder.exists() or (folder / SETTINGS_FILE).is_file():
        return
    ours = {*folder.glob(ARRAYS_PATTERN), *folder.glob(".*")}
    if not folder.is_dir() or set(folder.iterdir()) - ours:
        raise BundleError(f"{folder} exists and is not a bundle. Give another folder.")


def _read(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except FileNotFoundError:
        raise BundleError(
            f"{folder} is not a bundle: it has no {name}. Give what `peakatlas train` wrote."
        ) from None


def _arrays_named(folder: Path) -> str | None:
    """File with the arrays of the bundle that stands in a folder, if any."""
    try:
        return arrays_path(folder).name
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _is_old(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > _ORPHAN_S
    except OSError:
        return False
