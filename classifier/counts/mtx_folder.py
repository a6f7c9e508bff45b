"""Folders with matrix.mtx, barcodes.tsv and peaks.bed or features.tsv, as 10x writes them.

Several samples may lie in one folder, each with its own beginning of the three names, as in GEO.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from peakatlas.engine.errors import CountsError, IntervalError
from peakatlas.engine.gzip_stream import is_gzip, read_maybe_gzip
from peakatlas.engine.intervals.readers import read_bed
from peakatlas.engine.intervals.text_files import decoded, split_lines

from .barcode_lists import behind_numbers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MATRIX = "matrix.mtx"
_BARCODES = ("barcodes.tsv",)
_BEDS = ("peaks.bed",)
_FEATURES = ("features.tsv", "genes.tsv", "peaks.tsv", "regions.tsv")
_HEADERS = frozenset({"barcode", "barcodes", "cell", "cells", "cell_id", "x", "v1"})
_FIELDS = ("real", "integer", "pattern", "double", "unsigned-integer")
_LONGEST_LINE = 1 << 16
_BYTES_AN_ENTRY = 4
"""Of the shortest line of a matrix, ``1 1`` and its end."""
_GZIP_TIMES = 1032
"""How many times its size a gzip file may hold, at most (deflate)."""


def is_mtx_folder(folder: Path) -> bool:
    """Whether a folder holds a ``matrix.mtx``, plain or gzip, whatever stands before its name."""
    return bool(_matrices(folder))


def read_mtx_folder(folder: Path) -> ad.AnnData:
    """Read a folder of Cell Ranger ATAC or ARC.

    Raises
    ------
    CountsError
        If it holds several samples, or as `read_mtx_file` does.
    """
    plain = _found(folder, "", (MATRIX,))
    found = [plain] if plain is not None else _matrices(folder)
    if len(found) > 1:
        names = ", ".join(path.name for path in found[:5])
        raise CountsError(
            f"{folder}: holds {len(found)} matrices: {names}. Give the path of one of them."
        )
    return read_mtx_file(found[0])


def read_mtx_file(file: Path) -> ad.AnnData:
    """Read a Matrix Market file with the barcodes and features that lie beside it.

    These are called as the matrix is: beside ``b_matrix.mtx`` lie ``b_barcodes.tsv`` and
    ``b_peaks.bed`` or ``b_features.tsv``. A matrix of cells × features is turned.

    Parameters
    ----------
    file : Path
        Plain or gzip.

    Returns
    -------
    AnnData
        ``var["feature_types"]`` is the third column of ``features.tsv``, where it is full.

    Raises
    ------
    CountsError
        If a file is absent or damaged, or sizes differ.
    """
    start = _start(file)
    barcodes = _need(file, start, _BARCODES)
    names = behind_numbers(_lines(barcodes)) or _column(barcodes, 0)
    var = _features(file, start)
    shape = _declared(file)
    if len(names) == 1 + shape[1] and names[0].lower() in _HEADERS:
        names = names[1:]
    fits = (len(var), len(names))
    if shape not in (fits, fits[::-1]):
        raise CountsError(
            f"{file}: has {shape[0]:,} rows and {shape[1]:,} columns, but there are "
            f"{len(var):,} features and {len(names):,} barcodes. The files do not belong together."
        )
    matrix = _matrix(file)
    turned = matrix if shape != fits else matrix.T
    obs = pd.DataFrame(index=pd.Index(names, dtype=object))
    return ad.AnnData(sp.csr_matrix(turned), obs=obs, var=var)


def _features(file: Path, start: str) -> pd.DataFrame:
    """Names of the features, and what else the folder says of them."""
    bed = _beside(file, start, _BEDS)
    if bed is not None:
        try:
            peaks = read_bed(bed)
        except IntervalError as error:
            raise CountsError(f"{file.parent}: {error}") from error
        return peaks.to_frame().set_index(pd.Index(peaks.names(), dtype=object))
    table = _need(file, start, (*_FEATURES, *_BEDS))
    names, kinds = _column(table, 0), _column(table, 2)
    var = pd.DataFrame(index=pd.Index(names, dtype=object))
    if any(kinds) and not all(kinds):
        raise CountsError(
            f"{table}: {kinds.count(''):,} features of {len(kinds):,} have no type in the third "
            "column, the others have. It is not whole: fetch it again."
        )
    if all(kinds) and kinds and not _numbers(kinds):
        var["feature_types"] = np.asarray(kinds, dtype=object)
    places = [_column(table, column) for column in (3, 4, 5)]
    if all(all(place) for place in places) and _numbers(places[1]) and _numbers(places[2]):
        var["interval"] = [f"{c}:{a}-{b}" for c, a, b in zip(*places, strict=True)]
    return var


def _numbers(texts: Sequence[str]) -> bool:
    return all(text.isdigit() for text in texts)


@dataclass(frozen=True)
class _Head:
    """What the first lines of a Matrix Market file declare."""

    shape: tuple[int, int]
    entries: int
    pattern: bool
    """Whether entries have no values; they count 1 each."""


def _read_head(text: IO[bytes], file: Path) -> _Head:
    """Read the lines before the entries.

    Raises
    ------
    CountsError
        If they are not those of counts, or declare more entries than the file can hold.
    """
    words = text.readline(_LONGEST_LINE).decode("ascii").lower().split()
    line = b"%"
    while line.startswith(b"%") or line.isspace():
        line = text.readline(_LONGEST_LINE)
    _, _, layout, field, symmetry = words
    rows, columns, *rest = (int(word) for word in line.decode("ascii").split())
    if layout != "coordinate":
        raise CountsError(f"{file}: a dense matrix. Write it in the coordinate format.")
    if field not in _FIELDS or symmetry != "general":
        raise CountsError(f"{file}: holds {field} {symmetry} values, not counts. Give raw counts.")
    room = file.stat().st_size * (_GZIP_TIMES if is_gzip(file) else 1) // _BYTES_AN_ENTRY
    if len(rest) != 1 or not 0 <= rest[0] <= room:
        raise CountsError(
            f"{file}: declares {line.decode('ascii').strip()!r} as rows, columns and entries, but "
            f"has room for {room:,} entries. It is not whole: fetch it again."
        )
    return _Head((rows, columns), rest[0], field == "pattern")


def _declared(file: Path) -> tuple[int, int]:
    """Rows and columns that the head of a matrix declares."""
    with _named(file), _text(file) as text:
        return _read_head(text, file).shape


def _matrix(file: Path) -> sp.coo_matrix:
    """The matrix, its entries checked; `scipy.io.mmread` may crash where a line is damaged."""
    with _named(file), _text(file) as text:
        head = _read_head(text, file)
        if head.entries == 0 and not text.read(_LONGEST_LINE).strip():
            return sp.coo_matrix(head.shape, dtype=np.float64)
        table = pd.read_csv(
            text,
            sep=r"\s+",
            header=None,
            comment="%",
            dtype={0: np.int64, 1: np.int64, 2: np.float64},
            quoting=csv.QUOTE_NONE,
            na_filter=False,
            low_memory=False,
        )
        if table.shape != (head.entries, 2 if head.pattern else 3):
            raise ValueError(f"{head.entries:,} entries are declared, {len(table):,} are there")
        places = table[0].to_numpy() - 1, table[1].to_numpy() - 1
        for each, most in zip(places, head.shape, strict=True):
            if len(each) and not 0 <= each.min() <= each.max() < most:
                raise ValueError("an entry lies outside of the matrix")
        values = np.ones(len(table)) if head.pattern else table[2].to_numpy()
        return sp.coo_matrix((values, places), shape=head.shape)


@contextmanager
def _named(file: Path) -> Iterator[None]:
    """Say of a damaged matrix which file it is."""
    try:
        yield
    except CountsError:
        raise
    except (EOFError, OSError, zlib.error, ValueError, OverflowError) as fault:
        raise CountsError(
            f"{file}: not a whole Matrix Market file ({' '.join(str(fault).split())}). Fetch it "
            "again."
        ) from fault


def _text(file: Path) -> IO[bytes]:
    return gzip.open(file, "rb") if is_gzip(file) else file.open("rb")  # type: ignore[return-value]


def _lines(file: Path) -> list[str]:
    """Lines of a table that are not empty."""
    try:
        text = decoded(read_maybe_gzip(file))
    except (EOFError, OSError, zlib.error, UnicodeDecodeError) as fault:
        raise CountsError(f"{file}: no readable text ({fault}). Fetch it again.") from fault
    return [line for line in split_lines(text) if line.strip()]


def _column(file: Path, column: int) -> list[str]:
    """One column of a table; the empty text where a line is too short."""
    fields = [line.split("\t") for line in _lines(file)]
    return [line[column].strip(" ").strip('"') if column < len(line) else "" for line in fields]


def _matrices(folder: Path) -> list[Path]:
    """Matrices of a folder; hidden files, as macOS leaves them in archives, are none."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.name.endswith((MATRIX, f"{MATRIX}.gz"))
        and not path.name.startswith(".")
        and path.is_file()
    )


