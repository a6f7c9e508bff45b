"""Recognise a file or folder by its content, so that a mix-up is named before any work."""

from __future__ import annotations

import codecs
import gzip
import json
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from peakatlas.classifier.bundle.catalogue import find_bundle
from peakatlas.engine.errors import PeakAtlasError
from peakatlas.engine.intervals.text_files import split_lines

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
    "bundle": "a trained bundle (the folder that `peakatlas train` makes, or a name that "
    "`peakatlas bundles list` shows)",
    "cells": "a file or folder of cells x peaks (such as h5ad)",
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
    """What a file or folder is; None if it is not recognised, or is a pipe.

    Parameters
    ----------
    path : Path
    """
    try:
        return _folder_kind(path) if path.is_dir() else _file_kind(path) if path.is_file() else None
    except (OSError, EOFError, ValueError, RecursionError, zlib.error):
        return None


def expect(path: str | Path, wanted: Wanted) -> None:
    """Refuse what is plainly something else than what is wanted; URLs, ``-`` and names pass.

    Parameters
    ----------
    path : str or Path
    wanted : str

    Raises
    ------
    PeakAtlasError
        Says what is there and what is expected.
    """
    text = str(path)
    if text == "-" or "://" in text or "::" in text:
        return
    if not Path(text).exists():
        if wanted == "bundle" and find_bundle(text) != Path(text):
            return
        raise PeakAtlasError(
            f"{text} does not exist; {WANTED[wanted]} is expected there. Check the path."
        )
    found = kind_of(Path(text))
    if found is not None and found not in _FITS[wanted]:
        raise PeakAtlasError(
            f"{text} is {NAMES[found]}; {WANTED[wanted]} is expected there. Check the order of the "
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
    inner = values.get("attributes") if isinstance(values, dict) else None
    return isinstance(values, dict) and (name in values or name in (inner or {}))


def _file_kind(path: Path) -> Kind | None:
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if head.startswith(_GZIP):
        with gzip.open(path) as unpacked:
            head = unpacked.read(_HEAD_BYTES)
    if any(head[place:].startswith(_HDF5) for place in _HDF5_PLACES):
        return "hdf5"
    lines = _text_lines(head)
    first = next((line for line in lines if line.strip() and not line.startswith(";")), "")
    if first.startswith(">"):
        return "fasta"
    return "intervals" if _is_table_of_intervals(lines) else None


def _text_lines(head: bytes) -> list[str]:
    """Lines of the first bytes of a file; the last may be cut."""
    utf16 = head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = head.decode("utf-16" if utf16 else "utf-8-sig", "replace")
    return split_lines(text)


def _is_table_of_intervals(lines: list[str]) -> bool:
    kept = [line for line in lines if line.strip() and not line.startswith(("#", "track", "brow"))]
    fields = kept[0].split() if kept else []
    return len(fields) >= 3 and all(word.isascii() and word.isdigit() for word in fields[1:3])
