"""A small simulated world: types open peaks by groups that their embeddings tell apart."""

from __future__ import annotations

from dataclasses import dataclass

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

DIM = 8
WIDTH = 200


@dataclass(frozen=True)
class World:
    """Peaks of five groups; a cell of type i opens group i four times as often as the others."""

    start: np.ndarray
    group: np.ndarray
    values: np.ndarray

    @classmethod
    def draw(cls, n_peaks: int = 240, n_groups: int = 5, seed: int = 0) -> World:
        rng = np.random.default_rng(seed)
        group = rng.integers(0, n_groups, n_peaks)
        centres = rng.normal(size=(n_groups, DIM)) * 2
        values = centres[group] + rng.normal(size=(n_peaks, DIM))
        return cls(np.arange(n_peaks) * 1000 + 100, group, values.astype(np.float32))

    def cells(self, types, *, peaks=None, depth=60, seed=0, shift=0) -> ad.AnnData:
        """Cells of these types over some of the peaks, with `shift` bp between the peak calls."""
        rng = np.random.default_rng(seed)
        types = np.asarray(types)
        peaks = np.arange(len(self.start)) if peaks is None else np.asarray(peaks)
        chance = np.where(self.group[peaks][None, :] == types[:, None], 4.0, 1.0)
        chance *= depth * rng.uniform(0.6, 1.4, (len(types), 1)) / chance.sum(1, keepdims=True)
        counts = sp.csr_matrix(rng.poisson(chance).astype(np.float32))
        start = self.start[peaks] + shift
        var = pd.DataFrame({"chrom": "chr1", "start": start, "end": start + WIDTH})
        var.index = [f"chr1:{s}-{s + WIDTH}" for s in start]
        obs = pd.DataFrame({"cell_type": [f"type{t}" for t in types]})
        obs.index = [f"cell{seed}_{i}" for i in range(len(types))]
        return ad.AnnData(counts, obs=obs, var=var)


def types_of(per_type: int, types=(0, 1, 2, 3)) -> np.ndarray:
    return np.repeat(types, per_type)
