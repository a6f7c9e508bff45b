"""What goes between the driver and a peer: cells without secrets one way, labels the other.

The driver imports this module, and so do the scripts that run in a peer's own environment; it
needs nothing but anndata, pandas and numpy.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

LABELS = "cell_type"


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a peer's script was asked to do."""

    reference: ad.AnnData
    """Counts, float32 CSR, and ``obs["cell_type"]``."""
    query: ad.AnnData
    """Counts, float32 CSR, and nothing else."""
    seed: int
    labels: Path
    """CSV file to write."""
    plain: bool
    """Whether variants of the peer are left out."""


def write_side(cells: ad.AnnData, path: Path, prefix: str, labels: NDArray[np.str_] | None) -> None:
    """Write the counts of one side and, for the reference, its labels; all else is left out.

    Cells are numbered, since the names that cells have elsewhere may tell their type.

    Parameters
    ----------
    cells : AnnData
        Counts, cells × peaks.
    path : Path
        h5ad file to write.
    prefix : str
        What the numbered names begin with.
    labels : str, shape (n_cells,), optional
    """
    obs = pd.DataFrame(index=[f"{prefix}{row}" for row in range(cells.n_obs)])
    if labels is not None:
        obs[LABELS] = pd.Categorical(labels)
    counts = sp.csr_matrix(cells.X, dtype=np.float32)
    ad.AnnData(counts, obs=obs, var=pd.DataFrame(index=cells.var_names)).write_h5ad(path)


def read_job() -> Job:
    """The job of this process, from its command line."""
    parser = argparse.ArgumentParser()
    for name in ("reference", "query", "labels"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--plain", action="store_true", help="leave variants out")
    asked = parser.parse_args()
    reference, query = ad.read_h5ad(asked.reference), ad.read_h5ad(asked.query)
    return Job(
        reference=reference,
        query=query,
        seed=asked.seed,
        labels=asked.labels,
        plain=asked.plain,
    )


def write_labels(job: Job, **labels: object) -> None:
    """Write a column of labels for each variant, in the order of the query's cells."""
    columns = {name: np.asarray(column, np.str_) for name, column in labels.items()}
    pd.DataFrame(columns, index=job.query.obs_names).to_csv(job.labels, index_label="cell")


def read_labels(path: Path, prefix: str, n_cells: int) -> dict[str, NDArray[np.str_]]:
    """Labels by variant, str, shape (n_cells,).

    Raises
    ------
    ValueError
        If the table is not one row for each cell, in order.
    """
    table = pd.read_csv(path, index_col="cell", dtype=str, keep_default_na=False)
    if list(table.index) != [f"{prefix}{row}" for row in range(n_cells)]:
        raise ValueError(
            f"{path}: expected the {n_cells} cells {prefix}0, {prefix}1, … in this order, found "
            f"{len(table)} beginning with {', '.join(table.index[:5])}. Mend the peer's script."
        )
    return {str(name): table[name].to_numpy().astype(np.str_) for name in table.columns}
