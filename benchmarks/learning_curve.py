"""Where the limit of annotation lies on Schep: accuracy by reference cells, and what is mixed up.

    python benchmarks/learning_curve.py --json

Cells of Schep et al. 2017 (600 cells, 10 types) in 5 folds, by coordinates alone (DNA adds nothing
where peaks are shared). ``accuracy`` is that of the likeliest types when the reference is a share
of the other four folds, drawn type by type; ``baseline_accuracy`` that of the linear baseline of
``annotate.py``. If accuracy still rises at the whole reference, cells are what is lacking.
``mistaken`` counts, at the whole reference, the pairs of types that are taken for one another, in
either direction, mean over seeds. ``always_wrong`` are the cells that are wrong under every seed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
from annotate import Tally, add_baseline, annotated, text
from annotate_data import LABELS, Dataset, Split, load_dataset, splits
from numpy.typing import NDArray
from provenance import provenance

import peakatlas

SHARES = (0.25, 0.5, 0.75, 1.0)
FEWEST = 5
"""Cells that a type keeps."""
MOST_PAIRS = 8

Labels = NDArray[np.str_]


def part_of(split: Split, truth: Labels, share: float, rng: np.random.Generator) -> Split:
    """The same query with a share of the reference cells of each type."""
    types = truth[split.reference]
    kept = []
    for name in np.unique(types):
        cells = split.reference[types == name]
        n = max(FEWEST, round(share * len(cells)))
        kept.append(rng.permutation(cells)[:n])
    return Split(reference=np.sort(np.concatenate(kept)), query=split.query)


def told(dataset: Dataset, share: float, seed: int) -> tuple[Labels, Labels]:
    """Likeliest type of every cell by peakatlas, and the type by the linear baseline."""
    rng = np.random.default_rng([seed, round(100 * share)])
    ours, linear = (np.empty(len(dataset.truth), dataset.truth.dtype) for _ in range(2))
    for whole in splits("schep2017", dataset, seed)["5-fold"][0]:
        split = part_of(whole, dataset.truth, share, rng)
        reference, query = split.sides(dataset)
        bundle = peakatlas.train(reference, LABELS, None, seed=seed)
        ours[split.query] = text(annotated(query, bundle, None, seed=seed), "best")
        tally = Tally()
        add_baseline(tally, dataset, split, seed)
        linear[split.query] = tally.labels["baseline_"][0]
    return ours, linear


def mistakes(truth: Labels, by_seed: list[Labels]) -> dict[str, float]:
    """Cells a seed by the two types that were taken for one another, most first."""
    pairs = Counter(
        " / ".join(sorted((own, other)))
        for found in by_seed
        for own, other in zip(truth.tolist(), found.tolist(), strict=True)
        if own != other
    )
    return {pair: round(n / len(by_seed), 1) for pair, n in pairs.most_common(MOST_PAIRS)}


def benchmark(data: Path, seeds: int) -> dict[str, object]:
    """Run all and return the JSON object to print."""
    began, where = time.monotonic(), provenance()
    dataset = load_dataset("schep2017", data)
    truth, curve, whole = dataset.truth, {}, []
    for share in SHARES:
        found = [told(dataset, share, seed) for seed in range(seeds)]
        ours, linear = (np.array([np.mean(each[i] == truth) for each in found]) for i in (0, 1))
        curve[str(share)] = {
            "accuracy": round(float(ours.mean()), 4),
            "accuracy_sd": round(float(ours.std()), 4),
            "baseline_accuracy": round(float(linear.mean()), 4),
            "baseline_accuracy_sd": round(float(linear.std()), 4),
        }
        whole = [each[0] for each in found]
        print(f"share {share}: {json.dumps(curve[str(share)])}", file=sys.stderr)
    return {
        "benchmark": "learning_curve",
        "dataset": "schep2017",
        "seeds": seeds,
        "by_share": curve,
        "mistaken": mistakes(truth, whole),
        "always_wrong": int(np.all([found != truth for found in whole], axis=0).sum()),
        "seconds": round(time.monotonic() - began, 1),
        "provenance": where,
    }


def main() -> None:
    """Parse the options, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="data folder")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print one JSON object only")
    args = parser.parse_args()
    result = benchmark(args.data, args.seeds)
    print(json.dumps(result) if args.json else json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
