"""A stranger's walk: fragments of PBMCs, peaks of one's own, no genome, no atlas, a report.

    pip download --no-deps --no-binary chromatinhd chromatinhd==0.4.3
    python benchmarks/pbmc_walk.py --source chromatinhd-0.4.3.tar.gz --json
    python benchmarks/pbmc_walk.py --source chromatinhd-0.4.3.tar.gz --keep walk/

The sdist of chromatinhd 0.4.3 (MIT) holds 1.12 million hg38 fragments of 10,291 PBMCs near 51
genes, and cell types that were told by the RNA of the same cells. For each seed half of the
barcodes, drawn at random, are the reference and the others the query. Peaks are called from the
fragments of the reference cells (`pileup.py`); then the commands `peakatlas count`, `train` and
`annotate` are run as anyone would, with defaults and without ``--atlas``: no DNA is read.

``accuracy``, ``macro_f1``: every query cell forced to its likeliest type. ``*_with_rejection``:
"Unassigned" counts as wrong; ``coverage`` is the share that got a type. ``ece``: calibration error
of the confidence. ``baseline_*``: TF-IDF and balanced logistic regression on the same counts, its
penalty chosen by 3 folds of the reference. ``own_peaks_*``: the query is counted on peaks that were
called from its own fragments, so the two sides meet by coordinates. ``largest_type``: share of the
commonest type. Values are means over seeds, ``*_sd`` standard deviations.

The cells of both sides come from one experiment: this is the easy case, and 51 genes are few.
Nothing is tuned on this set; its figures were read before one choice (docs/accuracy.md).
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tarfile
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from pileup import call_peaks, read_fragments
from provenance import provenance
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from peakatlas.classifier.trust.metrics import score

INSIDE = "src/chromatinhd/data/examples/pbmc10ktiny/"
FILES = ("fragments.tsv.gz", "transcriptome.h5ad")
LABELS = "cell_type"


@dataclass(frozen=True)
class Pbmcs:
    """The set as it comes: a fragments file, its lines as a table, and a type for each barcode."""

    path: Path
    fragments: pd.DataFrame
    types: pd.Series


def load(source: Path, folder: Path) -> Pbmcs:
    """Take the two files out of the sdist.

    Parameters
    ----------
    source : Path
        ``chromatinhd-0.4.3.tar.gz``.
    folder : Path
        Where the files go.
    """
    with tarfile.open(source) as archive:
        for member in archive.getmembers():
            name = Path(member.name).name
            if name in FILES and INSIDE in member.name:
                (folder / name).write_bytes(archive.extractfile(member).read())  # type: ignore[union-attr]
    obs = ad.read_h5ad(folder / FILES[1]).obs
    path = folder / FILES[0]
    return Pbmcs(path, read_fragments(path), obs["celltype"].astype(str))


def peakatlas(*words: object, shown: bool) -> dict[str, object]:
    """Run a command as anyone would; the facts that it prints as JSON."""
    line = [str(word) for word in words]
    if shown:
        print(f"$ peakatlas {shlex.join(line)}", flush=True)
        subprocess.run([sys.executable, "-m", "peakatlas", *line], check=True)
        return {}
    command = [sys.executable, "-m", "peakatlas", *line, "--json", "--quiet"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    facts: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return facts


def count(pbmcs: Pbmcs, cells: pd.Index, peaks_of: pd.Index, out: Path, *, shown: bool) -> None:
    """Counts of some cells on peaks called from the fragments of some cells, with their types."""
    bed, listed = out.with_suffix(".bed"), out.with_suffix(".txt")
    peaks = call_peaks(pbmcs.fragments, peaks_of)
    peaks.to_csv(bed, sep="\t", header=False, index=False)
    listed.write_text("\n".join(cells) + "\n")
    peakatlas("count", pbmcs.path, bed, "--barcodes", listed, "-o", out, shown=shown)
    counted = ad.read_h5ad(out)
    counted.obs[LABELS] = pbmcs.types[counted.obs_names].to_numpy()
    counted.write_h5ad(out)


def walk(pbmcs: Pbmcs, seed: int, folder: Path, *, shown: bool) -> dict[str, float]:
    """One split: count, train, annotate; all figures."""
    order = np.random.default_rng(seed).permutation(len(pbmcs.types))
    cells = pbmcs.types.index[order]
    half = len(cells) // 2
    reference, query = folder / "reference.h5ad", folder / "query.h5ad"
    own, bundle = folder / "query_own_peaks.h5ad", folder / "bundle"
    count(pbmcs, cells[:half], cells[:half], reference, shown=shown)
    count(pbmcs, cells[half:], cells[:half], query, shown=shown)
    count(pbmcs, cells[half:], cells[half:], own, shown=shown)
    began = time.monotonic()
    peakatlas("train", reference, "--labels", LABELS, "-o", bundle, "--seed", seed, shown=shown)
    figures = {"train_seconds": time.monotonic() - began}
    for prefix, file in (("", query), ("own_peaks_", own)):
        out = file.with_name(f"annotated_{file.name}")
        report = ("--report", out.with_suffix(".html"), "--labels", LABELS) if shown else ()
        began = time.monotonic()
        words = ("annotate", file, "--bundle", bundle, "-o", out, "--seed", seed, *report)
        peakatlas(*words, shown=shown)
        figures[f"{prefix}annotate_seconds"] = time.monotonic() - began
        figures |= {f"{prefix}{k}": v for k, v in scores(ad.read_h5ad(out)).items()}
    return figures | facts(ad.read_h5ad(reference), ad.read_h5ad(query))


def scores(annotated: ad.AnnData) -> dict[str, float]:
    """How right the labels of an annotated query are."""
    obs = annotated.obs
    forced = score(obs[LABELS], obs["peakatlas_best"], obs["peakatlas_confidence"])
    rejecting = score(obs[LABELS], obs["peakatlas_label"])
    return {
        "accuracy": forced.accuracy,
        "macro_f1": forced.macro_f1,
        "ece": forced.ece,
        "accuracy_with_rejection": rejecting.accuracy,
        "coverage": rejecting.coverage,
    }


def facts(reference: ad.AnnData, query: ad.AnnData) -> dict[str, float]:
    """Of the linear baseline and of the data."""
    pipeline = make_pipeline(
        TfidfTransformer(), LogisticRegression(class_weight="balanced", max_iter=2000)
    )
    model = GridSearchCV(pipeline, {"logisticregression__C": [1, 10]}, cv=3)
    model.fit(reference.X, reference.obs[LABELS].to_numpy().astype(np.str_))
    found = score(query.obs[LABELS], model.predict(query.X))
    return {
        "baseline_accuracy": found.accuracy,
        "baseline_macro_f1": found.macro_f1,
        "largest_type": float(query.obs[LABELS].value_counts(normalize=True).iloc[0]),
        "peaks": float(query.n_vars),
        "median_counts": float(np.median(np.asarray(query.X.sum(axis=1)))),
    }


def summary(by_seed: list[dict[str, float]]) -> dict[str, float]:
    """Mean and standard deviation of every figure."""
    result: dict[str, float] = {}
    for key in by_seed[0]:
        values = [figures[key] for figures in by_seed]
        result[key] = round(float(np.mean(values)), 4)
        result[f"{key}_sd"] = round(float(np.std(values, ddof=1)) if len(values) > 1 else 0.0, 4)
    return result


def benchmark(pbmcs: Pbmcs, seeds: int, folder: Path, *, shown: bool = False) -> dict[str, object]:
    """Run every split and return the JSON object to print."""
    where, by_seed = provenance(), []
    for seed in range(seeds):
        place = folder / f"seed{seed}"
        place.mkdir()
        by_seed.append(walk(pbmcs, seed, place, shown=shown))
        print(f"seed {seed}: {json.dumps(by_seed[-1])}", file=sys.stderr, flush=True)
    return {
        "benchmark": "pbmc_walk",
        "cells": len(pbmcs.types),
        "types": int(pbmcs.types.nunique()),
        "fragments": len(pbmcs.fragments),
        "seeds": seeds,
        **summary(by_seed),
        "provenance": where,
    }


def main() -> None:
    """Parse the options, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=Path, required=True, help="chromatinhd-0.4.3.tar.gz")
    parser.add_argument("--seeds", type=int, default=3, help="splits of the barcodes")
    parser.add_argument("--keep", type=Path, help="new folder: keep the files, show the commands")
    parser.add_argument("--json", action="store_true", help="print one JSON object only")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.keep or Path(scratch) / "walk"
        folder.mkdir(parents=True)
        shown = args.keep is not None and not args.json
        pbmcs = load(args.source, folder)
        result = benchmark(pbmcs, args.seeds, folder, shown=shown)
    if args.json:
        print(json.dumps(result))
        return
    for key, value in result.items():
        if isinstance(value, float) and not key.endswith("_sd"):
            print(f"{key:26s} {value:.3f} ± {result[f'{key}_sd']:.3f}")


if __name__ == "__main__":
    main()
