"""Motifs that stand out in the marker elements of real cell types, beside a permuted control.

    python benchmarks/explain.py --json

Schep et al. 2017 (doi:10.1038/nmeth.4401): a classifier is trained on all 600 cells by counts
alone, and ``peakatlas.enriched_kmers`` compares the DNA of each type's 500 best elements with that
of others of like GC and known bases. ``motifs`` are those with a false discovery rate of 5 % or
less, best first; ``words`` counts such words of 6 bp. ``expected`` are regulators that the
literature names for a type, and ``expected_found`` the share of them among its motifs. In the
control (``permuted_*``) every element has the DNA of another, its share of N and GC with it.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from annotate_data import LABELS, load_dataset
from numpy.typing import NDArray
from provenance import provenance

import peakatlas
from peakatlas.engine.dna.genome import open_genome
from peakatlas.engine.dna.peak_fasta import PeakFasta
from peakatlas.engine.dna.sequences import Sequences
from peakatlas.engine.intervals.table import Intervals

EXPECTED = {
    "K562 Erythroleukemia": ("GATA1",),
    "Erythroblast": ("GATA1", "KLF1"),
    "Monocyte": ("CEBPA", "SPI1"),
    "HL60 Leukemia": ("CEBPA", "SPI1"),
    "LCL": ("PAX5", "EBF1", "SPI1"),
    "LMPP": ("RUNX1", "ETS1"),
    "Fibroblasts": ("AP1",),
}
"""Regulators after Orkin & Zon (2008), doi:10.1016/j.cell.2008.01.025, for blood; AP-1 in
fibroblasts after Vierbuchen et al. (2017), doi:10.1016/j.molcel.2017.11.026."""


@dataclass(frozen=True)
class Shuffled:
    """DNA of peaks, each peak's that of another."""

    source: PeakFasta
    peaks: Intervals
    seed: int

    def fetch(self, intervals: Intervals, peaks: Intervals | None = None) -> Sequences:
        """Sequences of the intervals in another order."""
        order: NDArray[np.int64] = np.random.default_rng(self.seed).permutation(len(intervals))
        return self.source.fetch(
            intervals.take(order), None if peaks is None else peaks.take(order)
        )


def figures(table: pd.DataFrame, prefix: str) -> dict[str, object]:
    """Motifs and numbers of words by type, and the share of expected motifs that is there."""
    motifs = {
        name: table.loc[(table["type"] == name) & (table["kind"] == "motif"), "motif"].tolist()
        for name in table["type"].cat.categories
    }
    words = table[table["kind"] == "kmer"].groupby("type", observed=False).size()
    wanted = [(name, each) for name, several in EXPECTED.items() for each in several]
    there = [each in motifs[name] for name, each in wanted]
    return {
        f"{prefix}motifs": motifs,
        f"{prefix}words": {str(name): int(n) for name, n in words.items()},
        f"{prefix}expected_found": round(float(np.mean(there)), 4),
        f"{prefix}motifs_found": sum(map(len, motifs.values())),
    }


def benchmark(data: Path, seed: int) -> dict[str, object]:
    """Train, explain, explain the control; the JSON object to print."""
    started, where = time.monotonic(), provenance()
    dataset = load_dataset("schep2017", data)
    bundle = peakatlas.train(dataset.cells, LABELS, seed=seed)
    genome = open_genome(str(dataset.peaks_fasta))
    began = time.monotonic()
    table = peakatlas.enriched_kmers(bundle, genome, seed=seed)
    seconds = time.monotonic() - began
    shuffled = Shuffled(genome, bundle.peaks, seed)  # type: ignore[arg-type] - a peak FASTA
    control = peakatlas.enriched_kmers(bundle, shuffled, seed=seed)  # type: ignore[arg-type]
    return {
        "benchmark": "explain",
        "dataset": "schep2017",
        "expected": EXPECTED,
        **figures(table, ""),
        **figures(control, "permuted_"),
        "explain_seconds": round(seconds, 2),
        "seconds": round(time.monotonic() - started, 1),
        "provenance": where,
    }


def main() -> None:
    """Parse the options, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="data folder")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one JSON object only")
    args = parser.parse_args()
    result = benchmark(args.data, args.seed)
    print(json.dumps(result, indent=None if args.json else 2))


if __name__ == "__main__":
    main()
