"""How well cells of a type that the reference lacks are told from shallow ones, on real data.

    python benchmarks/novelty.py --dataset schep2017 --json
    python benchmarks/novelty.py --dataset granja2019-10k --json

Every type in turn is left out of the reference, and AUROCs say how well ``peakatlas_novelty`` and
other scores tell its cells in the query from all others: 0.5 is guessing. The types of
``granja2019-10k`` are the 7 coarse ones; each donor is the query once. Those of ``schep2017`` are
all 10, its cells in two halves, each the query once.

In ``auroc`` the query is as it was measured. In ``auroc_beside_shallow`` every other cell of a
known type keeps a quarter of its reads, and the AUROC is that of the missing type, at full depth,
against these alone: a score that takes shallow for strange falls below 0.5. ``flagged_*`` are the
shares of cells called *novel*: of the missing type, of known types, of known types made shallow.

Beside it, from the same annotation, are ``uncertainty`` and ``1 - confidence``; and the baseline,
one minus the greatest probability of TF-IDF with a balanced logistic regression.

``by_type`` is the mean over seeds and over the two queries; the other figures are the mean over
types of these, and ``*_sd`` the standard deviation over seeds of the mean over types. Labels of the
query make the task and score it; no part of peakatlas reads them.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import anndata as ad
import numpy as np
import scipy.sparse as sp
from annotate_data import Dataset, load_dataset
from numpy.typing import NDArray
from provenance import provenance
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline

import peakatlas
from peakatlas.classifier.annotate import AnnotateOptions
from peakatlas.classifier.counts.sparse import thin

KEPT_READS = 0.25
DATASETS = {"schep2017": "cell_type", "granja2019-10k": "coarse_type"}
SCORES = ("novelty", "uncertainty", "unsure", "baseline")
Figures = dict[str, float]


def halves(name: str, dataset: Dataset, labels: str, seed: int) -> list[NDArray[np.int64]]:
    """Rows of the two queries; the reference of each is the other."""
    obs = dataset.cells.obs
    if name == "granja2019-10k":
        batch = obs["batch"].to_numpy().astype(np.str_)
        return [np.flatnonzero(batch == one) for one in ("BMMC_D5T1", "BMMC_D6T1")]
    types = obs[labels].to_numpy().astype(np.str_)
    folds = StratifiedKFold(2, shuffle=True, random_state=seed)
    return [rows for _, rows in folds.split(types, types)]


def half_shallow(query: ad.AnnData, known: NDArray[np.bool_], seed: int) -> tuple[ad.AnnData, ...]:
    """The query with every other known cell thinned, and which cells these are."""
    shallow = known & (np.arange(query.n_obs) % 2 == 0)
    found, rng = query.copy(), np.random.default_rng(seed)
    counts = sp.csr_matrix(query.X, dtype=np.float32)
    found.X = thin(counts, np.where(shallow, KEPT_READS, 1.0), rng)
    return found, shallow


def scores_of(
    query: ad.AnnData,
    bundle: peakatlas.Bundle,
    atlas: peakatlas.Atlas | None,
    baseline: object,
    seed: int,
) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.bool_]]:
    """Every score of each cell, and whether it is called novel."""
    obs = peakatlas.annotate(query, bundle, atlas, options=AnnotateOptions(seed=seed)).obs
    found = {name: obs[f"peakatlas_{name}"].to_numpy(float) for name in ("novelty", "uncertainty")}
    found["unsure"] = 1 - obs["peakatlas_confidence"].to_numpy(float)
    found["baseline"] = 1 - baseline.predict_proba(query.X).max(axis=1)  # type: ignore[attr-defined]
    return found, obs["peakatlas_reason"].to_numpy() == "novel"


def score_type(
    dataset: Dataset,
    sides: tuple[NDArray[np.int64], NDArray[np.int64]],
    labels: str,
    missing: str,
    atlas: peakatlas.Atlas | None,
    seed: int,
) -> Figures:
    """All figures of one type left out of one reference."""
    types = dataset.cells.obs[labels].to_numpy().astype(np.str_)
    reference = dataset.cells[sides[0][types[sides[0]] != missing]].copy()
    query, new = dataset.cells[sides[1]].copy(), types[sides[1]] == missing
    query.obs = query.obs[[]]
    bundle = peakatlas.train(reference, labels, atlas, seed=seed)
    model = LogisticRegression(class_weight="balanced", C=10, max_iter=2000)
    baseline = make_pipeline(TfidfTransformer(), model)
    baseline.fit(reference.X, reference.obs[labels].to_numpy().astype(np.str_))
    found, called = scores_of(query, bundle, atlas, baseline, seed)
    figures = {f"{n}_auroc": float(roc_auc_score(new, found[n])) for n in SCORES}
    figures |= {"flagged_new": called[new].mean(), "flagged_known": called[~new].mean()}
    mixed, shallow = half_shallow(query, ~new, seed)
    found, called = scores_of(mixed, bundle, atlas, baseline, seed)
    rows = new | shallow
    for name in SCORES:
        value = float(roc_auc_score(new[rows], found[name][rows]))
        figures[f"{name}_auroc_beside_shallow"] = value
    return {**figures, "flagged_shallow": float(called[shallow].mean())}


def benchmark(name: str, data: Path, model: str, seeds: int) -> dict[str, object]:
    """Run one data set and return the JSON object to print."""
    started, where, labels = time.monotonic(), provenance(), DATASETS[name]
    dataset = load_dataset(name, data)
    types = np.unique(dataset.cells.obs[labels].to_numpy().astype(np.str_))
    by_seed: list[dict[str, Figures]] = []
    with tempfile.TemporaryDirectory() as scratch:
        atlas = None
        if dataset.peaks_fasta is not None:
            peaks = peakatlas.parse_names(dataset.cells.var_names, source="var_names")
            embedder = peakatlas.Embedder.load(model)
            path = Path(scratch) / "atlas.zarr"
            atlas = peakatlas.build_atlas(dataset.peaks_fasta, peaks, path, embedder)
        for seed in range(seeds):
            sides = halves(name, dataset, labels, seed)
            pairs = [(sides[1], sides[0]), (sides[0], sides[1])]
            by_seed.append({})
            for missing in types:
                both = [score_type(dataset, p, labels, missing, atlas, seed) for p in pairs]
                by_seed[-1][missing] = {k: float(np.mean([f[k] for f in both])) for k in both[0]}
                told = {k: [round(float(f[k]), 3) for f in both] for k in both[0]}
                print(f"{name} seed {seed} without {missing}: {told}", file=sys.stderr)
    return {
        "benchmark": "novelty",
        "dataset": name,
        "labels": labels,
        "model": model if atlas is not None else None,
        "cells": dataset.cells.n_obs,
        "seeds": seeds,
        **summary(by_seed),
        "seconds": round(time.monotonic() - started, 1),
        "provenance": where,
    }


def summary(by_seed: list[dict[str, Figures]]) -> dict[str, object]:
    """Means over types, their spread over seeds, and the means over seeds of each type."""
    figures: dict[str, object] = {}
    for key in next(iter(by_seed[0].values())):
        means = [float(np.mean([found[key] for found in seed.values()])) for seed in by_seed]
        figures[key] = round(float(np.mean(means)), 4)
        figures[f"{key}_sd"] = round(float(np.std(means, ddof=1)) if len(means) > 1 else 0.0, 4)
    by_type = {
        name: {k: round(float(np.mean([seed[name][k] for seed in by_seed])), 4) for k in found}
        for name, found in by_seed[0].items()
    }
    return {**figures, "by_type": by_type}


def main() -> None:
    """Parse the options, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", choices=list(DATASETS), required=True)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="data folder")
    parser.add_argument("--model", default="peaklm-v3", help="model of the atlas")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print one JSON object only")
    args = parser.parse_args()
    result = benchmark(args.dataset, args.data, args.model, args.seeds)
    if args.json:
        print(json.dumps(result))
        return
    for key in ("auroc", "auroc_beside_shallow"):
        for name in SCORES:
            print(f"{name}_{key:22s} {result[f'{name}_{key}']:.3f}")


if __name__ == "__main__":
    main()
