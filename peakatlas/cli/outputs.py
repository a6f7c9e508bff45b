"""Files that commands write: the place is prepared first, and a file is whole or absent."""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import socket
import stat
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from peakatlas.classifier.bundle.folder import check_bundle_folder
from peakatlas.engine.errors import PeakAtlasError

from .base import later

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

OutputKind = Literal["cells", "page", "table", "intervals"]

KINDS: dict[OutputKind, tuple[str, tuple[str, ...]]] = {
    "cells": ("an h5ad file", (".h5ad", ".h5")),
    "page": ("an HTML page", (".html", ".htm")),
    "table": ("a table with tabs between columns", (".tsv", ".txt", ".tab")),
    "intervals": ("a BED file", (".bed", ".tsv", ".txt", ".tab")),
}
"""What is written, and the endings that say so; an ending that nobody knows passes."""
_ENDINGS = frozenset(
    [
        ".h5ad",
        ".h5",
        ".hdf5",
        ".h5mu",
        ".h5seurat",
        ".zarr",
        ".loom",
        ".rds",
        ".rda",
        ".mtx",
        ".html",
        ".htm",
        ".pdf",
        ".png",
        ".svg",
        ".json",
        ".tsv",
        ".txt",
        ".tab",
        ".csv",
        ".xlsx",
        ".parquet",
        ".bed",
        ".fa",
        ".fasta",
        ".gz",
        ".bgz",
        ".bz2",
        ".xz",
        ".zst",
        ".zip",
        ".tar",
    ]
)
_MTX_PARTS = ("matrix.mtx", "barcodes.tsv", "features.tsv", "genes.tsv", "peaks.bed")
_ERRNO = re.compile(r"errno = (\d+)")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_PART = ".part"


def check_writable(path: Path, kind: OutputKind | None = None) -> None:
    """Refuse a file that could not be written in the end.

    Links are followed; a file is made in the folder and removed, to see whether it takes one.

    Parameters
    ----------
    path : Path
    kind : {"cells", "page", "table", "intervals"}, optional
        What is written: an ending that promises something else is refused.

    Raises
    ------
    PeakAtlasError
        If its folder does not exist, takes no file or is full; if the path is a folder, a device
        or a file that may not be written; if its name is ``-``, blank, or that of another kind of
        file.
    """
    if path.name == "-" or not path.name.strip(" "):
        raise PeakAtlasError(
            f"{str(path)!r} is no name of a file; nothing is written to standard output. Give a "
            "name."
        )
    if kind is not None:
        _check_ending(path, kind)
    target = _target(path)
    if not target.parent.is_dir():
        raise PeakAtlasError(
            f"{path} cannot be written: there is no folder {path.parent}. Make it, or give another "
            "path."
        )
    if target.is_dir():
        raise PeakAtlasError(f"{path} is a folder; a file is expected there. Give another path.")
    if target.exists() and not target.is_file():
        raise PeakAtlasError(
            f"{path} is {_special(target)}; a file is expected there. Give another path."
        )
    if target.exists() and not os.access(target, os.W_OK):
        raise PeakAtlasError(
            f"{path} is there and may not be written. Give another path, or permission."
        )
    _check_folder(target.parent, path)


def check_bundle_place(folder: Path) -> None:
    """Refuse a folder in which a bundle could not be saved in the end.

    Raises
    ------
    BundleError
        If it holds other things.
    PeakAtlasError
        If it cannot be made, or takes no file.
    """
    check_bundle_folder(folder)
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    if not there.is_dir():
        raise PeakAtlasError(f"{folder} cannot be made: {there} is a file. Give another path.")
    _check_folder(there, folder)


def check_apart(
    outputs: Iterable[str | Path | None], inputs: Iterable[str | Path | list[Path] | None] = ()
) -> None:
    """Refuse outputs that are one file, one of the inputs, or in the folder of an input.

    Parameters
    ----------
    outputs : str, Path or None
    inputs : path, list of paths, or None
        URLs and ``-`` pass, as they do among the outputs.

    Raises
    ------
    PeakAtlasError
        Names the output and the input.
    """
    given = _flat(outputs)
    for i, path in enumerate(given):
        for other in given[:i]:
            if _target(path) == _target(other) or _same_file(path, other):
                raise PeakAtlasError(
                    f"{path} is named for two outputs, of which one would replace the other. Give "
                    "each its own path."
                )
        for source in _flat(inputs):
            _check_not_input(path, source)


def writable(kind: OutputKind | None = None) -> Callable[[typer.Context, Path | None], Path | None]:
    """Callback of an option that names a file to write; ``~`` is the home folder.

    Parameters
    ----------
    kind : {"cells", "page", "table", "intervals"}, optional
    """

    def check(path: Path) -> None:
        check_writable(path, kind)

    checked = later(check)

    def callback(ctx: typer.Context, value: Path | None) -> Path | None:
        return None if value is None else checked(ctx, _at_home(value))

    return callback


