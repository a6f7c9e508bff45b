"""Accuracy of label transfer on development sets: the labeller, its members, linear baseline.

    python benchmarks/annotate.py --json > benchmarks/results/annotate.json
    python benchmarks/annotate.py --sets forebrain bm0828 --variants plain shifted --seeds 1

The data folder (``--data``) is not part of the repository; its files are public:
Granja et al. 2019 (doi:10.1038/s41587-019-0332-7), Buenrostro et al. 2018
(doi:10.1016/j.cell.2018.03.074), Preissl et al. 2018 (doi:10.1038/s41593-018-0079-3) and
Schep et al. 2017 (doi:10.1038/nmeth.4401).

Sets and pairs: ``granja2019`` one batch against the other, both ways; ``bm0828`` and
``forebrain`` random halves, both ways; ``schep2017`` 5 folds; ``granja_bm0828`` two laboratories
with their own peaks, matched by overlap, both ways, types by `annotate_tasks.COMMON_NAMES`;
``schep2017_shared`` half of the cells against the other half with 0 to 60 % of the peaks in common,
and the same with embeddings permuted over peaks.

Variants of a query: ``plain``; ``thin25`` a quarter of its reads; ``few_types`` three types;
``many_types_missing`` half of them; ``n60`` 60 cells; ``shifted`` and ``own_peaks`` peaks of
another caller. ``novelty`` leaves each type out of the reference in turn.

Every cell gets a label here; F1 is averaged over the types that the query shows. ``ece`` is the
expected calibration error of the confidence (15 bins; for 60 cells about 0.1 is noise),
``ece_by_type_max`` the largest among types that at least 20 cells were given, ``coverage`` the
share of cells of known types whose set (alpha 0.1) holds their own. ``linear_*`` is TF-IDF with
class-balanced logistic regression, ``equal_*`` members of the first stage at equal spread,
``NAME_*`` a member alone. ``mean_over_sets`` averages pairs, then variants, then sets: ``core`` the
plain, thin25, few_types and n60 queries of the first four sets, ``shifted`` the shifted and
own_peaks ones. ``leave_one_set_out``: the column of most accuracy over the other sets, measured on
the one left out. Rows are kept in ``--cache`` as they are done, and are not computed again;
``network_*`` and ``celltypist_*`` come from ``annotate_others.py``, which puts them beside them.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from annotate_dna import shared_tasks
from annotate_others import with_others
from annotate_rows import Row, novelty_row, row_of
from annotate_tasks import (
    CORE_SETS,
    CORE_VARIANTS,
    CROSS_SET,
    SHARED_SET,
    SHIFT_VARIANTS,
    VARIANTS,
    Task,
    changed_tasks,
    plain_tasks,
    smaller,
)
from provenance import provenance

SETS = (*CORE_SETS, CROSS_SET, SHARED_SET)
NOVELTY = "novelty"
KEYS = ("set", "pair", "variant", "seed", "left_out", "error")


def finished(cache: Path) -> Iterator[Row]:
    """Every row of the cache."""
    for path in sorted(cache.glob("*.json")):
        yield dict(json.loads(path.read_text()))


def rows(args: argparse.Namespace) -> Iterator[Row]:
    """Every row that is asked for, from the cache where it is there."""
    for seed in range(args.first_seed, args.first_seed + args.seeds):
        for name in args.sets:
            for plain in pairs(name, args, seed):
                for variant in ("plain",) if name == SHARED_SET else args.variants:
                    if variant == NOVELTY:
                        for left_out in np.unique(plain.truth).tolist():
                            key = f"{left_out}"
                            yield cached(args, plain, NOVELTY, key)
                    else:
                        yield cached(args, plain, variant, "")


def pairs(name: str, args: argparse.Namespace, seed: int) -> Iterator[Task]:
    """Plain pairs of a set."""
    if name == SHARED_SET:
        yield from shared_tasks(args.data, seed, args.model)
        return
    for task in plain_tasks(name, args.data, seed):
        yield smaller(task, args.cells) if args.cells else task


def cached(args: argparse.Namespace, plain: Task, variant: str, left_out: str) -> Row:
    """One row, computed if it has not been."""
    parts = (plain.set, plain.pair, variant, str(plain.seed), left_out)
    name = "-".join(parts).replace(">", "_to_").replace("/", "_").replace(" ", "_")
    path = args.cache / f"{name}.json"
    if path.exists():
        return dict(json.loads(path.read_text()))
    if variant == NOVELTY:
        found = novelty_row(plain, left_out)
    else:
        found = row_of(changed_tasks(plain, variant))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found))
    shown = {k: round(v, 3) for k, v in found.items() if isinstance(v, float)}
    print(parts, json.dumps(shown), file=sys.stderr, flush=True)
    return found


def summary(table: pd.DataFrame) -> dict[str, object]:
    """Means by set and variant, over sets, and with one set left out."""
    figures = [c for c in table if c not in KEYS]
    by_seed = table.groupby(["set", "variant", "seed"])[figures].mean()
    spread = by_seed.groupby(["set", "variant"]).std()
    mean = by_seed.groupby(["set", "variant"]).mean()
    sets: dict[str, dict[str, object]] = {}
    for (name, variant), line in mean.iterrows():
        found = rounded(line)
        found |= {f"{k}_sd": v for k, v in rounded(spread.loc[(name, variant)]).items()}
        sets.setdefault(str(name), {})[str(variant)] = found
    for name, part in table[table["variant"] == NOVELTY].groupby("set"):
        by_type = part.groupby("left_out")["novelty_auroc"].mean()
        sets[str(name)][NOVELTY] |= {"types": len(by_type), "auroc_min": round(by_type.min(), 4)}
    core = mean_over_sets(mean, CORE_VARIANTS)
    shifted = mean_over_sets(mean, SHIFT_VARIANTS)
    return {
        "sets": sets,
        "pairs": pair_figures(table),
        "mean_over_sets": {
            "core": rounded(core.mean()),
            "shifted": rounded(shifted.mean()),
        },
        "leave_one_set_out": leave_one_out(core),
    }


def mean_over_sets(mean: pd.DataFrame, variants: tuple[str, ...]) -> pd.DataFrame:
    """One line a core set: the mean over variants; methods that lack one are left out."""
    table = mean.reset_index()
    table = table[table["set"].isin(CORE_SETS) & table["variant"].isin(variants)]
    lacking = [c for c in table if c.endswith(("accuracy", "macro_f1")) and table[c].isna().any()]
    return table.drop(columns=["variant", *lacking]).groupby("set").mean()


def leave_one_out(core: pd.DataFrame) -> dict[str, object]:
    """The best column of all sets but one, and its accuracy on that one."""
    columns = [str(c) for c in core if str(c).endswith("accuracy") and c != "held_out_accuracy"]
    found: dict[str, object] = {}
    for name in core.index:
        best = str(core.drop(index=name)[columns].mean().idxmax()) if len(core) > 1 else columns[0]
        found[str(name)] = {"chosen": best, "accuracy": round(float(core.loc[name, best]), 4)}
    return found


def pair_figures(table: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Labeller and linear baseline on every pair and variant, mean over seeds."""
    names = [
        c for c in ("accuracy", "macro_f1", "linear_accuracy", "linear_macro_f1") if c in table
    ]
    kept = table[table["variant"] != NOVELTY]
    mean = kept.groupby(["set", "pair", "variant"])[names].mean()
    return {"/".join(map(str, key)): rounded(line) for key, line in mean.iterrows()}


