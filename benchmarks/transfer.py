"""Accuracy of label transfer on real data, beside a linear baseline and the permuted control.

    python benchmarks/annotate.py --dataset schep2017 --json
    python benchmarks/annotate.py --dataset schep2017-halves --json
    python benchmarks/annotate.py --dataset granja2019 --json
    python benchmarks/annotate.py --dataset granja2019-10k --json
    python benchmarks/annotate.py --dataset schep2017 --ablation --json

The data folder (``--data``) is not part of the repository; its files are public:
Schep et al. 2017 (doi:10.1038/nmeth.4401) and Granja et al. 2019 (doi:10.1038/s41587-019-0332-7).

Every split is annotated by the default classifier (``hybrid``) and by the one that sees nothing
but sequence, each with the real atlas and with one whose embeddings are permuted over peaks. What
a permuted atlas still achieves owes nothing to DNA. The baseline is TF-IDF with a class-balanced
logistic regression, on the same cells and peaks, its penalty chosen by 3 folds of the reference.
``thinned_*`` is the same query, and the same baseline, with a quarter of the query's reads.

``schep2017-halves`` has no shared peaks: reference cells are seen on a random half of the peaks,
query cells on the other (two halvings a seed, two folds of cells each). What follows the share of
N in a peak is taken out of the embeddings; ``unmasked_*`` leaves it in. No count-based baseline
can be had there.

``--ablation`` gives, for each cell embedding alone and each alignment, accuracy and macro-F1.

Cells are forced to a label here (``accuracy``, ``macro_f1``), as the baseline's are;
``*_with_rejection`` counts cells left Unassigned as wrong. ``ece`` is the expected calibration
error of the confidence (15 bins), ``query_coverage`` the share of query cells whose conformal set
(``--alpha 0.1``) holds their own type, ``mean_set_size`` how many types a set holds,
``single_share`` the share of cells that ``--rule sets`` gives a type and ``single_accuracy`` the
share of these that is right. ``reference_coverage`` is the coverage on held-out reference cells
that shaped neither the models nor the limits (`validate_sets`). A value is the mean over seeds of
the whole query (all folds together); ``*_sd`` is the standard deviation over seeds. Seconds are
those of all splits of a task.

``annotate_ratio_vs_linear`` is the time to annotate over that of the baseline to be fitted (its
penalty chosen) and to predict; ``annotate_ratio_vs_linear_predict`` is over its predictions alone,
which are one sparse product and adapt to nothing. ``speedup_vs_reembedding`` is the time to embed
all peaks with the model over that to look them up in the atlas on disk and read their embeddings
(the median of five, the atlas opened anew). ``peak_rss_mb`` is the largest resident memory of the
process, embedding, training and the baseline included.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from annotate_data import FILES, LABELS, Dataset, Split, load_dataset, permuted, splits, without_n
from annotate_data import thinned as thin_query
from numpy.typing import NDArray
from peakatlas.classifier.align import LOSSES, Alignment
from peakatlas.classifier.rejection import BETWEEN
from peakatlas.classifier.representations import REPRESENTATIONS, Representation
from provenance import provenance
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

import peakatlas
from peakatlas.classifier.annotate import AnnotateOptions
from peakatlas.classifier.train import TrainOptions
from peakatlas.classifier.trust.metrics import score

KEPT_READS = 0.25
LOOKUPS = 5
ALIGNMENTS: tuple[Alignment, ...] = ("none", *LOSSES, "self-training", "adaptive")
Atlases = dict[str, peakatlas.Atlas | None]
Run = tuple[str, Representation, str]


@dataclass
class Tally:
    """Labels and seconds of the splits of one repeat, by name."""

    labels: dict[str, list[NDArray[np.str_]]] = field(default_factory=dict)
    trust: dict[str, list[pd.DataFrame]] = field(default_factory=dict)
    covered: list[float] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)

    def add(self, name: str, labels: NDArray[np.str_]) -> None:
        """Keep the labels of one split."""
        self.labels.setdefault(name, []).append(labels)

    def spend(self, name: str, started: float) -> None:
        """Add the seconds since `started`."""
        self.figures[name] = self.figures.get(name, 0.0) + time.monotonic() - started

    def scores(self, truth: NDArray[np.str_]) -> dict[str, float]:
        """All figures."""
        found = {}
        for name, parts in self.labels.items():
            scores = score(truth, np.concatenate(parts))
            if name == "rejecting_":
                found["accuracy_with_rejection"] = scores.accuracy
                found["coverage"] = scores.coverage
            else:
                found[f"{name}accuracy"] = scores.accuracy
                found[f"{name}macro_f1"] = scores.macro_f1
        for name, tables in self.trust.items():
            found |= {f"{name}{k}": v for k, v in trust(truth, pd.concat(tables)).items()}
        if self.covered:
            found["reference_coverage"] = float(np.mean(self.covered))
        return {**found, **self.figures}


def trust(truth: NDArray[np.str_], obs: pd.DataFrame) -> dict[str, float]:
    """Calibration error, and how often and with how many types sets hold the true one."""
    best, sets = (obs[f"peakatlas_{n}"].to_numpy().astype(np.str_) for n in ("best", "types"))
    inside = [own in held.split(BETWEEN) for own, held in zip(truth, sets, strict=True)]
    single = ((obs["peakatlas_n_types"] == 1) & (obs["peakatlas_novelty"] <= 1)).to_numpy()
    return {
        "ece": score(truth, best, obs["peakatlas_confidence"]).ece,
        "query_coverage": float(np.mean(inside)),
        "mean_set_size": float(obs["peakatlas_n_types"].mean()),
        "single_share": float(single.mean()),
        "single_accuracy": float((sets == truth)[single].mean()) if single.any() else 0.0,
    }


def annotated(
    query: ad.AnnData, bundle: peakatlas.Bundle, atlas: peakatlas.Atlas | None, **options: object
) -> pd.DataFrame:
    """What is said of each query cell, the columns of `obs`."""
    asked = AnnotateOptions(**options)  # type: ignore[arg-type]
    return peakatlas.annotate(query, bundle, atlas, options=asked).obs


def text(obs: pd.DataFrame, name: str) -> NDArray[np.str_]:
    """A column of text, such as ``best``, str, shape (n_query,)."""
    return obs[f"peakatlas_{name}"].to_numpy().astype(np.str_)


def add_peakatlas(
    tally: Tally, dataset: Dataset, split: Split, run: Run, atlases: Atlases, seed: int
) -> None:
    """Train, annotate and keep the labels of one split."""
    prefix, representation, name = run
    atlas = atlases[name]
    reference, query = split.sides(dataset)
    started = time.monotonic()
    options = TrainOptions(representation=representation)
    bundle = peakatlas.train(reference, LABELS, atlas, options=options, seed=seed)
    if prefix == "":
        tally.spend("train_seconds", started)
    started = time.monotonic()
    found = annotated(query, bundle, atlas, seed=seed)
    tally.add(prefix, text(found, "best"))
    if prefix == "":
        tally.spend("annotate_seconds", started)
        tally.add("rejecting_", text(found, "label"))
        shallow = annotated(thin_query(query, KEPT_READS, seed), bundle, atlas, seed=seed)
        tally.add("thinned_", text(shallow, "best"))
        for name, obs in (("", found), ("thinned_", shallow)):
            tally.trust.setdefault(name, []).append(obs)
        used = bundle.validation.get("shared", next(iter(bundle.validation.values())))
        if split.query_peaks is not None:
            used = bundle.validation.get("sequence", used)
        tally.covered.append(used["sets"]["0.1"]["coverage"])


def add_baseline(tally: Tally, dataset: Dataset, split: Split, seed: int) -> None:
    """TF-IDF and balanced logistic regression on one split, at full depth and thinned."""
    reference, query = split.sides(dataset)
    pipeline = make_pipeline(
        TfidfTransformer(), LogisticRegression(class_weight="balanced", max_iter=2000)
    )
    started = time.monotonic()
    model = GridSearchCV(pipeline, {"logisticregression__C": [1, 10]}, cv=3)
    model.fit(reference.X, reference.obs[LABELS].to_numpy().astype(np.str_))
    predicting = time.monotonic()
    tally.add("baseline_", np.asarray(model.predict(query.X), np.str_))
    tally.spend("baseline_predict_seconds", predicting)
    tally.spend("baseline_seconds", started)
    shallow = thin_query(query, KEPT_READS, seed)
    tally.add("thinned_baseline_", np.asarray(model.predict(shallow.X), np.str_))


def add_ablation(
    tally: Tally, dataset: Dataset, split: Split, run: Run, atlases: Atlases, seed: int
) -> None:
    """One cell embedding alone under each alignment."""
    _, representation, name = run
    reference, query = split.sides(dataset)
    options = TrainOptions(representation=representation)
    bundle = peakatlas.train(reference, LABELS, atlases[name], options=options, seed=seed)
    for alignment in ALIGNMENTS:
        found = annotated(query, bundle, atlases[name], seed=seed, alignment=alignment)
        tally.add(f"{representation}_{alignment}_", text(found, "best"))


def score_repeat(
    dataset: Dataset, parts: list[Split], atlases: Atlases, seed: int, *, ablation: bool
) -> dict[str, float]:
    """All figures of one repeat of a task."""
    tally = Tally()
    for split in parts:
        if ablation:
            for representation in REPRESENTATIONS:
                if representation == "reindexed" or atlases["real"] is not None:
                    run: Run = ("", representation, "real")
                    add_ablation(tally, dataset, split, run, atlases, seed)
            continue
        for run in runs(atlases):
            add_peakatlas(tally, dataset, split, run, atlases, seed)
        if split.query_peaks is None:
            add_baseline(tally, dataset, split, seed)
    figures = tally.scores(np.concatenate([dataset.truth[split.query] for split in parts]))
    if "baseline_seconds" in figures:
        for by, suffix in (("baseline_seconds", ""), ("baseline_predict_seconds", "_predict")):
            ratio = figures["annotate_seconds"] / figures[by]
            figures[f"annotate_ratio_vs_linear{suffix}"] = ratio
    return figures


def runs(atlases: Atlases) -> Iterator[Run]:
    """Prefix of the figures, cell embedding and name of the atlas of each run."""
    if atlases["real"] is None:
        yield "", "reindexed", "real"
        return
    yield "", "hybrid", "real"
    yield "permuted_", "hybrid", "permuted"
    if "unmasked" in atlases:
        yield "unmasked_", "hybrid", "unmasked"
        return
    yield "sequence_", "sequence", "real"
    yield "sequence_permuted_", "sequence", "permuted"


def summary(by_repeat: list[dict[str, float]]) -> dict[str, float]:
    """Mean and standard deviation over repeats of every figure."""
    result: dict[str, float] = {}
    for key in by_repeat[0]:
        values = [figures[key] for figures in by_repeat]
        result[key] = round(float(np.mean(values)), 4)
        result[f"{key}_sd"] = round(float(np.std(values, ddof=1)) if len(values) > 1 else 0.0, 4)
    return result


def build_atlases(name: str, dataset: Dataset, model: str, scratch: Path) -> Atlases:
    """The atlas of the peaks; without what follows N where peaks are not shared."""
    if dataset.peaks_fasta is None:
        return {"real": None}
    peaks = peakatlas.parse_names(dataset.cells.var_names, source="var_names")
    strand = "both" if name.endswith("-halves") else "forward"
    embedder = peakatlas.Embedder.load(model, strand=strand)
    real = peakatlas.build_atlas(dataset.peaks_fasta, peaks, scratch / "real.zarr", embedder)
    if not name.endswith("-halves"):
        return {"real": real}
    return {"real": without_n(real, scratch / "masked.zarr"), "unmasked": real}


def reuse(dataset: Dataset, atlas: peakatlas.Atlas, model: str, scratch: Path) -> dict[str, float]:
    """How much faster the embeddings of all peaks are looked up than made."""
    peaks = peakatlas.parse_names(dataset.cells.var_names, source="var_names")
    embedder = peakatlas.Embedder.load(model, strand=atlas.spec.strand)
    source = peakatlas.open_genome(str(dataset.peaks_fasta))
    started = time.monotonic()
    embedder.embed(peaks, source)
    made, looked = time.monotonic() - started, []
    for _ in range(LOOKUPS):
        started = time.monotonic()
        opened = peakatlas.Atlas.open(scratch / "real.zarr")
        opened.gather(opened.lookup(peaks).row)
        looked.append(time.monotonic() - started)
    spent = float(np.median(looked))
    return {
        "embed_seconds": round(made, 3),
        "lookup_seconds": round(spent, 4),
        "speedup_vs_reembedding": round(made / spent, 1),
    }


def peak_rss_mb() -> int:
    """Largest resident memory of this process so far, in MB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def benchmark(
    name: str, data: Path, model: str, seeds: int, *, ablation: bool = False
) -> dict[str, object]:
    """Run one data set and return the JSON object to print."""
    started, where = time.monotonic(), provenance()
    dataset = load_dataset(name, data)
    by_task: dict[str, list[dict[str, float]]] = {}
    speed: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as scratch:
        atlases = build_atlases(name, dataset, model, Path(scratch))
        if atlases["real"] is not None and not ablation:
            speed = reuse(dataset, atlases["real"], model, Path(scratch))
            print(f"{name}: {json.dumps(speed)}", file=sys.stderr)
        for seed in range(seeds):
            if atlases["real"] is not None and not ablation:
                path = Path(scratch) / f"permuted{seed}.zarr"
                atlases["permuted"] = permuted(atlases["real"], path, seed)
            for task, repeats in splits(name, dataset, seed).items():
                for parts in repeats:
                    found = score_repeat(dataset, parts, atlases, seed, ablation=ablation)
                    print(f"{name} {task} seed {seed}: {json.dumps(found)}", file=sys.stderr)
                    by_task.setdefault(task, []).append(found)
    figures = {task: summary(by_seed) for task, by_seed in by_task.items()}
    return {
        "benchmark": "annotate-ablation" if ablation else "annotate",
        "dataset": name,
        "model": model if dataset.peaks_fasta is not None else None,
        "cells": dataset.cells.n_obs,
        "peaks": dataset.cells.n_vars,
        "seeds": seeds,
        **(next(iter(figures.values())) if len(figures) == 1 else {"tasks": figures}),
        **speed,
        "peak_rss_mb": peak_rss_mb(),
        "seconds": round(time.monotonic() - started, 1),
        "provenance": where,
    }


def main() -> None:
    """Parse the options, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", choices=list(FILES), required=True)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="data folder")
    parser.add_argument("--model", default="peaklm-v3", help="model of the atlas")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--ablation", action="store_true", help="each cell embedding alone")
    parser.add_argument("--json", action="store_true", help="print one JSON object only")
    args = parser.parse_args()
    result = benchmark(args.dataset, args.data, args.model, args.seeds, ablation=args.ablation)
    if not args.json:
        tasks = result.get("tasks", {args.dataset: result})
        for task, figures in tasks.items():  # type: ignore[attr-defined]
            print(task)
            for key, value in figures.items():
                if isinstance(value, float) and f"{key}_sd" in figures:
                    print(f"  {key:32s} {value:.3f} ± {figures[f'{key}_sd']:.3f}")
    else:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
