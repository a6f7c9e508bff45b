"""Folders with matrix.mtx, barcodes.tsv and peaks.bed or features.tsv, as 10x writes them.

Several samples may lie in one folder, each with its own beginning of the three names, as in GEO.
"""

from __future__ import annotations

import gzip
import re
import shutil
import tempfile
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy.io import mmread

from peakatlas.engine.dna.gzip_stream import is_gzip, read_maybe_gzip
from peakatlas.engine.errors import CountsError, IntervalError
from peakatlas.engine.intervals.readers import read_bed

if TYPE_CHECKING:
    from collections.abc import Sequence

MATRIX = "matrix.mtx"
_BARCODES = ("barcodes.tsv",)
_BEDS = ("peaks.bed",)
_FEATURES = ("features.tsv", "genes.tsv", "peaks.tsv", "regions.tsv")
_HEADERS = frozenset({"barcode", "barcodes", "cell", "cells", "cell_id", "x", "v1"})
_LINES = re.compile(r"\r\n|\n|\r")
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
    names = _column(barcodes, 0)
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
    if all(kinds) and kinds and not _numbers(kinds):
        var["feature_types"] = np.asarray(kinds, dtype=object)
    places = [_column(table, column) for column in (3, 4, 5)]
    if all(all(place) for place in places) and _numbers(places[1]) and _numbers(places[2]):
        var["interval"] = [f"{c}:{a}-{b}" for c, a, b in zip(*places, strict=True)]
    return var


def _numbers(texts: Sequence[str]) -> bool:
    return all(text.isdigit() for text in texts)


def _declared(file: Path) -> tuple[int, int]:
    """Rows and columns that the head of a matrix declares.

    Raises
    ------
    CountsError
        If it is no Matrix Market file of counts, or declares more entries than it can hold.
    """
    try:
        with _text(file) as text:
            words = text.readline(_LONGEST_LINE).decode("ascii").lower().split()
            line = b"%"
            while line.startswith(b"%") or line.isspace():
                line = text.readline(_LONGEST_LINE)
        _, _, layout, field, _ = words
        sizes = [int(word) for word in line.decode("ascii").split()]
    except (EOFError, OSError, zlib.error, ValueError) as fault:
        raise _damaged(file, fault) from fault
    if layout != "coordinate":
        raise CountsError(f"{file}: a dense matrix. Write it in the coordinate format.")
    if field == "complex":
        raise CountsError(f"{file}: holds complex numbers, not counts. Give raw counts.")
    room = file.stat().st_size * (_GZIP_TIMES if is_gzip(file) else 1) // _BYTES_AN_ENTRY
    if len(sizes) != 3 or not 0 <= sizes[2] <= room:
        raise CountsError(
            f"{file}: declares {line.decode('ascii').strip()!r} as rows, columns and entries, but "
            f"has room for {room:,} entries. It is not whole: fetch it again."
        )
    return sizes[0], sizes[1]


def _matrix(file: Path) -> sp.coo_matrix:
    """The matrix; SciPy reads a file by its path, since it may crash on streams."""
    try:
        if not is_gzip(file):
            return sp.coo_matrix(mmread(str(file), spmatrix=True))
        with tempfile.NamedTemporaryFile(prefix="peakatlas-", suffix=".mtx") as unpacked:
            with gzip.open(file, "rb") as text:
                shutil.copyfileobj(text, unpacked, 1 << 22)
            unpacked.flush()
            return sp.coo_matrix(mmread(unpacked.name, spmatrix=True))
    except (EOFError, OSError, zlib.error, ValueError, OverflowError) as fault:
        raise _damaged(file, fault) from fault


def _damaged(file: Path, fault: Exception) -> CountsError:
    return CountsError(f"{file}: not a whole Matrix Market file ({fault}). Fetch it again.")


def _text(file: Path) -> IO[bytes]:
    return gzip.open(file, "rb") if is_gzip(file) else file.open("rb")  # type: ignore[return-value]


def _column(file: Path, column: int) -> list[str]:
    """One column of a table; the empty text where a line is too short."""
    try:
        text = read_maybe_gzip(file).decode("utf-8-sig")
    except (EOFError, OSError, zlib.error, UnicodeDecodeError) as fault:
        raise CountsError(f"{file}: no readable text ({fault}). Fetch it again.") from fault
    fields = [line.split("\t") for line in _LINES.split(text) if line.strip()]
    return [line[column].strip().strip('"') if column < len(line) else "" for line in fields]


def _matrices(folder: Path) -> list[Path]:
    names = (MATRIX, f"{MATRIX}.gz")
    return sorted(path for path in folder.iterdir() if path.name.endswith(names) and path.is_file())


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
    if found is None and start and len(list(file.parent.glob("*.mtx*"))) == 1:
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
