"""Accuracy of other annotation tools on the splits of ``annotate.py``, each as its makers have it.

    python benchmarks/peers/run.py --dataset granja2019-10k --peer celltypist --json
    python benchmarks/peers/run.py --dataset schep2017 --peer scanvi --json

Each peer gets a virtual environment of its own (``--environments``, 0.7 to 2 GB each), made from
the pinned ``requirements/``; on a machine without a GPU, let pip find a CPU build of torch first.
A peer sees the counts and labels of the reference and the counts of the query in two h5ad files,
whose cells are numbered; the labels of the query stay with the driver, which scores the answer.

Figures are named as in ``annotate.py``; those of a further variant of the same peer carry its name
(``majority_voting_accuracy``). ``seconds`` is the time of all splits of a repeat with the peer's
start, ``rss_mb`` the peak memory of any.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from annotate_data import Dataset, Split, load_dataset, splits  # noqa: E402
from environment import interpreter, versions  # noqa: E402
from exchange import read_labels, write_side  # noqa: E402
from provenance import provenance  # noqa: E402
from tally import Tally, summary  # noqa: E402

DATASETS = ("granja2019-10k", "schep2017")
"""Those whose reference and query share their peaks: no peer can do without."""


@dataclass(frozen=True, kw_only=True)
class Peer:
    """Another tool."""

    package: str
    """Its name on PyPI."""
    settings: str


PEERS = {
    "celltypist": Peer(
        package="celltypist",
        settings="log1p of 10,000 counts a cell, one-pass logistic regression with its defaults, "
        "best match; majority voting over the query's clusters as a variant (README, 1.7 and "
        "supplemental guidance)",
    ),
    "scmingle": Peer(
        package="scMINGLE",
        settings="predict() with its defaults (README); the explanation that follows is left out",
    ),
    "scanvi": Peer(
        package="scvi-tools",
        settings="reference and query integrated by scVI, 2 layers, 30 dimensions, then scANVI "
        "(tutorial 'Integration and label transfer with Tabula Muris'), on all peaks, for 25 and "
        "12 epochs on Granja and 400 and 25 on Schep",
    ),
}


def ask(
    python: Path, script: Path, sides: tuple[Dataset, Split], seed: int
) -> dict[str, NDArray[np.str_]]:
    """Labels that a peer gives to the query of a split, by variant.

    Parameters
    ----------
    python : Path
        Interpreter of the peer's environment.
    script : Path
        Reads two h5ad files, writes a table of labels.
    sides : Dataset and Split
    seed : int

    Returns
    -------
    dict of str to str array, shape (n_query,)

    Raises
    ------
    SystemExit
        If the peer fails, with the end of what it said.
    """
    dataset, split = sides
    reference, query = split.sides(dataset)
    with tempfile.TemporaryDirectory() as scratch:
        files = [Path(scratch) / name for name in ("reference.h5ad", "query.h5ad", "labels.csv")]
        write_side(reference, files[0], "r", dataset.truth[split.reference])
        write_side(query, files[1], "q", None)
        command = [python, script, *files, "--seed", str(seed)]
        done = subprocess.run(
            command, env=surroundings(Path(scratch)), capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(f"error: {script.name} failed with {done.returncode}:\n{done.stderr[-2000:]}")
        return read_labels(files[2], "q", query.n_obs)


def surroundings(scratch: Path) -> dict[str, str]:
    """Environment variables of a peer: no packages of ours, no windows, no files in the home."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return kept | {"MPLBACKEND": "Agg", "CELLTYPIST_FOLDER": str(scratch / "celltypist")}


def score_repeat(
    python: Path, script: Path, dataset: Dataset, parts: list[Split], seed: int
) -> dict[str, float]:
    """All figures of one repeat of a task."""
    tally = Tally()
    for split in parts:
        started = time.monotonic()
        for variant, labels in ask(python, script, (dataset, split), seed).items():
            tally.add("" if variant == "label" else f"{variant}_", labels)
        tally.spend("seconds", started)
    return tally.scores(np.concatenate([dataset.truth[split.query] for split in parts]))


def benchmark(
    name: str, peer: str, data: Path, environments: Path, seeds: int
) -> dict[str, object]:
    """Run one peer on one data set and return the JSON object to print."""
    where, python = provenance(), interpreter(peer, environments)
    dataset, script = load_dataset(name, data), HERE / f"run_{peer}.py"
    by_task: dict[str, list[dict[str, float]]] = {}
    for seed in range(seeds):
        for task, repeats in splits(name, dataset, seed).items():
            for parts in repeats:
                found = score_repeat(python, script, dataset, parts, seed)
                print(f"{peer} {name} {task} seed {seed}: {json.dumps(found)}", file=sys.stderr)
                by_task.setdefault(task, []).append(found)
    figures = {task: summary(by_seed) for task, by_seed in by_task.items()}
    installed = versions(python)
    command = (
        f"python benchmarks/peers/run.py --dataset {name} --peer {peer} --seeds {seeds} --json"
    )
    return {
        "benchmark": "peers/run",
        "peer": peer,
        "version": installed[PEERS[peer].package],
        "settings": PEERS[peer].settings,
        "dataset": name,
        "cells": dataset.cells.n_obs,
        "peaks": dataset.cells.n_vars,
        "seeds": seeds,
        **(next(iter(figures.values())) if len(figures) == 1 else {"tasks": figures}),
        "rss_mb": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024),
        "provenance": where | {"command": command, "peer_versions": installed},
    }


def main() -> None:
    """Parse the options, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", choices=DATASETS, required=True)
    parser.add_argument("--peer", choices=list(PEERS), required=True)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="data folder")
    parser.add_argument("--environments", type=Path, default=HERE / ".environments")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print one JSON object only")
    args = parser.parse_args()
    result = benchmark(args.dataset, args.peer, args.data, args.environments, args.seeds)
    if args.json:
        print(json.dumps(result))
        return
    for task, figures in result.get("tasks", {args.dataset: result}).items():  # type: ignore[attr-defined]
        print(f"{args.peer} {result['version']}, {task}")
        for key in (key for key in figures if f"{key}_sd" in figures):
            print(f"  {key:32s} {figures[key]:.3f} ± {figures[f'{key}_sd']:.3f}")


if __name__ == "__main__":
    main()
