"""Other methods on the core tasks of ``annotate.py``: the alignment network alone, and CellTypist.

    python benchmarks/annotate_others.py --methods network
    python benchmarks/annotate_others.py --methods celltypist --environments ENVIRONMENTS

Each answer is a file in ``others/`` of the cache, which ``annotate.py`` adds to the row of the
same task. CellTypist runs in an environment of its own (see ``peers/run.py``), best match only.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from annotate_rows import Row, agreement
from annotate_tasks import CORE_SETS, CORE_VARIANTS, Task, changed_tasks, plain_tasks, smaller
from numpy.typing import NDArray

from peakatlas.classifier.training.labeller import LabellerOptions, label

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE / "peers"))

FOLDER = "others"
METHODS = ("network", "celltypist")
KEYS = ["set", "pair", "variant", "seed"]


def with_others(table: pd.DataFrame, cache: Path) -> pd.DataFrame:
    """Rows with the columns of other methods, where these were run on the same task."""
    for method in METHODS:
        paths = sorted((cache / FOLDER).glob(f"*-{method}.json"))
        if paths:
            rows = pd.DataFrame([json.loads(path.read_text()) for path in paths])
            table = table.merge(rows, on=KEYS, how="left")
    return table


def core_tasks(args: argparse.Namespace) -> Iterator[Task]:
    """Tasks of the core means, as ``annotate.py`` makes them."""
    for name in args.sets:
        for plain in plain_tasks(name, args.data, args.seed):
            for variant in args.variants:
                yield changed_tasks(smaller(plain, args.cells), variant)


def network(task: Task, _: argparse.Namespace) -> NDArray[np.str_]:
    """Labels by the alignment network as the one member."""
    return label(task.reference, task.query, options=LabellerOptions(members=("network",))).labels


def celltypist(task: Task, args: argparse.Namespace) -> NDArray[np.str_]:
    """Best match of CellTypist, trained on the reference."""
    from environment import interpreter  # noqa: PLC0415 - of the folder of peers
    from exchange import read_labels, write_side  # noqa: PLC0415
    from run import surroundings  # noqa: PLC0415

    python = interpreter("celltypist", args.environments)
    with tempfile.TemporaryDirectory() as scratch:
        files = [Path(scratch) / name for name in ("reference.h5ad", "query.h5ad", "labels.csv")]
        write_side(ad.AnnData(task.reference.counts), files[0], "r", task.reference.labels)
        write_side(ad.AnnData(task.query.counts), files[1], "q", None)
        script = HERE / "peers" / "run_celltypist.py"
        command = [python, script, *files, "--seed", str(task.seed), "--plain"]
        subprocess.run(command, env=surroundings(Path(scratch)), check=True, stdout=sys.stderr)
        return read_labels(files[2], "q", task.query.n_cells)["label"]


def main() -> None:
    """Parse the options, run what is not in the cache."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--sets", nargs="+", choices=CORE_SETS, default=list(CORE_SETS))
    parser.add_argument("--variants", nargs="+", choices=CORE_VARIANTS, default=list(CORE_VARIANTS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cells", type=int, default=3000, help="at most this many on either side")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="data folder")
    parser.add_argument("--cache", type=Path, default=Path("build/annotate"), help="finished rows")
    parser.add_argument("--environments", type=Path, default=HERE / "peers" / ".environments")
    args = parser.parse_args()
    (args.cache / FOLDER).mkdir(parents=True, exist_ok=True)
    for task in core_tasks(args):
        for method in args.methods:
            key = "-".join([task.set, task.pair.replace(">", "_to_"), task.variant, str(task.seed)])
            path = args.cache / FOLDER / f"{key}-{method}.json"
            if path.exists():
                continue
            row: Row = {name: getattr(task, name) for name in KEYS}
            row |= agreement(task.truth, RUN[method](task, args), f"{method}_")
            path.write_text(json.dumps(row))
            print(key, method, row[f"{method}_accuracy"], file=sys.stderr, flush=True)


RUN = {"network": network, "celltypist": celltypist}

if __name__ == "__main__":
    main()
