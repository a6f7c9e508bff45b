"""Make `pbmc.h5ad`: counts of real PBMCs near 51 genes, from public fragments.

    pip download --no-deps --no-binary chromatinhd chromatinhd==0.4.3
    python tests/data/pbmc/make_pbmc.py chromatinhd-0.4.3.tar.gz

The sdist of chromatinhd 0.4.3 (MIT licence) holds 1.12 million hg38 fragments of 10,291 PBMCs near
51 genes, and cell types from the RNA of the same cells. Peaks are called from all fragments; 2,400
cells are drawn at random with a fixed seed, half of them as reference, half as query
(``obs["half"]``). Types with fewer than 20 cells in the draw are left out.
"""

import sys
import tempfile
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[2] / "benchmarks"))
CELLS = 2400
LEAST_CELLS = 20


def main(source: Path) -> None:
    """Write `pbmc.h5ad` beside this script."""
    from pbmc_walk import load  # noqa: PLC0415
    from pileup import call_peaks  # noqa: PLC0415

    from peakatlas import read_bed  # noqa: PLC0415
    from peakatlas.classifier.counts.fragment_counts import count_fragments  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        pbmcs = load(source, Path(folder))
        bed = Path(folder) / "peaks.bed"
        peaks = call_peaks(pbmcs.fragments, pbmcs.types.index)
        peaks.to_csv(bed, sep="\t", header=False, index=False)
        drawn = np.random.default_rng(0).permutation(pbmcs.types.index)[:CELLS]
        types = pbmcs.types[drawn]
        drawn = drawn[types.isin(types.value_counts().loc[lambda n: n >= LEAST_CELLS].index)]
        cells = count_fragments([pbmcs.path], read_bed(bed), barcodes=list(drawn))
    drawn = np.asarray(cells.obs_names)
    obs = {"cell_type": pbmcs.types[drawn].to_numpy(), "half": np.arange(len(drawn)) % 2}
    names = [f"cell-{number}" for number in range(len(drawn))]
    slim = ad.AnnData(cells.X.astype(np.float32), pd.DataFrame(obs, names), cells.var[[]].copy())
    slim.obs["half"] = np.where(slim.obs["half"] == 0, "reference", "query")
    slim.write_h5ad(HERE / "pbmc.h5ad", compression="gzip", compression_opts=9)
    print(slim)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