writable_bundle = later(check_bundle_place)
"""Callback of an option that names the folder of a bundle to write."""


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a path of this process's own beside `path`; it takes its name when the block ends well.

    Raises
    ------
    PeakAtlasError
        If the disk refuses; what stood at `path` still stands.
    """
    target = _target(path)
    aside: Path | None = None
    try:
        _sweep(target)
        aside = _new_file_beside(target)
        yield aside
        _flush(aside)
        aside.replace(target)
    except BaseException as error:
        if aside is not None:
            aside.unlink(missing_ok=True)
        number = _number(error)
        if number is None or isinstance(error, PeakAtlasError):
            raise
        raise PeakAtlasError(
            f"{path} cannot be written: {os.strerror(number).lower()}. "
            f"{'Make room' if number in _FULL else 'Give permission'}, or give another path."
        ) from error


def _check_ending(path: Path, kind: OutputKind) -> None:
    what, endings = KINDS[kind]
    ending = path.suffix.lower()
    if ending in _ENDINGS and ending not in endings:
        raise PeakAtlasError(
            f"{path} is not the name of what is written, which is {what}. "
            f"Give a name that ends in {endings[0]}."
        )


def _target(path: Path) -> Path:
    """The file that a path stands for, links followed."""
    try:
        target = path.resolve()
        target.exists()
    except (OSError, RuntimeError) as error:  # a name that is too long; a loop of links
        reason = (getattr(error, "strerror", None) or "it is a loop of links").lower()
        raise PeakAtlasError(f"{path} cannot be written: {reason}. Give another path.") from error
    return target


def _at_home(path: Path) -> Path:
    if not path.parts or not path.parts[0].startswith("~") or path.parent.exists():
        return path
    try:
        return path.expanduser()
    except RuntimeError:  # no such user
        return path


def _special(path: Path) -> str:
    mode = path.stat().st_mode
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        return "a device"
    return "a pipe" if stat.S_ISFIFO(mode) else "a socket"


def _check_folder(folder: Path, path: Path) -> None:
    """Refuse a folder that takes no new file."""
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".", suffix=_PART) as probe:
            probe.write(b"peakatlas")
            probe.flush()
    except OSError as error:
        raise PeakAtlasError(
            f"{path} cannot be written: {folder} takes no file "
            f"({(error.strerror or str(error)).lower()}). Give another path, or permission."
        ) from error


def _flat(inputs: Iterable[str | Path | list[Path] | None]) -> list[Path]:
    """Those that are files or folders of this machine."""
    every: list[str | Path] = []
    for each in inputs:
        every += each if isinstance(each, list) else [] if each is None else [each]
    texts = [str(each) for each in every]
    return [Path(text) for text in texts if text != "-" and "://" not in text and "::" not in text]


def _check_not_input(path: Path, source: Path) -> None:
    if any(_same_file(path, file) for file in (source, *_mtx_files(source))):
        raise PeakAtlasError(
            f"{path} is an input ({source}); it would be overwritten. Give another path."
        )
    folder = source.resolve()
    if folder.is_dir() and not _mtx_files(source) and folder in _target(path).parents:
        raise PeakAtlasError(
            f"{path} lies inside {source}, which is an input. Give a path outside of it."
        )


def _mtx_files(source: Path) -> list[Path]:
    """The files of a 10x folder, or beside a Matrix Market file."""
    folder = source if source.is_dir() else source.parent
    if not source.is_dir() and not source.name.endswith((".mtx", ".mtx.gz")):
        return []
    names = tuple(part + end for part in _MTX_PARTS for end in ("", ".gz"))
    return [file for file in folder.iterdir() if file.name.endswith(names)]


def _same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _new_file_beside(target: Path) -> Path:
    """An empty file beside `target`, with the mode of what it replaces."""
    own = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    aside = target.with_name(f".{_stem(target)}.{own}{_PART}")
    os.close(os.open(aside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    if target.exists():
        shutil.copymode(target, aside)
    return aside


def _stem(target: Path) -> str:
    """The beginning of a name, short enough for more to be put after it."""
    return target.name.encode("utf-8", "ignore")[:100].decode("utf-8", "ignore")


def _sweep(target: Path) -> None:
    """Remove what processes of this machine that are no more left beside `target`."""
    own = re.compile(
        rf"\.{re.escape(_stem(target))}\.{re.escape(socket.gethostname())}-(\d+)-\w+\{_PART}"
    )
    for path in target.parent.iterdir():
        found = own.fullmatch(path.name)
        if found is not None and not _is_alive(int(found[1])):
            path.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _number(error: BaseException) -> int | None:
    """Number of an error of the system; HDF5 has it in its text alone."""
    if not isinstance(error, OSError | RuntimeError):
        return None
    found = _ERRNO.search(str(error))
    number = getattr(error, "errno", None) or (int(found[1]) if found else None)
    return (
        number if number in (*_FULL, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT) else None
    )
