"""Damaged and hostile files of counts: an error of peakatlas or the right answer, no crash.

``PEAKATLAS_FUZZ_SECONDS`` is how long all of it may take, 8 s if not set; each kind gets the same
share. Inputs are made from seeds; files are read in a process of their own, whose death is a
finding. What is read is compared with a plain reader of a few lines.
"""

from __future__ import annotations

import multiprocessing
import os
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.io import mmwrite

from peakatlas.classifier.counts.matrix import read_counts
from peakatlas.classifier.counts.written import fresh_copy, rehearse
from peakatlas.engine.errors import PeakAtlasError

ALL_SECONDS = float(os.environ.get("PEAKATLAS_FUZZ_SECONDS", "8"))
BATCH = 20
LIMIT_S = 30
"""After which a file counts as one without an answer: HDF5 1.14 does not return from some damaged
B-trees. All else is a fault."""
VALUES = np.random.default_rng(5).poisson(0.7, (6, 5)).astype(np.int32)
NAMES = [f"chr{1 + i % 2}:{100 * i}-{100 * i + 50}" for i in range(5)]
CELLS = [f"C{i}-1" for i in range(6)]
Found = dict[tuple[str, str], float]


def cells(values: object) -> ad.AnnData:
    obs = pd.DataFrame({"type": pd.Categorical(list("aabbab")), "n": range(6)}, index=CELLS)
    var = pd.DataFrame({"gc": np.linspace(0, 1, 5)}, index=NAMES)
    made = ad.AnnData(values, obs=obs, var=var)
    made.raw = made
    made.layers["more"] = sp.csc_matrix(VALUES)
    made.obsp["near"] = sp.eye(6, format="csr")
    made.uns["note"] = {"a": np.arange(3)}
    return made


def h5ad(values: object) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        cells(values).write_h5ad(folder / "given.h5ad")
        return folder / "given.h5ad"

    return make


def tenx(folder: Path) -> Path:
    matrix = sp.csr_matrix(VALUES)
    with h5py.File(folder / "given.h5", "w") as file:
        group = file.create_group("matrix")
        group["barcodes"] = np.array(CELLS, "S")
        for name in ("data", "indices", "indptr"):
            group[name] = getattr(matrix, name)
        group["shape"] = [5, 6]
        group["features/id"] = np.array(NAMES, "S")
        group["features/feature_type"] = np.array(["Peaks"] * 5, "S")
    return folder / "given.h5"


def mtx(folder: Path) -> Path:
    mmwrite(folder / "matrix.mtx", sp.coo_matrix(VALUES.T))
    (folder / "barcodes.tsv").write_text("".join(f"{name}\n" for name in CELLS))
    (folder / "features.tsv").write_text("".join(f"{n}\t{n}\tPeaks\n" for n in NAMES))
    return folder / "matrix.mtx"


KINDS = {
    "h5ad, csr": h5ad(sp.csr_matrix(VALUES)),
    "h5ad, csc": h5ad(sp.csc_matrix(VALUES)),
    "h5ad, dense": h5ad(VALUES),
    "10x h5": tenx,
    "mtx": mtx,
}


def change_bytes(path: Path, rng: np.random.Generator) -> None:
    """Flip, cut, repeat or insert some bytes of a file."""
    data = bytearray(path.read_bytes())
    for _ in range(rng.integers(1, 6)):
        at, length = int(rng.integers(len(data) + 1)), int(rng.integers(1, 9))
        what = rng.integers(6)
        if what < 3 and at < len(data):
            data[at] = int(rng.integers(256)) if what else data[at] ^ (1 << rng.integers(8))
        elif what == 3:
            del data[at : at + length]
        elif what == 4:
            data[at:at] = data[at : at + length]
        else:
            data[at:at] = rng.bytes(length)
    if rng.random() < 0.05:
        del data[int(rng.integers(len(data) + 1)) :]
    path.write_bytes(data)


def change_text(path: Path, rng: np.random.Generator) -> None:
    """Change words of a text, where bytes would rarely make another that is read."""
    words = ["0", "-1", "1", "5", "6", "7", "99999999999999999999", "1.5", "nan", "", "%", "\n"]
    words += ["\t", " ", "real", "pattern", "symmetric", "array", "complex", "\r", "\ufeff", "1e3"]
    for _ in range(rng.integers(1, 4)):
        text = path.read_text(errors="replace")
        parts = [part for part in text.replace("\n", " \n ").split(" ") if part != ""]
        parts[int(rng.integers(len(parts)))] = str(rng.choice(words))
        path.write_text(" ".join(parts).replace(" \n ", "\n"))


