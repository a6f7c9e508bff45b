"""Looking peaks up in an atlas of genome scale, beside other ways to do the same.

    python benchmarks/lookup.py --json --workdir /somewhere/with/3GB
    python benchmarks/lookup.py --quick --json

The atlas has 2.35 M real intervals and random float16 embeddings of 512 dimensions; 200,000 real
peaks in random order are looked up (how both are made: ``lookup_workload.py``). It is written once
into ``--workdir``, by default a temporary folder. Every figure is the median of rounds in which
the ways take turns, each in a process of its own, on warm files. Times are wall-clock.

``seconds_total``: `Atlas.open`, reading the intervals, building the join's index, and
`Atlas.overlap_mean`, which joins, gathers and reduces to each peak's mean over the rows that it
overlaps, weighted by shared bp; imports are not in it. ``rss_mb`` is the peak memory of that
process, in MB, and ``lookup_seconds`` what `Atlas.lookup` of the same peaks takes after it.
``ratio_vs_reference``: seconds of the plain version over ours. It opens the same arrays with zarr,
joins by the ncls package on one axis (so it has no slow join to bear), gathers each row once with
``oindex`` and averages with pandas; its means must equal ours to 1e-5.
``join_ratio_vs_pyranges``: seconds of making two PyRanges from data frames and joining them over
those of building our index and joining, both from tables in memory; the pairs must be the same.
``gather_fraction_of_memcpy``: seconds of numpy copying the float32 matrix that `Atlas.gather`
returns for every row that a peak overlaps, once, in the order of the atlas, over those of that
gather, the median of five turns a round. The gather reads float16 rows off the disk's cache, checks
the crc32c of every chunk that it touches, and widens them. ``gather_fraction_in_peak_order`` is
the same for the row of every pair, in the random order of the peaks, with repeats.
``faiss_identical``, ``faiss_join_seconds``: the FAISS coordinate index, whether it finds the very
same pairs in the same order, and seconds of its join alone; ``faiss_build_seconds`` of its build.
Bytes from afar, memory of wide peaks, and seconds of 10 M rows: see ``lookup_far.py``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
import pyranges
import zarr
from lookup_far import all_figures
from lookup_workload import FULL, QUICK, Scale, open_or_write, read_tables
from ncls import NCLS
from numpy.typing import NDArray
from provenance import provenance

from peakatlas.atlas import Atlas, FaissCoordinateIndex, OverlapIndex
from peakatlas.engine.intervals.table import Intervals
from peakatlas.engine.run.hardware import peak_memory

T = TypeVar("T")
Figures = dict[str, float]
QUERIES = "queries.npz"
GATHER_TURNS = 5


def save_queries(folder: Path, queries: Intervals) -> None:
    """Keep the queries beside the atlas, for the processes that time."""
    contigs = np.array(queries.contigs)
    np.savez(
        folder / QUERIES,
        contigs=contigs,
        contig_ids=queries.contig_ids,
        start=queries.start,
        end=queries.end,
    )


def load_queries(folder: Path) -> Intervals:
    """The queries that `save_queries` kept."""
    with np.load(folder / QUERIES) as kept:
        return Intervals(
            tuple(map(str, kept["contigs"])), kept["contig_ids"], kept["start"], kept["end"]
        )


def timed(figures: Figures, name: str, work: Callable[[], T]) -> T:
    """Result of `work`; its seconds go into `figures`."""
    began = time.perf_counter()
    result = work()
    figures[name] = time.perf_counter() - began
    return result


def run_ours(path: Path, queries: Intervals, out: Path | None) -> Figures:
    """Open, join, gather, reduce, with this library."""
    figures: Figures = {}
    began = time.perf_counter()
    atlas = Atlas.open(path)
    timed(figures, "index_seconds", lambda: atlas.coordinate_index)
    values = atlas.overlap_mean(queries).values
    figures["seconds_total"] = time.perf_counter() - began
    timed(figures, "lookup_seconds", lambda: atlas.lookup(queries))
    figures["rss_mb"] = peak_memory() / 2**20
    if out is not None:
        np.save(out, values)
    return figures


def run_reference(path: Path, queries: Intervals, out: Path | None) -> Figures:
    """The same with zarr, ncls and pandas."""
    began = time.perf_counter()
    group = zarr.open_group(path / "segment-0000", mode="r")
    contig, start, end = (group[f"intervals/{name}"][:] for name in ("contig", "start", "end"))
    names = group_contigs(path)
    codes = np.array([names.index(name) if name in names else -1 for name in queries.contigs])
    known = np.flatnonzero(codes[queries.contig_ids] >= 0)
    step = int(max(end.max(), queries.end.max())) + 1
    shift, at = contig.astype(np.int64) * step, codes[queries.contig_ids[known]] * step
    tree = NCLS(start + shift, end + shift, np.arange(len(start)))
    query, row = tree.all_overlaps_both(queries.start[known] + at, queries.end[known] + at, known)
    unique, inverse = np.unique(row, return_inverse=True)
    values = group["embedding"].oindex[unique, :].astype(np.float32)[inverse]
    shared = np.minimum(queries.end[query], end[row]) - np.maximum(queries.start[query], start[row])
    weight = pd.Series(shared.astype(np.float32))
    sums = pd.DataFrame(values).mul(weight, axis=0).groupby(query).sum()
    mean = sums.div(weight.groupby(query).sum(), axis=0).reindex(range(len(queries)))
    figures = {"seconds_total": time.perf_counter() - began}
    figures["rss_mb"] = peak_memory() / 2**20
    if out is not None:
        np.save(out, mean.to_numpy(np.float32))
    return figures


def group_contigs(path: Path) -> list[str]:
    """Contigs that the plan of the only segment lists."""
    plan = json.loads((path / "segment-0000" / "plan.json").read_text())
    return list(plan["contigs"])


def run_gather(path: Path, queries: Intervals, _: Path | None) -> Figures:
    """Gather rows, and copy what that returned, in turns."""
    turns: list[Figures] = []
    orders = {"atlas": np.unique, "peak": np.asarray}
    with Atlas.open(path) as atlas:
        rows = atlas.coordinate_index.overlap_pairs(queries).row
        for _turn in range(GATHER_TURNS):
            turns.append({})
            for name, order in orders.items():
                wanted = order(rows)
                values = timed(turns[-1], f"{name}_gather", lambda w=wanted: atlas.gather(w))
                timed(turns[-1], f"{name}_copy", values.copy)
    figures = {name: statistics.median(turn[name] for turn in turns) for name in turns[0]}
    return figures | {
        f"{name}_fraction": statistics.median(
            turn[f"{name}_copy"] / turn[f"{name}_gather"] for turn in turns
        )
        for name in orders
    }


def run_join(path: Path, queries: Intervals, _: Path | None) -> Figures:
    """Three ways to the same pairs."""
    figures: Figures = {}
    with Atlas.open(path) as atlas:
        keys = atlas.intervals
    ours, theirs = (_pyranges_frame(table) for table in (queries, keys))

    def by_pyranges() -> pd.DataFrame:
        return pyranges.PyRanges(ours).join(pyranges.PyRanges(theirs), suffix="_key").df

    index = timed(figures, "ncls_build", lambda: OverlapIndex(keys))
    pairs = timed(figures, "ncls_join", lambda: index.overlap_pairs(queries))
    joined = timed(figures, "pyranges", by_pyranges)
    in_order = joined.sort_values(["row", "row_key"])
    _require_same("pyranges", pairs.query, pairs.row, in_order["row"], in_order["row_key"])
    faiss_index = timed(figures, "faiss_build", lambda: FaissCoordinateIndex(keys))
    found = timed(figures, "faiss_join", lambda: faiss_index.overlap_pairs(queries))
    same = np.array_equal(found.query, pairs.query) and np.array_equal(found.row, pairs.row)
    return figures | {"pairs": len(pairs), "faiss_identical": same}


def _pyranges_frame(table: Intervals) -> pd.DataFrame:
    frame = table.to_frame().set_axis(["Chromosome", "Start", "End"], axis=1)
    return frame.assign(row=np.arange(len(table)))


def _require_same(
    what: str,
    query: NDArray[np.int64],
    row: NDArray[np.int64],
    their_query: pd.Series[int],
    their_row: pd.Series[int],
) -> None:
    if not (np.array_equal(query, their_query) and np.array_equal(row, their_row)):
        raise SystemExit(f"{what} finds other pairs: {len(their_row)} against {len(row)}.")


TASKS = {"ours": run_ours, "reference": run_reference, "gather": run_gather, "join": run_join}


def in_process(task: str, path: Path, out: Path | None = None) -> Figures:
    """Figures of one task, run in a process of its own."""
    command = [sys.executable, __file__, "--task", task, "--atlas", str(path)]
    command += ["--out", str(out)] if out else []
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{task} failed:\n{done.stderr}")
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


def require_equal_means(ours: Path, theirs: Path) -> float:
    """Largest difference of two saved matrices; ends the run if it is above 1e-5."""
    a, b = np.load(ours, mmap_mode="r"), np.load(theirs, mmap_mode="r")
    if not np.array_equal(np.isnan(a[:, 0]), np.isnan(b[:, 0])):
        raise SystemExit("the plain version serves other peaks.")
    worst = 0.0
    for first in range(0, len(a), 4096):
        gap = np.abs(a[first : first + 4096] - b[first : first + 4096])
        worst = max(worst, float(np.nanmax(gap, initial=0.0)))
    if worst > 1e-5:
        raise SystemExit(f"the plain version's means differ by {worst}.")
    return worst


def benchmark(scale: Scale, data: Path, folder: Path) -> dict[str, object]:
    """Run all and return the JSON object to print."""
    began = time.monotonic()
    keys, queries = read_tables(scale, data)
    path = open_or_write(folder, keys, scale.dim)
    save_queries(folder, queries)
    means = folder / "ours.npy", folder / "reference.npy"
    rounds: dict[str, list[Figures]] = {task: [] for task in TASKS}
    for number in range(scale.rounds):
        saved = means if number == 0 else (None, None)
        for (task, figures), out in zip(rounds.items(), (*saved, None, None), strict=True):
            figures.append(in_process(task, path, out))
    difference = require_equal_means(*means)
    for file in means:
        file.unlink()
    return {
        "benchmark": "lookup",
        "keys": len(keys),
        "queries": len(queries),
        "dim": scale.dim,
        "intervals": "real, tiled" if scale.real else "random",
        "rounds": scale.rounds,
        **summary(rounds),
        **all_figures(path, folder, scale),
        "largest_difference": difference,
        "seconds": round(time.monotonic() - began, 1),
        "provenance": provenance(),
    }


def summary(rounds: dict[str, list[Figures]]) -> dict[str, object]:
    """Medians, ratios and what must hold in every round."""

    def median(task: str, name: str) -> float:
        return statistics.median(figures[name] for figures in rounds[task])

    def ratio(upper: Callable[[int], float], lower: Callable[[int], float]) -> float:
        return round(statistics.median(upper(i) / lower(i) for i in range(n)), 3)

    ours, reference, join = (rounds[task] for task in ("ours", "reference", "join"))
    n = len(ours)
    seconds = {
        "seconds_total": median("ours", "seconds_total"),
        "index_seconds": median("ours", "index_seconds"),
        "lookup_seconds": median("ours", "lookup_seconds"),
        "reference_seconds": median("reference", "seconds_total"),
        "gather_seconds": median("gather", "atlas_gather"),
        "copy_seconds": median("gather", "atlas_copy"),
        "ncls_build_seconds": median("join", "ncls_build"),
        "ncls_join_seconds": median("join", "ncls_join"),
        "pyranges_seconds": median("join", "pyranges"),
        "faiss_build_seconds": median("join", "faiss_build"),
        "faiss_join_seconds": median("join", "faiss_join"),
    }
    return {
        **{name: round(value, 4) for name, value in seconds.items()},
        "ratio_vs_reference": ratio(
            lambda i: reference[i]["seconds_total"], lambda i: ours[i]["seconds_total"]
        ),
        "join_ratio_vs_pyranges": ratio(
            lambda i: join[i]["pyranges"], lambda i: join[i]["ncls_build"] + join[i]["ncls_join"]
        ),
        "gather_fraction_of_memcpy": round(median("gather", "atlas_fraction"), 3),
        "gather_fraction_in_peak_order": round(median("gather", "peak_fraction"), 3),
        "faiss_identical": all(figures["faiss_identical"] for figures in join),
        "pairs": int(join[0]["pairs"]),
        "rss_mb": round(max(figures["rss_mb"] for figures in ours), 1),
        "reference_rss_mb": round(median("reference", "rss_mb"), 1),
    }


def main() -> None:
    """Parse the options, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="data folder")
    parser.add_argument("--workdir", type=Path, help="folder that keeps the atlas (2.6 GB)")
    parser.add_argument("--quick", action="store_true", help="a small random atlas, once")
    parser.add_argument("--json", action="store_true", help="print one JSON object only")
    parser.add_argument("--task", choices=list(TASKS), help=argparse.SUPPRESS)
    parser.add_argument("--atlas", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.task:
        print(json.dumps(TASKS[args.task](args.atlas, load_queries(args.atlas.parent), args.out)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.workdir or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        result = benchmark(QUICK if args.quick else FULL, args.data, folder)
    print(json.dumps(result) if args.json else json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
