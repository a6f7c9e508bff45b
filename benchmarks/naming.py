"""Lineages named without a reference: how right, how often left open, and what chance gives.

    pip install remopy
    python benchmarks/naming.py --data ../shared/data --json

Bone-marrow cells of Granja 2019 (hg19, lifted to hg38) are named by the terms that REMO v1 has for
blood. ``lineage_accuracy`` and ``lineage_balanced_accuracy`` are over cells whose labels are of
four lineages (T, NK, B, monocyte), every one given its likeliest lineage; ``permuted_…`` the same
with the terms of the peaks permuted, mean of five permutations, and ``permuted_named`` the share of
cells that still get a name then. ``abstained_known``: share of those cells that no term fits;
``abstained_unknown``: of the stem and progenitor cells of BM0828 other than GMP and CLP, for which
there is no term. ``ece``: calibration error of the confidence, ten groups of equal size.
``seconds``: for 10,000 cells, without reading the annotation.

Variants: each lineage alone (500 cells), 100 cells (mean of five draws), a quarter of the counts.
The limit below which no term fits was set on Granja 2019; BM0828 was looked at once, after that.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import anndata as ad
import numpy as np
import scipy.sparse as sp
from provenance import provenance
from sklearn.metrics import balanced_accuracy_score

import peakatlas
from peakatlas.classifier.naming.element_files import AnnotatedElements, read_remo
from peakatlas.classifier.naming.names import CellNames, name_cells
from peakatlas.engine.intervals.liftover import ChainFile

LINEAGES = {
    "CL:0000084": ("20_CD4.N1", "21_CD4.N2", "22_CD4.M", "19_CD8.N", "23_CD8.EM", "24_CD8.CM"),
    "CL:0000623": ("25_NK",),
    "CL:0000945": ("17_B",),
    "CL:0000763": ("11_CD14.Mono.1", "12_CD14.Mono.2"),
}
NAMES = {"CL:0000084": "t", "CL:0000623": "nk", "CL:0000945": "b", "CL:0000763": "myeloid"}
KNOWN_PROGENITORS = ("GMP", "CLP")
TISSUE = "Blood"


class Naming:
    """Cells of a set, and the annotation of its peaks."""

    def __init__(self, path: Path, chain: Path, annotated: AnnotatedElements) -> None:
        cells = ad.read_h5ad(path)
        self.opened = sp.csr_matrix(cells.X, dtype=np.float32)
        self.opened.data[:] = 1
        self.labels = cells.obs["cell_type"].astype(str).to_numpy()
        peaks = peakatlas.parse_names(list(cells.var_names))
        self.terms = annotated.table.terms_of(ChainFile(chain).lift(peaks).intervals)
        self.all, self.wanted = annotated.table.terms, annotated.terms_in(TISSUE)
        of_label = {label: kind for kind, some in LINEAGES.items() for label in some}
        self.truth = np.array([of_label.get(label, "") for label in self.labels])

    def names(
        self, rows: np.ndarray, opened: sp.csr_matrix | None = None, order: np.ndarray | None = None
    ) -> CellNames:
        """Names of some cells."""
        terms = self.terms if order is None else self.terms[order]
        counts = (self.opened if opened is None else opened)[rows]
        return name_cells(counts, terms, self.all, self.wanted)

    def figures(self, rows: np.ndarray, **how: object) -> dict[str, float]:
        """All figures of some cells."""
        names, truth = self.names(rows, **how), self.truth[rows]
        known = truth != ""
        right = (names.lineage == truth)[known]
        return {
            "lineage_accuracy": float(right.mean()),
            "lineage_balanced_accuracy": float(
                balanced_accuracy_score(truth[known], names.lineage[known])
                if len(set(truth[known])) > 1
                else right.mean()
            ),
            "abstained_known": float((~names.named)[known].mean()),
            "ece": calibration_error(names.confidence[known], right),
        }


def calibration_error(confidence: np.ndarray, right: np.ndarray, groups: int = 10) -> float:
    """Expected calibration error over groups of equal size."""
    parts = np.array_split(np.argsort(confidence, kind="stable"), groups)
    gaps = [abs(confidence[p].mean() - right[p].mean()) * len(p) for p in parts if len(p)]
    return float(sum(gaps) / len(right))


def mean_of(runs: list[dict[str, float]]) -> dict[str, float]:
    """Mean of each figure."""
    return {key: float(np.mean([run[key] for run in runs])) for key in runs[0]}


def variants(granja: Naming, rng: np.random.Generator) -> dict[str, dict[str, float]]:
    """Figures of the variants."""
    n = len(granja.truth)
    found = {"n100": mean_of([granja.figures(rng.choice(n, 100, False)) for _ in range(5)])}
    for kind, name in NAMES.items():
        rows = np.flatnonzero(granja.truth == kind)
        found[f"only_{name}"] = granja.figures(rng.choice(rows, min(500, len(rows)), False))
    thin = granja.opened.copy()
    thin.data = (rng.random(len(thin.data)) < 0.25).astype(np.float32)
    thin.eliminate_zeros()
    found["thin25"] = granja.figures(np.arange(n), opened=thin)
    return found


def benchmark(data: Path) -> dict[str, object]:
    """Run everything and return the JSON object to print."""
    where, rng = provenance(), np.random.default_rng(0)
    annotated, chain = read_remo(), data / "chains" / "hg19ToHg38.over.chain.gz"
    granja = Naming(data / "granja2019" / "granja2019_bmmc_10kpeaks.h5ad", chain, annotated)
    everything = np.arange(len(granja.truth))
    plain = granja.figures(everything)
    permuted, named = [], []
    for _ in range(5):
        order = rng.permutation(granja.terms.shape[0])
        permuted.append(granja.figures(everything, order=order))
        named.append(1 - permuted[-1]["abstained_known"])
    began = time.perf_counter()
    granja.names(rng.choice(everything, 10_000, replace=False))
    seconds = time.perf_counter() - began
    path = data / "buenrostro2018" / "buenrostro2018_bm0828_533cells_35983peaks.h5ad"
    marrow = Naming(path, chain, annotated)
    names = marrow.names(np.arange(len(marrow.labels)))
    unknown = ~np.isin(marrow.labels, KNOWN_PROGENITORS)
    return {
        "benchmark": "naming",
        **plain,
        "permuted_lineage_accuracy": mean_of(permuted)["lineage_accuracy"],
        "permuted_lineage_balanced_accuracy": mean_of(permuted)["lineage_balanced_accuracy"],
        "permuted_named": float(np.mean(named)),
        "abstained_unknown": float((~names.named)[unknown].mean()),
        "seconds": seconds,
        "variants": variants(granja, rng),
        "elements": annotated.table.source,
        "provenance": where,
    }


def main() -> None:
    """Parse the options, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--json", action="store_true", help="print one JSON object only")
    args = parser.parse_args()
    result = benchmark(args.data)
    if args.json:
        print(json.dumps(result))
        return
    for key, value in result.items():
        print(f"{key:36s} {value:.3f}" if isinstance(value, float) else f"{key:36s} {value}")


if __name__ == "__main__":
    main()
