"""Time and memory of annotating many cells over many peaks, from file to file.

    python benchmarks/scale.py --json
    python benchmarks/scale.py --cells 1000000 --json

Real cells, tiled: cells of one donor of Granja et al. 2019 (doi:10.1038/s41587-019-0332-7; 10,000
peaks) are drawn with replacement, and each of their counts is written several times into copies
of its peak drawn by chance from `--peaks` / 10,000 (`--copies`). Depth is thereby simulated (some
430 open peaks a cell, where a whole genome has several thousand); who is open with whom is real.
The peaks are real intervals (an even choice of 1.36 M hg38 cCREs), whose DNA is not read. The
bundle is trained on 4,000 tiled cells of the other donor.

Each size is one run of ``peakatlas annotate`` with a report, in a process of its own: ``seconds``
are those of the whole process, reading and writing included, ``cpu_seconds`` those that it computed
on any core, ``peak_rss_mb`` is its largest resident memory. ``accuracy`` is that of the likeliest
types, and must be the same at each size. It falls as ``--peaks`` rises, for a count of the
reference and one of the query then seldom meet in the same copy of their peak. ``--reference`` and
``--copies`` make the reference larger and all cells deeper; ``--cells`` may be empty.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata.io import sparse_dataset, write_elem
from numpy.typing import NDArray
from provenance import provenance

CELLS = (10_000, 50_000, 100_000)
REFERENCE_CELLS = 4_000
COPIES = 3
BLOCK = 20_000
FEWEST = 5
"""Cells of each type that are drawn first, so that a small reference has them all."""
LABELS = "cell_type"
CELLS_FILE = "granja2019/granja2019_bmmc_10kpeaks.h5ad"
PEAKS_FILE = "intervals/hg38_cCRE_1.36M.bed.gz"


def tiled(
    cells: sp.csr_matrix, n_peaks: int, n_copies: int, rng: np.random.Generator
) -> sp.csr_matrix:
    """Each count written `n_copies` times into copies of its peak drawn by chance.

    Parameters
    ----------
    cells : csr_matrix, shape (n_cells, n_source_peaks)
    n_peaks : int
        A multiple of the source's peaks.
    n_copies : int
    rng : Generator
    """
    row = np.repeat(np.arange(cells.shape[0]), np.diff(cells.indptr))
    copies = n_peaks // cells.shape[1]
    columns = [
        cells.indices + cells.shape[1] * rng.integers(copies, size=cells.nnz)
        for _ in range(n_copies)
    ]
    where = (np.tile(row, n_copies), np.concatenate(columns))
    values = np.tile(cells.data, n_copies).astype(np.float32)
    return sp.csr_matrix((values, where), shape=(cells.shape[0], n_peaks))


def write_tiled(
    source: ad.AnnData, peaks: pd.DataFrame, n_cells: int, path: Path, *, n_copies: int, seed: int
) -> NDArray[np.str_]:
    """Write tiled cells block by block, and give their types.

    Parameters
    ----------
    source : AnnData
        Real cells with ``obs["cell_type"]``.
    peaks : DataFrame, length n_peaks
        Becomes `var`.
    n_cells : int
    path : Path
        Of the h5ad.
    n_copies : int
        Times that each count is written.
    seed : int
        Of the draw.
    """
    rng = np.random.default_rng(seed)
    own = source.obs[LABELS].to_numpy().astype(np.str_)
    few = [rng.choice(np.flatnonzero(own == name), FEWEST) for name in np.unique(own)]
    rows = np.concatenate([*few, rng.integers(source.n_obs, size=n_cells)])[:n_cells]
    counts = sp.csr_matrix(source.X)
    for start in range(0, n_cells, BLOCK):
        block = tiled(counts[rows[start : start + BLOCK]], len(peaks), n_copies, rng)
        if start == 0:
            ad.AnnData(block, var=peaks).write_h5ad(path)
            continue
        with h5py.File(path, "a") as file:
            sparse_dataset(file["X"]).append(block)
    types = own[rows]
    obs = pd.DataFrame({LABELS: pd.Categorical(types)}, index=[f"cell{i}" for i in range(n_cells)])
    with h5py.File(path, "a") as file:
        del file["obs"]
        write_elem(file, "obs", obs)
    return types


def peak_table(path: Path, n_peaks: int) -> pd.DataFrame:
    """An even choice of the intervals of a BED file."""
    table = pd.read_csv(path, sep="\t", header=None, usecols=[0, 1, 2])
    table.columns = pd.Index(["chrom", "start", "end"])
    chosen = table.iloc[np.linspace(0, len(table) - 1, n_peaks).astype(np.int64)]
    names = [f"{c}:{s}-{e}" for c, s, e in chosen.itertuples(index=False)]
    return chosen.set_index(pd.Index(names))


def command(*words: str | Path) -> dict[str, float]:
    """Run a command of peakatlas in a process of its own: seconds, and peak memory in MB."""
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "peakatlas", *map(str, words)], stdout=sys.stderr
    )
    _, status, used = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"error: peakatlas {words[0]} ended with {os.waitstatus_to_exitcode(status)}.")
    seconds = time.monotonic() - started
    return {
        "seconds": round(seconds, 1),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
        "peak_rss_mb": round(used.ru_maxrss / 1024),
    }


def measure(
    source: ad.AnnData, peaks: pd.DataFrame, n_cells: int, n_copies: int, scratch: Path
) -> dict[str, float]:
    """Annotate so many tiled cells by ``bundle`` in the folder."""
    query, out, bundle = (scratch / name for name in ("query.h5ad", "annotated.h5ad", "bundle"))
    types = write_tiled(source, peaks, n_cells, query, n_copies=n_copies, seed=1)
    with h5py.File(query, "r") as file:
        n_counts = file["X/data"].shape[0]
    report = scratch / "report.html"
    used = command("annotate", query, "--bundle", bundle, "-o", out, "--report", report)
    with h5py.File(out, "r") as file:
        best = ad.io.read_elem(file["obs"])["peakatlas_best"].to_numpy().astype(np.str_)
    return {
        "cells": n_cells,
        "peaks": len(peaks),
        "open_peaks_a_cell": round(n_counts / n_cells),
        **used,
        "cells_per_cpu_second": round(n_cells / used["cpu_seconds"]),
        "accuracy": round(float(np.mean(best == types)), 4),
        "report_mb": round(report.stat().st_size / 1e6, 2),
    }


def benchmark(args: argparse.Namespace) -> dict[str, object]:
    """Run all sizes and return the JSON object to print."""
    where, data, n_peaks = provenance(), args.data, args.peaks
    for name in (CELLS_FILE, PEAKS_FILE):
        if not (data / name).exists():
            sys.exit(f"error: {data / name} does not exist. Say where the data are with --data.")
    cells = ad.read_h5ad(data / CELLS_FILE)
    if n_peaks % cells.n_vars:
        sys.exit(f"error: --peaks {n_peaks} is not a multiple of {cells.n_vars}.")
    first = (cells.obs["batch"] == "BMMC_D6T1").to_numpy()
    peaks = peak_table(data / PEAKS_FILE, n_peaks)
    with tempfile.TemporaryDirectory() as folder:
        scratch, runs = Path(folder), []
        reference, bundle = scratch / "reference.h5ad", scratch / "bundle"
        write_tiled(cells[first], peaks, args.reference, reference, n_copies=args.copies, seed=0)
        trained = command("train", reference, "--labels", LABELS, "-o", bundle)
        print(json.dumps(trained), file=sys.stderr)
        for n_cells in args.cells:
            runs.append(measure(cells[~first], peaks, n_cells, args.copies, scratch))
            print(json.dumps(runs[-1]), file=sys.stderr)
    return {
        "benchmark": "scale",
        "data": "tiled",
        "reference_cells": args.reference,
        "reference_peaks": n_peaks,
        "copies_a_count": args.copies,
        **{f"train_{name}": value for name, value in trained.items()},
        "tasks": {f"{run['cells']:,} cells": run for run in runs},
        "provenance": where,
    }


def main() -> None:
    """Parse the options, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="data folder")
    parser.add_argument("--cells", type=int, nargs="*", default=list(CELLS), help="sizes to run")
    parser.add_argument("--peaks", type=int, default=500_000, help="a multiple of 10,000")
    parser.add_argument("--reference", type=int, default=REFERENCE_CELLS, help="reference cells")
    parser.add_argument("--copies", type=int, default=COPIES, help="times each count is written")
    parser.add_argument("--json", action="store_true", help="print one JSON object only")
    args = parser.parse_args()
    result = benchmark(args)
    if args.json:
        print(json.dumps(result))
    else:
        print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
