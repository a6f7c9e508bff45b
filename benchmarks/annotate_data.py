"""Real labelled cells, and how they are split."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import anndata as ad
import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold

LABELS = "cell_type"
SCHEP = (
    "schep2017/schep2017_600cells_5036peaks.h5ad",
    "schep2017/schep2017_5036peaks_readconsensus.fa.gz",
)
FILES: dict[str, tuple[str, str | None]] = {
    "schep2017": SCHEP,
    "schep2017-halves": SCHEP,
    "granja2019": (
        "granja2019/granja2019_bmmc_569peaks_refseq.h5ad",
        "granja2019/granja2019_569peaks.fa.gz",
    ),
    "granja2019-10k": ("granja2019/granja2019_bmmc_10kpeaks.h5ad", None),
}
HALVINGS_A_SEED = 2


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Labelled cells, and the FASTA of their peaks if there is one."""

    cells: ad.AnnData
    peaks_fasta: Path | None

    @property
    def truth(self) -> NDArray[np.str_]:
        """Cell types, str, shape (n_cells,)."""
        return self.cells.obs[LABELS].to_numpy().astype(np.str_)


@dataclass(frozen=True, kw_only=True)
class Split:
    """Rows of reference and query cells, and the peaks that each side has."""

    reference: NDArray[np.int64]
    query: NDArray[np.int64]
    reference_peaks: NDArray[np.int64] | None = None
    """None for all."""
    query_peaks: NDArray[np.int64] | None = None

    def sides(self, dataset: Dataset) -> tuple[ad.AnnData, ad.AnnData]:
        """Labelled reference and unlabelled query."""
        every = np.arange(dataset.cells.n_vars)
        here, there = (
            every if peaks is None else peaks for peaks in (self.reference_peaks, self.query_peaks)
        )
        query = dataset.cells[self.query, there].copy()
        del query.obs[LABELS]
        return dataset.cells[self.reference, here].copy(), query


def load_dataset(name: str, data: Path) -> Dataset:
    """Read one of the data sets.

    Parameters
    ----------
    name : str
        A key of `FILES`.
    data : Path
        Folder with ``schep2017/`` and ``granja2019/``.
    """
    h5ad, fasta = FILES[name]
    if not (data / h5ad).exists():
        sys.exit(f"error: {data / h5ad} does not exist. Say where the data are with --data.")
    return Dataset(
        cells=ad.read_h5ad(data / h5ad), peaks_fasta=None if fasta is None else data / fasta
    )


def splits(name: str, dataset: Dataset, seed: int) -> dict[str, list[list[Split]]]:
    """Tasks by name; each is a list of repeats, and the splits of a repeat are scored together."""
    if name == "schep2017":
        return {"5-fold": [_folds(dataset, 5, seed)]}
    if name == "schep2017-halves":
        seeds = range(HALVINGS_A_SEED * seed, HALVINGS_A_SEED * (seed + 1))
        return {"no shared peaks": [_halves(dataset, each) for each in seeds]}
    batch = dataset.cells.obs["batch"].to_numpy().astype(np.str_)
    first, second = (np.flatnonzero(batch == f"BMMC_{donor}") for donor in ("D5T1", "D6T1"))
    return {
        "D6T1->D5T1": [[Split(reference=second, query=first)]],
        "D5T1->D6T1": [[Split(reference=first, query=second)]],
    }


def _folds(dataset: Dataset, n_folds: int, seed: int) -> list[Split]:
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
    pairs = folds.split(dataset.truth, dataset.truth)
    return [Split(reference=reference, query=query) for reference, query in pairs]


def _halves(dataset: Dataset, seed: int) -> list[Split]:
    """Two folds of cells; each side sees a random half of the peaks that the other does not."""
    order = np.random.default_rng(1000 + seed).permutation(dataset.cells.n_vars)
    here, there = np.sort(order[: len(order) // 2]), np.sort(order[len(order) // 2 :])
    return [
        Split(reference=s.reference, query=s.query, reference_peaks=here, query_peaks=there)
        for s in _folds(dataset, 2, seed)
    ]
