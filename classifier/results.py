"""What an annotation writes: into an AnnData, or into a copy of an h5ad file."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anndata as ad
import h5py  # type: ignore[import-untyped]

from peakatlas.classifier.counts.written import (
    OBSM_KEYS,
    SCHEMA_COLUMN,
    UNS_KEY,
    keyed,
    result_columns,
)

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

EMBEDDING_KEY = "X_peakatlas"
PROBABILITIES_KEY = "peakatlas_probabilities"
TIER_KEY = "peakatlas_tier"


@dataclass(frozen=True, eq=False, kw_only=True)
class Results:
    """All that is written of an annotation."""

    obs: pd.DataFrame
    """One row a cell; its columns are those of `OBS_COLUMNS`, then those of levels and of terms."""
    tiers: pd.Categorical[Any]
    """What served each peak, shape (n_peaks,)."""
    embedding: NDArray[np.float32]
    """Shape (n_cells, n_axes)."""
    probabilities: NDArray[np.float32]
    """Shape (n_cells, n_types)."""
    uns: dict[str, Any]

    def put_into(self, adata: ad.AnnData, key: str = UNS_KEY) -> None:
        """Write into an AnnData, in place of an earlier annotation; the user's own stays.

        Parameters
        ----------
        adata : AnnData
            Of the same cells and peaks.
        key : str
            What stands in all names in the place of ``peakatlas``.
        """
        adata.obs = adata.obs.drop(columns=result_columns(adata, key))
        own = SCHEMA_COLUMN in adata.obs
        for name in self.obs:
            if name != SCHEMA_COLUMN or not own:
                adata.obs[keyed(str(name), key)] = self.obs[name].array
        adata.var[keyed(TIER_KEY, key)] = self.tiers
        adata.obsm[keyed(EMBEDDING_KEY, key)] = self.embedding
        adata.obsm[keyed(PROBABILITIES_KEY, key)] = self.probabilities
        wrote = not own and SCHEMA_COLUMN in self.obs
        adata.uns[key] = {**self.uns, **({"schema_column": SCHEMA_COLUMN} if wrote else {})}

    def write_copy(self, adata: ad.AnnData, source: str | Path, out: str | Path) -> None:
        """Write a copy of an h5ad file with the results; its counts are not read.

        Parameters
        ----------
        adata : AnnData
            What was read of the file.
        source, out : str or Path
            `out` is replaced.
        """
        shutil.copyfile(source, out)
        shell = ad.AnnData(obs=adata.obs.copy(), var=adata.var.copy(), uns=dict(adata.uns))
        self.put_into(shell)
        shell.strings_to_categoricals()
        with h5py.File(out, "r+") as file:
            for name in ("obs", "var"):
                _replace(file, name, getattr(shell, name))
            obsm = file.require_group("obsm")
            for name in set(OBSM_KEYS) & set(obsm):  # a map of an earlier annotation as well
                del obsm[name]
            for name in (EMBEDDING_KEY, PROBABILITIES_KEY):
                _replace(obsm, name, shell.obsm[name])
            _replace(file.require_group("uns"), UNS_KEY, shell.uns[UNS_KEY])


def _replace(group: h5py.Group, name: str, value: object) -> None:
    if name in group:
        del group[name]
    ad.io.write_elem(group, name, value)
