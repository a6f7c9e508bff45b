"""A small world in files: genome, peaks, counts, a toy model, and the command line in process."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from desk import lay_out
from scipy import sparse

from peakatlas.cli.main import main

N_PEAKS = 60
TYPES = ("alpha", "beta", "gamma")


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


@pytest.fixture
def run(capsys, monkeypatch):
    """Run a command line and return its exit code, standard output and standard error."""

    def run(*arguments: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["peakatlas", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        captured = capsys.readouterr()
        return Ran(int(stopped.value.code or 0), captured.out, captured.err)

    return run


def peak_table(shift: int = 0) -> pd.DataFrame:
    start = 1000 + 900 * np.arange(N_PEAKS) + shift
    table = pd.DataFrame({"chrom": "chr1", "start": start, "end": start + 500})
    table.index = pd.Index([f"{c}:{s}-{e}" for c, s, e in table.itertuples(index=False)])
    return table


def cells(n_per_type: int, seed: int, shift: int = 0) -> ad.AnnData:
    """Each type opens its own third of the peaks."""
    rng = np.random.default_rng(seed)
    types = np.repeat(np.arange(len(TYPES)), n_per_type)
    rate = np.where(np.arange(N_PEAKS) % len(TYPES) == types[:, None], 0.8, 0.05)
    obs = pd.DataFrame(
        {"cell_type": np.asarray(TYPES)[types]}, index=[f"cell{i}" for i in range(len(types))]
    )
    counts = rng.poisson(rate).astype(np.int32)
    return ad.AnnData(sparse.csr_matrix(counts), obs=obs, var=peak_table(shift))


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> Path:
    """Folder with genome.fa, peaks.bed, reference.h5ad and query.h5ad (half its peaks new)."""
    folder = tmp_path_factory.mktemp("world")
    dna = "".join(np.random.default_rng(1).choice(list("ACGT"), 60_000))
    lines = "\n".join(dna[i : i + 60] for i in range(0, len(dna), 60))
    (folder / "genome.fa").write_text(f">chr1\n{lines}\n")
    bed = peak_table().to_csv(sep="\t", header=False, index=False)
    (folder / "peaks.bed").write_text(bed)
    cells(40, 0).write_h5ad(folder / "reference.h5ad")
    same, new = cells(15, 1), cells(15, 1, shift=130)
    half = np.arange(N_PEAKS) % 2 == 0
    query = ad.concat([same[:, half], new[:, ~half]], axis=1, merge="same")
    query.write_h5ad(folder / "query.h5ad")
    return folder


@pytest.fixture(scope="session")
def built(world, toy_esm) -> Path:
    """Atlas of the world's peaks by a toy model."""
    from peakatlas import Embedder, build_atlas  # noqa: PLC0415 (torch is slow)

    out = world / "atlas.zarr"
    build_atlas(world / "genome.fa", world / "peaks.bed", out, Embedder.load(str(toy_esm)))
    return out


@pytest.fixture(scope="session")
def trained(world, built) -> Path:
    """Bundle trained on the world's reference."""
    from peakatlas import Atlas, train  # noqa: PLC0415

    with Atlas.open(built) as atlas:
        train(world / "reference.h5ad", "cell_type", atlas).save(world / "bundle")
    return world / "bundle"


@pytest.fixture(scope="session")
def desk(tmp_path_factory) -> Path:
    """The files that the pages and the docstrings speak of, under their names."""
    folder = tmp_path_factory.mktemp("desk")
    lay_out(folder)
    return folder