def change_members(path: Path, rng: np.random.Generator) -> None:
    """Change values, type, shape or name of a member of an HDF5 file, or an attribute."""
    with h5py.File(path, "r+") as file:
        names: list[str] = []
        file.visit(names.append)
        name = str(rng.choice(names))
        item = file[name]
        what = rng.integers(6)
        if what == 0:
            del file[name]
        elif what == 1 and list(item.attrs):
            change_attribute(item, rng)
        elif what == 2:
            file.move(name, f"{name}x")
        elif isinstance(item, h5py.Dataset) and item.shape and item.size:
            change_dataset(file, name, rng)


def change_attribute(item: h5py.Group | h5py.Dataset, rng: np.random.Generator) -> None:
    key = str(rng.choice(list(item.attrs)))
    values = ["csr_matrix", "csc_matrix", "array", "dataframe", "dict", "", 5, [3, 2], [1 << 40, 5]]
    values += [[0, 0], [-1, 5], "categorical", "nullable-integer", "string-array", b"\xff", [5, 6]]
    if rng.random() < 0.2:
        del item.attrs[key]
    else:
        item.attrs[key] = values[int(rng.integers(len(values)))]


def change_dataset(file: h5py.File, name: str, rng: np.random.Generator) -> None:
    values = file[name][...]
    if rng.random() < 0.4 or values.dtype.kind not in "iuf":
        values = values[: int(rng.integers(len(values) + 1))]
        if rng.random() < 0.3:
            values = np.concatenate([values, values])
    elif rng.random() < 0.3:
        values = values.astype(str(rng.choice(["u8", "f4", "i1", "u4", "S3", "f2", "c8", "i8"])))
    else:
        pool = [-1, 0, 1, 2, 5, 6, 7, 1 << 31, (1 << 62) + 1, -(1 << 40), np.nan, np.inf, 0.5]
        at = tuple(int(rng.integers(n)) for n in values.shape)
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            values = values.copy()
            values[at] = np.asarray(pool[int(rng.integers(len(pool)))]).astype(values.dtype)
    del file[name]
    file[name] = values


def change(kind: str, path: Path, rng: np.random.Generator) -> None:
    if kind == "mtx":
        path = path.with_name(str(rng.choice(["matrix.mtx", "barcodes.tsv", "features.tsv"])))
        change_text(path, rng) if rng.random() < 0.6 else change_bytes(path, rng)
    elif rng.random() < 0.6:
        for _ in range(rng.integers(1, 3)):
            change_members(path, rng)
    else:
        change_bytes(path, rng)


def plain_mtx(path: Path) -> Found:
    """Counts by names of cell and peak, read line by line."""
    barcodes, features = (
        [line.split("\t") for line in lines_of(path.with_name(name)) if line.strip()]
        for name in ("barcodes.tsv", "features.tsv")
    )
    peaks = {
        row
        for row, words in enumerate(features)
        if words[2:] and words[2].strip(" ").lower() in ("peaks", "peak", "atac")
    } or set(range(len(features)))
    lines = [line for line in path.read_text().splitlines() if line.strip()]
    pattern = lines[0].lower().split()[3] == "pattern"
    entries = [line.split() for line in lines[1:] if not line.startswith("%")]
    turned = int(entries[0][0]) != len(features)
    found: Found = Counter()
    for words in entries[1:]:
        row, column = int(words[0]) - 1, int(words[1]) - 1
        peak, cell = (column, row) if turned else (row, column)
        if peak in peaks:
            key = tuple(
                names[0].strip(" ").strip('"') for names in (barcodes[cell], features[peak])
            )
            found[key] += 1 if pattern else float(words[2])
    return {key: value for key, value in found.items() if value}


def lines_of(path: Path) -> list[str]:
    return path.read_text("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n").split("\n")


