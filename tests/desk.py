"""The files that README, the site and the docstrings speak of, small, from the packaged data."""

from __future__ import annotations

import gzip
import shutil
import tarfile
from typing import TYPE_CHECKING

import anndata as ad
from doc_blocks import ROOT

from peakatlas.demo.elements import DATA

if TYPE_CHECKING:
    from pathlib import Path

N_PEAKS = 100
CELLS_A_TYPE = 12


def few_cells(name: str, stop: int) -> ad.AnnData:
    """Some of the simulated cells of each type, on the peaks that begin before `stop` (bp)."""
    cells = ad.read_h5ad(DATA / name)
    cells = cells[:, cells.var["start"].to_numpy() < stop]
    kept = cells.obs.groupby("cell_type", observed=True).head(CELLS_A_TYPE).index
    return cells[kept].copy()


def write_fragments(cells: ad.AnnData, folder: Path) -> None:
    """A fragment within a peak for each of the cells' counts, and the list of the cells."""
    counts = cells.X.tocoo()
    start = cells.var["start"].to_numpy()
    rows = sorted(
        (int(start[peak]) + 10, cells.obs_names[cell])
        for cell, peak, n in zip(counts.row, counts.col, counts.data, strict=True)
        for _ in range(int(n))
    )
    lines = "".join(f"chr20\t{begin}\t{begin + 100}\t{cell}\t1\n" for begin, cell in rows)
    (folder / "fragments.tsv.gz").write_bytes(gzip.compress(lines.encode()))
    names = "\n".join(cells.obs_names) + "\n"
    (folder / "barcodes.tsv.gz").write_bytes(gzip.compress(names.encode()))


def write_sdist(cells: ad.AnnData, folder: Path) -> None:
    """The fragments and types of the cells, where the sources of chromatinhd have theirs."""
    inside = "chromatinhd-0.4.3/src/chromatinhd/data/examples/pbmc10ktiny"
    obs = cells.obs[["cell_type"]].rename(columns={"cell_type": "celltype"})
    ad.AnnData(obs=obs).write_h5ad(folder / "transcriptome.h5ad")
    with tarfile.open(folder / "chromatinhd-0.4.3.tar.gz", "w:gz") as archive:
        for name in ("fragments.tsv.gz", "transcriptome.h5ad"):
            archive.add(folder / name, f"{inside}/{name}")


def write_beds(folder: Path) -> int:
    """Peaks, others, regions, and a chain that moves nothing; where the peaks end, in bp."""
    bed = (DATA / "peaks.bed").read_text().splitlines(keepends=True)
    (folder / "peaks.bed").write_text("".join(bed[:N_PEAKS]))
    (folder / "my_peaks.narrowPeak").write_text("".join(bed[:N_PEAKS]))
    (folder / "more_peaks.bed").write_text("".join(bed[N_PEAKS : N_PEAKS + 10]))
    (folder / "others.bed").write_text("".join(bed[-10:]))
    stop = int(bed[N_PEAKS].split("\t")[1])
    terms = ("CL:0000788", "CL:0000860", "CL:0000623")
    elements = (f"{line.rstrip()}\t{terms[i % 3]}\n" for i, line in enumerate(bed[:N_PEAKS]))
    (folder / "elements.tsv").write_text("".join(elements))
    (folder / "labels.tsv").write_text("T\tCL:0000084\nB\tCL:0000236\nNK\tCL:0000623\n")
    (folder / "regions.bed").write_text(f"chr20\t42500000\t{stop}\n")
    chain = "chain 1 chr20 64000000 + 0 64000000 chr20 64000000 + 0 64000000 1\n64000000\n\n"
    (folder / "hg19ToHg38.over.chain.gz").write_bytes(gzip.compress(chain.encode()))
    return stop


def lay_out(folder: Path) -> None:
    """The files that the pages speak of, from the packaged data, small, under their names."""
    from peakatlas import Embedder, annotate, build_atlas, train  # noqa: PLC0415 (torch is slow)

    stop = write_beds(folder)
    reference = few_cells("simulated_reference.h5ad", stop)
    query = few_cells("simulated_query.h5ad", stop)
    reference.write_h5ad(folder / "reference.h5ad")
    for name in ("query.h5ad", "counts.h5ad"):
        query.write_h5ad(folder / name)
    write_fragments(reference, folder)
    write_sdist(reference, folder)
    for name in ("hg38.fa.gz", "genome.fa.gz"):
        shutil.copy(DATA / "slice.fa.gz", folder / name)
    embedder = Embedder.load("peaklm-v3")
    shutil.copytree(ROOT / "engine" / "models" / "peaklm-v3", folder / "my-model")
    build_atlas(folder / "hg38.fa.gz", folder / "others.bed", folder / "other.zarr", embedder)
    atlas = build_atlas(
        folder / "hg38.fa.gz", folder / "peaks.bed", folder / "atlas.zarr", embedder
    )
    bundle = train(folder / "reference.h5ad", "cell_type", atlas)
    bundle.save(folder / "bundle")
    annotate(folder / "query.h5ad", bundle, atlas).write_h5ad(folder / "annotated.h5ad")
    lay_out_demo(folder)


def lay_out_demo(folder: Path) -> None:
    """The packaged data and what `peakatlas demo` writes, small, where a clone has them."""
    data, out = folder / "peakatlas" / "demo" / "data", folder / "demo-output"
    data.mkdir(parents=True)
    out.mkdir()
    shutil.copy(folder / "hg38.fa.gz", data / "slice.fa.gz")
    shutil.copy(folder / "peaks.bed", data)
    shutil.copy(folder / "reference.h5ad", data / "simulated_reference.h5ad")
    shutil.copy(folder / "query.h5ad", data / "simulated_query.h5ad")
    shutil.copytree(folder / "atlas.zarr", out / "atlas.zarr")
    shutil.copytree(folder / "bundle", out / "bundle")
    shutil.copy(folder / "annotated.h5ad", out)
