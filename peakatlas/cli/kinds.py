"""Tell what a file or folder is by its content, so that a mix-up is named before any work."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from peakatlas.engine.errors import PeakAtlasError

from .base import later

if TYPE_CHECKING:
    from collections.abc import Callable

    import typer

Kind = Literal["atlas", "bundle", "model", "anndata", "hdf5", "fasta", "intervals"]
Wanted = Literal["atlas", "bundle", "cells", "genome", "peaks"]

NAMES: dict[Kind, str] = {
    "atlas": "an atlas",
    "bundle": "a trained bundle",
    "model": "the folder of a language model",
    "anndata": "an AnnData folder",
    "hdf5": "an HDF5 file (such as h5ad)",
    "fasta": "a FASTA file",
    "intervals": "a table of intervals (such as BED)",
}
WANTED: dict[Wanted, str] = {
    "atlas": "an atlas (the folder that `peakatlas atlas build` makes)",
    "bundle": "a trained bundle (the folder that `peakatlas train` makes)",
    "cells": "counts of cells x peaks (such as h5ad)",
    "genome": "a FASTA file",
    "peaks": "a BED or narrowPeak file",
}
_FITS: dict[Wanted, tuple[Kind, ...]] = {
    "atlas": ("atlas",),
    "bundle": ("bundle",),
    "cells": ("anndata", "hdf5", "intervals"),
    "genome": ("fasta",),
    "peaks": ("intervals",),
}
_HDF5 = b"\x89HDF\r\n\x1a\n"
_HDF5_PLACES = (0, 512, 1024, 2048)
"""Where it may stand: a user block may come before it, as in an h5mu."""
_GZIP = b"\x1f\x8b"
_HEAD_BYTES = 4096


def kind_of(path: Path) -> Kind | None:
    """What a file or folder is; None if it cannot be told, or is a pipe.

    Parameters
    ----------
    path : Path
    """
    try:
        return _folder_kind(path) if path.is_dir() else _file_kind(path) if path.is_file() else None
    except (OSError, EOFError, ValueError):
        return None


def expect(path: str | Path, wanted: Wanted) -> None:
    """Refuse what is plainly something else than what is wanted; URLs and ``-`` pass.

    Parameters
    ----------
    path : str or Path
    wanted : str

    Raises
    ------
    PeakAtlasError
        Says what is there and what is wanted.
    """
    text = str(path)
    if text == "-" or "://" in text or "::" in text:
        return
    if not Path(text).exists():
        raise PeakAtlasError(
            f"{text} does not exist; {WANTED[wanted]} is wanted there. Check the path."
        )
    found = kind_of(Path(text))
    if found is not None and found not in _FITS[wanted]:
        raise PeakAtlasError(
            f"{text} is {NAMES[found]}; {WANTED[wanted]} is wanted there. Check the order of the "
            "arguments (--help shows it)."
        )


def wants(wanted: Wanted) -> Callable[[typer.Context, Any], Any]:
    """Callback of an argument or option whose value must be of a kind; several values each.

    Parameters
    ----------
    wanted : str
    """

    def check(value: str | Path | list[str]) -> None:
        for path in value if isinstance(value, list) else [value]:
            expect(path, wanted)

    return later(check)


def _folder_kind(folder: Path) -> Kind | None:
    if any(folder.glob("segment-*/plan.json")) or _says(folder / "manifest.json", "format"):
        return "atlas"
    if (folder / "bundle.json").is_file():
        return "bundle"
    if (folder / "config.json").is_file():
        return "model"
    if any(_says(folder / name, "encoding-type") for name in ("zarr.json", ".zattrs")):
        return "anndata"
    return None


def _says(path: Path, name: str) -> bool:
    """Whether a JSON file, or the attributes in it, has a member of that name."""
    if not path.is_file():
        return False
    values = json.loads(path.read_bytes())
    return name in values or name in values.get("attributes", {})


def _file_kind(path: Path) -> Kind | None:
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if head.startswith(_GZIP):
        with gzip.open(path) as unpacked:
            head = unpacked.read(_HEAD_BYTES)
    if any(head[place:].startswith(_HDF5) for place in _HDF5_PLACES):
        return "hdf5"
    if head.lstrip().startswith(b">"):
        return "fasta"
    return "intervals" if _is_table_of_intervals(head) else None


def _is_table_of_intervals(head: bytes) -> bool:
    lines = [
        line
        for line in head.split(b"\n")
        if line and not line.startswith((b"#", b"track", b"brow"))
    ]
    fields = lines[0].split() if lines else []
    return len(fields) >= 3 and fields[1].isdigit() and fields[2].isdigit()
