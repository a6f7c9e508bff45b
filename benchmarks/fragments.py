"""Counting fragments over peaks, beside the plain way with pandas.

    python benchmarks/fragments.py --json
    python benchmarks/fragments.py --quick --json

A fragments file of 3 million made-up fragments on 22 contigs is written once, compressed as people
have it (gzip, sorted, 16-letter barcodes): 8,000 cells hold nine tenths of them, 300,000 other
barcodes the rest, and half of the fragments begin near one of 176,000 peaks. Every figure is the
median of rounds in which the two ways take turns, each in a process of its own, on a warm file.

``fragments_per_second_per_core``: fragments over seconds of processor time, all threads together,
of `count_fragments` from the file's name to the AnnData in memory, decompression included, imports
not. ``rss_mb`` is the peak memory of that process, in MB; ``rss_of_imports_mb`` what it had before.
``ratio_vs_pandas``: processor seconds of the plain way over ours. It reads the file with
``pandas.read_csv`` in chunks of a million lines, codes the barcodes with ``factorize``, finds the
peaks with numpy's ``searchsorted`` (the peaks do not overlap) and sums with scipy; its matrix must
equal ours.
"""

from __future__ import annotations

import argparse
import gzip
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
from provenance import provenance

from peakatlas.classifier.counts.fragment_counts import FragmentOptions, count_fragments
from peakatlas.engine.intervals.readers import read_bed
from peakatlas.engine.run.hardware import peak_memory

Figures = dict[str, float]
MIN_FRAGMENTS = 20
PEAK_BP = 600
CHUNK_LINES = 1_000_000


@dataclass(frozen=True)
class Scale:
    """How much is counted, and how often."""

    fragments: int
    peaks: int
    cells: int
    others: int
    rounds: int


FULL = Scale(fragments=3_000_000, peaks=176_000, cells=8_000, others=300_000, rounds=5)
QUICK = Scale(fragments=20_000, peaks=2_000, cells=50, others=500, rounds=1)
N_CONTIGS = 22


def write_inputs(folder: Path, scale: Scale) -> None:
    """Write ``fragments.tsv.gz`` and ``peaks.bed``."""
    rng = np.random.default_rng(0)
    letters = rng.choice(list("ACGT"), (scale.cells + scale.others, 16))
    barcodes = [f"{''.join(row)}-1" for row in letters]
    n_peaks, n = scale.peaks // N_CONTIGS, scale.fragments // N_CONTIGS
    with (
        gzip.open(folder / "fragments.tsv.gz", "wb", compresslevel=4) as fragments,
        (folder / "peaks.bed").open("w") as bed,
    ):
        fragments.write(b"# made up\n")
        for chrom in sorted(f"chr{i + 1}" for i in range(N_CONTIGS)):
            peaks = np.sort(rng.choice(200_000, n_peaks, replace=False)) * 1000
            bed.writelines(f"{chrom}\t{at}\t{at + PEAK_BP}\n" for at in peaks.tolist())
            near = peaks[rng.integers(0, n_peaks, n)] + rng.integers(0, PEAK_BP, n)
            start = np.sort(np.where(rng.random(n) < 0.5, near, rng.integers(0, 200_000_000, n)))
            end = start + rng.integers(30, 500, n)
            is_cell = rng.random(n) < 0.9
            other = scale.cells + rng.integers(0, scale.others, n)
            cell = np.where(is_cell, rng.integers(0, scale.cells, n), other)
            rows = zip(start.tolist(), end.tolist(), cell.tolist(), strict=True)
            lines = "".join(f"{chrom}\t{a}\t{b}\t{barcodes[c]}\t1\n" for a, b, c in rows)
            fragments.write(lines.encode())


def ours(folder: Path) -> ad.AnnData:
    """Counts by peakatlas."""
    return count_fragments(
        [folder / "fragments.tsv.gz"],
        read_bed(folder / "peaks.bed"),
        options=FragmentOptions(min_fragments=MIN_FRAGMENTS),
    )