def _start(file: Path) -> str:
    """What stands before ``matrix.mtx`` in the name of a file; all, if it is called otherwise."""
    name = file.name.removesuffix(".gz")
    return name.removesuffix(MATRIX) if name.endswith(MATRIX) else name.removesuffix(".mtx")


def _found(folder: Path, start: str, names: Sequence[str]) -> Path | None:
    """A file of a folder, called so with or without .gz."""
    ends = [f"{name}{end}" for name in names for end in ("", ".gz")]
    marks = ("",) if start == "" or start[-1] in "_-." else ("_", "-", ".", "")
    paths = [folder / f"{start}{mark}{end}" for mark in marks for end in ends]
    return next((path for path in paths if path.is_file()), None)


def _beside(file: Path, start: str, names: Sequence[str]) -> Path | None:
    """A file beside a matrix; one of a plain name where there is no other matrix."""
    found = _found(file.parent, start, names)
    if found is None and start and len(list(file.parent.glob("[!.]*.mtx*"))) == 1:
        return _found(file.parent, "", names)
    return found


def _need(file: Path, start: str, names: Sequence[str]) -> Path:
    found = _beside(file, start, names)
    if found is not None:
        return found
    wanted = " or ".join(f"{start}{name}" for name in (names[0], *names[4:]))
    raise CountsError(
        f"{file.parent}: has no {wanted} (nor .gz of it). A 10x folder holds matrix.mtx, "
        f"barcodes.tsv and peaks.bed or features.tsv, all three named alike ({file.name})."
    )