def rounded(line: pd.Series[float]) -> dict[str, float]:
    """Figures that are there, to four places."""
    return {str(k): round(float(v), 4) for k, v in line.items() if np.isfinite(v)}


def main() -> None:
    """Parse the options, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument(
        "--variants", nargs="+", choices=(*VARIANTS, NOVELTY), default=[*VARIANTS, NOVELTY]
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--cells", type=int, help="at most this many on either side of a pair")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="data folder")
    parser.add_argument("--model", default="peaklm-v3", help="model of the embeddings")
    parser.add_argument("--cache", type=Path, default=Path("build/annotate"), help="finished rows")
    parser.add_argument(
        "--finished", action="store_true", help="sum up the rows of the cache, compute none"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object only")
    args = parser.parse_args()
    started, where = time.monotonic(), provenance()
    table = pd.DataFrame(list(finished(args.cache) if args.finished else rows(args)))
    table = with_others(table, args.cache)
    found = summary(table)
    if not args.json:
        print(json.dumps(found["mean_over_sets"], indent=1))
        return
    counted = table.groupby(["set", "variant"])["seed"].nunique()
    head = {
        "benchmark": "annotate",
        "model": args.model,
        "cells_at_most": args.cells,
        "seeds": {f"{s}/{v}": int(n) for (s, v), n in counted.items()},
    }
    seconds = round(time.monotonic() - started, 1)
    print(json.dumps({**head, **found, "seconds": seconds, "provenance": where}))


if __name__ == "__main__":
    main()