def plain(folder: Path) -> ad.AnnData:
    """The same counts by pandas, numpy and scipy."""
    names = ["chrom", "start", "end", "barcode"]
    peaks = pd.read_csv(folder / "peaks.bed", sep="\t", names=names[:3])
    of_contig = dict(iter(peaks.groupby("chrom", sort=False)))
    depth = pd.Series(dtype=np.int64)
    parts = []
    chunks = pd.read_csv(
        folder / "fragments.tsv.gz", sep="\t", names=names, usecols=range(4), comment="#",
        chunksize=CHUNK_LINES,
    )  # fmt: skip
    for chunk in chunks:
        depth = depth.add(chunk["barcode"].value_counts(), fill_value=0)
        for chrom, part in chunk.groupby("chrom", sort=False):
            table = of_contig[chrom]
            for site in (part["start"].to_numpy(), part["end"].to_numpy() - 1):
                at = np.searchsorted(table["start"].to_numpy(), site, side="right") - 1
                inside = (at >= 0) & (site < table["end"].to_numpy()[at])
                rows = table.index.to_numpy()[at[inside]]
                parts.append(pd.DataFrame({"cell": part["barcode"][inside], "peak": rows}))
    pairs = pd.concat(parts)
    cells = depth.index[depth >= MIN_FRAGMENTS]
    code = cells.get_indexer(pd.Index(pairs["cell"]))
    kept = code >= 0
    entries = (np.ones(kept.sum(), np.int32), (code[kept], pairs["peak"].to_numpy()[kept]))
    matrix = sp.csr_matrix(entries, shape=(len(cells), len(peaks)))
    return ad.AnnData(matrix, obs=pd.DataFrame(index=cells))


WAYS: dict[str, Callable[[Path], ad.AnnData]] = {"ours": ours, "plain": plain}


def measure(way: str, folder: Path) -> Figures:
    """Count once, in this process; leaves the counts in the folder."""
    before, began = peak_memory() / 2**20, time.process_time()
    clock = time.monotonic()
    counted = WAYS[way](folder)
    seconds, wall = time.process_time() - began, time.monotonic() - clock
    figures = {
        "cpu_s": seconds,
        "wall_s": wall,
        "rss_mb": peak_memory() / 2**20,
        "imports_mb": before,
    }
    counted.write_h5ad(folder / f"{way}.h5ad")
    return figures


def benchmark(scale: Scale, folder: Path) -> dict[str, object]:
    """Measure both ways in turn; their counts must be the same."""
    write_inputs(folder, scale)
    rounds: dict[str, list[Figures]] = {way: [] for way in WAYS}
    for _ in range(scale.rounds):
        for way, figures in rounds.items():
            command = [sys.executable, __file__, "--way", way, "--workdir", str(folder)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            figures.append(json.loads(done.stdout.splitlines()[-1]))
    counts = {way: ad.read_h5ad(folder / f"{way}.h5ad") for way in WAYS}
    require_equal(**counts)

    def median(way: str, name: str) -> float:
        return statistics.median(figures[name] for figures in rounds[way])

    n = scale.fragments // N_CONTIGS * N_CONTIGS
    ratios = [b["cpu_s"] / a["cpu_s"] for a, b in zip(*rounds.values(), strict=True)]
    return {
        "benchmark": "fragments",
        "fragments": n,
        "peaks": counts["ours"].n_vars,
        "cells": counts["ours"].n_obs,
        "counts": int(counts["ours"].X.sum()),
        "file_mb": round((folder / "fragments.tsv.gz").stat().st_size / 1e6, 1),
        "rounds": scale.rounds,
        "fragments_per_second_per_core": round(n / median("ours", "cpu_s")),
        "ratio_vs_pandas": round(statistics.median(ratios), 2),
        "seconds": round(median("ours", "wall_s"), 3),
        "pandas_seconds": round(median("plain", "wall_s"), 3),
        "rss_mb": round(median("ours", "rss_mb"), 1),
        "rss_of_imports_mb": round(median("ours", "imports_mb"), 1),
        "pandas_rss_mb": round(median("plain", "rss_mb"), 1),
        "provenance": provenance(),
    }


def require_equal(ours: ad.AnnData, plain: ad.AnnData) -> None:
    """Stop unless both ways kept the same cells and counted the same."""
    if set(ours.obs_names) != set(plain.obs_names):
        raise SystemExit("the two ways kept different cells")
    if (ours.X != plain[ours.obs_names].X).nnz:
        raise SystemExit("the two ways counted differently")


def main() -> None:
    """Parse the options, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", type=Path, help="folder for the files (60 MB)")
    parser.add_argument("--quick", action="store_true", help="a small file, once")
    parser.add_argument("--json", action="store_true", help="print one JSON object only")
    parser.add_argument("--way", choices=list(WAYS), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.way:
        print(json.dumps(measure(args.way, args.workdir)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.workdir or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        result = benchmark(QUICK if args.quick else FULL, folder)
    print(json.dumps(result) if args.json else json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
