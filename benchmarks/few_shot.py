"""A few labelled cells a type: does it help to know which cell types open which elements?

    pip install remopy
    python benchmarks/few_shot.py --data ../shared/data --json

Peaks have the 144 terms of REMO v1 that overlap them (hg19 lifted to hg38). The member `terms`
predicts from these how much more each type opens a peak; the labeller weighs it on pseudo-queries
like any other. Three arms, the same cells: ``plain`` without the member, ``terms`` with it,
``permuted`` with it and the terms of the peaks permuted.

``few_N``: N labelled cells a type of one batch of Granja 2019 (16 types) label 1,000 cells of the
other batch. ``builds``: four lineages of Granja 2019 (hg19 peaks lifted to hg38) label PBMCs on
hg38 peaks near 51 genes, 37 of which the reference has; ``builds_unshared``: without these. Every
cell gets its likeliest type; accuracy and balanced accuracy, means over seeds. ``weight`` is the
share that the member has of the first stage's weights.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections.abc import Iterator
from pathlib import Path

import anndata as ad
import numpy as np
import scipy.sparse as sp
from naming import LINEAGES, calibration_error
from provenance import provenance
from sklearn.metrics import balanced_accuracy_score

import peakatlas
from peakatlas.classifier.alignment.registry import MEMBERS
from peakatlas.classifier.counts.registry import registry_rows
from peakatlas.classifier.counts.sparse import carry
from peakatlas.classifier.models.protocol import Cells, DnaInput
from peakatlas.classifier.models.terms import term_vectors
from peakatlas.classifier.naming.element_files import AnnotatedElements, read_remo
from peakatlas.classifier.training.labeller import LabellerOptions, fit_labeller
from peakatlas.engine.errors import CountsError
from peakatlas.engine.intervals.liftover import ChainFile
from peakatlas.engine.intervals.table import Intervals

ARMS = ("plain", "terms", "permuted")
FEW = (3, 5, 10, 20)
QUERY_CELLS, MOST_OF_A_LINEAGE = 1_000, 400
PBMC = Path(__file__).parents[1] / "tests" / "data" / "pbmc" / "pbmc.h5ad"
PBMC_LINEAGES = {
    "CL:0000084": ("CD4 naive T", "CD4 memory T", "CD8 naive T", "CD8 activated T", "MAIT"),
    "CL:0000623": ("NK",),
    "CL:0000945": ("naive B", "memory B"),
    "CL:0000763": ("CD14+ Monocytes", "FCGR3A+ Monocytes", "cDCs"),
}


class Set:
    """Cells of a file, their peaks on hg38, and the terms of these."""

    def __init__(self, path: Path, chain: Path | None, annotated: AnnotatedElements) -> None:
        self.cells = ad.read_h5ad(path)
        self.counts = sp.csr_matrix(self.cells.X, dtype=np.float32)
        peaks = peakatlas.parse_names(list(self.cells.var_names))
        self.peaks: Intervals = peaks if chain is None else ChainFile(chain).lift(peaks).intervals
        self.vectors = term_vectors(annotated.table.terms_of(self.peaks))
        self.labels = self.cells.obs["cell_type"].astype(str).to_numpy()

    def on(self, peaks: np.ndarray) -> Set:
        """The same cells on some of the peaks."""
        part = copy.copy(self)
        part.counts, part.vectors = self.counts[:, peaks], self.vectors[peaks]
        part.peaks = self.peaks.take(peaks)
        return part

    def side(
        self, rows: np.ndarray, onto: Intervals, order: np.ndarray | None, labels: np.ndarray | None
    ) -> Cells:
        """Some cells on the peaks `onto`, with the terms of their own peaks."""
        column = registry_rows(self.peaks, onto)
        own = self.counts[rows]
        measured = np.zeros(len(onto), np.bool_)
        measured[column[column >= 0]] = True
        vectors = self.vectors if order is None else self.vectors[order]
        return Cells(
            counts=carry(own, column, np.arange(len(onto))),
            measured=measured,
            labels=labels,
            dna=DnaInput(counts=own, embeddings=vectors, column=column, kind="terms"),
        )


def arm(
    name: str, reference: tuple[Set, np.ndarray, np.ndarray], query: tuple[Set, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, float]:
    """Labels and confidence of the query's cells, and the weight of the member."""
    (known, rows, labels), (asked, wanted) = reference, query
    rng = np.random.default_rng(9)
    shuffled = name == "permuted"
    orders = [rng.permutation(len(each.vectors)) if shuffled else None for each in (known, asked)]
    here = known.side(rows, known.peaks, orders[0], labels)
    there = asked.side(wanted, known.peaks, orders[1], None)
    unread = ("dna", "terms") if name == "plain" else ("dna",)
    members = tuple(each.name for each in MEMBERS if each.name not in unread)
    try:
        fitted = fit_labeller(here, there, options=LabellerOptions(members=members))
    except CountsError:  # nothing to go by: every cell is of the commonest type
        kinds, sizes = np.unique(labels, return_counts=True)
        commonest, share = kinds[sizes.argmax()], sizes.max() / sizes.sum()
        return np.full(len(wanted), commonest), np.full(len(wanted), share), 0.0
    said = fitted.predict(there)
    weights = fitted.diagnostics["first_weights"]
    weight = weights.get("terms", 0.0) / max(sum(weights.values()), 1e-12)
    return said.labels, said.confidence, float(weight)


