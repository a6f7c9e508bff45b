#!/usr/bin/env python3
"""Make a bundle of public data, with its card.

    pip download --no-deps --no-binary chromatinhd chromatinhd==0.4.3
    python scripts/make_bundle.py pbmc-51-genes-hg38 chromatinhd-0.4.3.tar.gz -o bundle/

    python scripts/make_bundle.py bone-marrow-hg19 granja2019_bmmc_10kpeaks.h5ad -o bundle/

``pbmc-51-genes-hg38`` is the bundle that peakatlas ships (`classifier/bundle/shipped`): 5,000 of
the 10,291 PBMCs of chromatinhd 0.4.3 (MIT; 10x Genomics, CC BY 4.0), on peaks called from all their
fragments. ``bone-marrow-hg19`` is not shipped; it is made of an h5ad with the bone-marrow cells of
Granja et al. 2019 on hg19 peaks and their types in ``obs["cell_type"]``. Terms of the types stand
in ``scripts/bundles``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import anndata as ad

import peakatlas
from peakatlas.classifier.bundle.card import Card, write_card
from peakatlas.classifier.counts.fragment_counts import count_fragments
from peakatlas.classifier.ontology.mapping import read_label_table
from peakatlas.classifier.train import TrainOptions

ROOT = Path(__file__).parents[1]
CELLS = 5_000
CARDS = {
    "pbmc-51-genes-hg38": Card(
        source="PBMC of a healthy donor, granulocytes removed by sorting (10k, multiome ATAC + "
        "gene expression), 10x Genomics, CC BY 4.0; fragments near 51 genes and cell types from "
        "the RNA of the same cells as in chromatinhd 0.4.3 (MIT), doi:10.1101/2023.07.21.549899",
        licence="CC-BY-4.0",
        build="hg38",
        tissue="blood",
        limits=(
            "Peaks near 51 genes only: fine types of T cells are told apart poorly. It serves to "
            "try things out, and for lineages.",
        ),
    ),
    "bone-marrow-hg19": Card(
        source="Bone marrow mononuclear cells of healthy donors, Granja et al. 2019, "
        "doi:10.1038/s41587-019-0332-7; counts and types as in epiCHAOS (MIT)",
        licence="MIT",
        build="hg19",
        tissue="bone marrow",
        limits=("10,000 peaks only.",),
    ),
}


def pbmcs(source: Path, folder: Path) -> ad.AnnData:
    """Counts and types of all cells of the sdist."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    from pbmc_walk import load  # noqa: PLC0415
    from pileup import call_peaks  # noqa: PLC0415

    found = load(source, folder)
    bed = folder / "peaks.bed"
    call_peaks(found.fragments, found.types.index).to_csv(bed, sep="\t", header=False, index=False)
    cells = count_fragments([found.path], peakatlas.read_bed(bed), barcodes=list(found.types.index))
    cells.obs["cell_type"] = found.types[cells.obs_names].to_numpy()
    return cells


def main() -> None:
    """Parse the options, train, write bundle and card."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=sorted(CARDS))
    parser.add_argument("source", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    args = parser.parse_args()
    terms = read_label_table(ROOT / "scripts" / "bundles" / f"{args.name}.tsv")
    options = TrainOptions(ontology=True, lineages=True, label_terms=terms, max_cells=CELLS)
    with tempfile.TemporaryDirectory() as folder:
        if args.name.startswith("pbmc"):
            cells = pbmcs(args.source, Path(folder))
            path = Path(folder) / "pbmc.h5ad"
            cells.write_h5ad(path)
        else:
            path = args.source
        bundle = peakatlas.train(path, "cell_type", options=options, progress=print)
    bundle.save(args.out)
    write_card(args.out, CARDS[args.name])
    print(bundle)


if __name__ == "__main__":
    main()