def plain_hdf5(path: Path) -> Found:
    """The same of X of an h5ad, or of a 10x matrix."""
    with h5py.File(path, "r") as file:
        if "matrix" in file:
            group, cells_, peaks = (
                file["matrix"],
                file["matrix/barcodes"],
                file["matrix/features/id"],
            )
            row_wise = True
        else:
            group = file["X"]
            cells_, peaks = (file[n][file[n].attrs["_index"]] for n in ("obs", "var"))
            row_wise = "csr" in str(group.attrs.get("encoding-type"))
        cells_, peaks = (list(names.asstr()[:]) for names in (cells_, peaks))
        if isinstance(group, h5py.Dataset):
            places = [(i, j, group[i, j]) for i in range(len(cells_)) for j in range(len(peaks))]
        else:
            places = list(entries_of(group, row_wise))
    found: Found = Counter()
    for row, column, value in places:
        found[cells_[row], peaks[column]] += float(value)
    return {key: value for key, value in found.items() if value}


def entries_of(group: h5py.Group, row_wise: bool) -> Iterator[tuple[int, int, float]]:
    ends, indices, data = (group[name][:] for name in ("indptr", "indices", "data"))
    for major in range(len(ends) - 1):
        for at in range(int(ends[major]), int(ends[major + 1])):
            minor = int(indices[at])
            yield (major, minor, data[at]) if row_wise else (minor, major, data[at])


def outcome(kind: str, path: Path) -> str:
    """What became of a file: ``refused``, ``right``, or a fault in words."""
    try:
        counts = read_counts(path)
        copy = fresh_copy(counts.adata)
        rehearse(copy, counts.source)
    except PeakAtlasError:
        return "refused"
    except BaseException as error:
        return f"{type(error).__name__}: {error}"[:300]
    rows, columns = counts.matrix.nonzero()
    names = counts.adata.var_names
    found = {
        (counts.obs.index[i], names[j]): float(counts.matrix[i, j])
        for i, j in zip(rows, columns, strict=True)
    }
    try:
        expected = (plain_mtx if kind == "mtx" else plain_hdf5)(path)
    except Exception as error:
        return f"read, though a plain reader cannot: {type(error).__name__}: {error}"[:300]
    return "right" if found == expected else f"wrong: {found} is not {expected}"[:300]


def work(kind: str, folder: Path, seeds: range, reply: object) -> None:
    """Read changed files, a seed each; tell each before and after."""
    warnings.simplefilter("ignore")
    made = KINDS[kind](folder)
    whole = {path: path.read_bytes() for path in folder.iterdir()}
    for seed in seeds:
        for path, data in whole.items():
            path.write_bytes(data)
        try:
            change(kind, made, np.random.default_rng(seed))
        except Exception:  # two changes may hinder each other
            reply.send((seed, "not made"))  # type: ignore[attr-defined]
            continue
        reply.send((seed, outcome(kind, made)))  # type: ignore[attr-defined]


def tried(kind: str, folder: Path, seeds: range) -> dict[int, str]:
    """Outcome of each seed; a death of the process is the outcome of the one after the last."""
    context = multiprocessing.get_context("fork")
    mine, theirs = context.Pipe()
    worker = context.Process(target=work, args=(kind, folder, seeds, theirs))
    worker.start()
    theirs.close()
    found: dict[int, str] = {}
    try:
        while mine.poll(LIMIT_S):
            seed, text = mine.recv()
            found[seed] = text
        found[seeds[len(found)]] = "no answer"
        worker.kill()
    except EOFError:
        worker.join()
        if len(found) < len(seeds):
            found[seeds[len(found)]] = f"the process ended with {worker.exitcode}"
    worker.join()
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_changed_files_are_refused_or_right(kind, tmp_path, capsys):
    counted: Counter[str] = Counter()
    faults: dict[int, str] = {}
    stop, start = (
        time.monotonic() + ALL_SECONDS / len(KINDS),
        int(os.environ.get("PEAKATLAS_FUZZ_SEED", "0")),
    )
    while time.monotonic() < stop:
        found = tried(kind, tmp_path, range(start, start + BATCH))
        start = max(found) + 1
        counted.update(text if len(text) < 10 else "fault" for text in found.values())
        faults |= {seed: text for seed, text in found.items() if len(text) >= 10}
    with capsys.disabled():
        print(f"\n{kind}: {sum(counted.values()):,} files, {dict(counted)}")
    assert not faults
    assert counted["refused"] and counted["right"]