def figures(truth: np.ndarray, found: tuple[np.ndarray, np.ndarray, float]) -> dict[str, float]:
    """Figures of one run."""
    labels, confidence, weight = found
    right = labels == truth
    return {
        "accuracy": float(right.mean()),
        "balanced_accuracy": float(balanced_accuracy_score(truth, labels)),
        "ece": calibration_error(confidence, right),
        "weight": weight,
    }


def few_shot(granja: Set, few: int, seed: int) -> dict[str, dict[str, float]]:
    """All arms with so many labelled cells a type."""
    rng = np.random.default_rng([seed, few])
    batch = granja.cells.obs["batch"].astype(str).to_numpy()
    first = np.unique(batch)[seed % 2]
    rows = np.concatenate([
        rng.choice(np.flatnonzero((batch == first) & (granja.labels == kind)), few, replace=False)
        for kind in np.unique(granja.labels)
        if ((batch == first) & (granja.labels == kind)).sum() >= few
    ])  # fmt: skip
    wanted = rng.choice(np.flatnonzero(batch != first), QUERY_CELLS, replace=False)
    truth = granja.labels[wanted]
    reference = (granja, rows, granja.labels[rows])
    return {name: figures(truth, arm(name, reference, (granja, wanted))) for name in ARMS}


def lineage_rows(cells: Set, lineages: dict, most: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Cells of the lineages, so many of each at most, and their lineages."""
    rng, rows, names = np.random.default_rng(seed), [], []
    for term, labels in lineages.items():
        own = np.flatnonzero(np.isin(cells.labels, labels))
        chosen = np.sort(rng.choice(own, min(most, len(own)), replace=False))
        rows.append(chosen)
        names += [term] * len(chosen)
    return np.concatenate(rows), np.array(names)


def between_builds(
    granja: Set, pbmc: Set, seed: int, *, shared: bool = True
) -> dict[str, dict[str, float]]:
    """All arms from bone marrow on hg19 to PBMCs on hg38, with the few shared peaks or without."""
    if not shared:
        pbmc = pbmc.on(np.flatnonzero(registry_rows(pbmc.peaks, granja.peaks) < 0))
    rows, labels = lineage_rows(granja, LINEAGES, MOST_OF_A_LINEAGE, seed)
    wanted, truth = lineage_rows(pbmc, PBMC_LINEAGES, MOST_OF_A_LINEAGE, seed)
    reference = (granja, rows, labels)
    return {name: figures(truth, arm(name, reference, (pbmc, wanted))) for name in ARMS}


def flat(runs: list[dict[str, dict[str, float]]]) -> Iterator[tuple[str, float]]:
    """Mean of each figure of each arm."""
    for name in ARMS:
        for key in runs[0][name]:
            yield f"{name}_{key}", float(np.mean([run[name][key] for run in runs]))


def benchmark(data: Path, seeds: int) -> dict[str, object]:
    """Run everything and return the JSON object to print."""
    where, began = provenance(), time.perf_counter()
    annotated, chain = read_remo(), data / "chains" / "hg19ToHg38.over.chain.gz"
    granja = Set(data / "granja2019" / "granja2019_bmmc_10kpeaks.h5ad", chain, annotated)
    pbmc = Set(PBMC, None, annotated)
    tasks = {
        f"few_{few}": dict(flat([few_shot(granja, few, seed) for seed in range(seeds)]))
        for few in FEW
    }
    for name, shared in (("builds", True), ("builds_unshared", False)):
        runs = [between_builds(granja, pbmc, seed, shared=shared) for seed in range(seeds)]
        tasks[name] = dict(flat(runs))
    return {
        "benchmark": "few_shot",
        "tasks": tasks,
        "seeds": seeds,
        "elements": annotated.table.source,
        "seconds": time.perf_counter() - began,
        "provenance": where,
    }


def main() -> None:
    """Parse the options, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--seeds", type=int, default=2, help="even: both batches are the reference")
    parser.add_argument("--json", action="store_true", help="print one JSON object only")
    args = parser.parse_args()
    result = benchmark(args.data, args.seeds)
    if args.json:
        print(json.dumps(result))
        return
    for task, found in result["tasks"].items():  # type: ignore[union-attr]
        for key, value in found.items():
            print(f"{task:10s} {key:30s} {value:.3f}")


if __name__ == "__main__":
    main()
