"""Schep cells whose reference and query have a given share of their peaks in common."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from annotate_tasks import SHARED_SET, SHARES, Task, load
from numpy.typing import NDArray

import peakatlas
from peakatlas.classifier.models.protocol import Cells, DnaInput

FASTA = "schep2017/schep2017_5036peaks_readconsensus.fa.gz"
PERMUTED = "permuted"
CHUNK = 50


def shared_tasks(folder: Path, seed: int, model: str) -> Iterator[Task]:
    """Half of the cells as reference; the peaks that are not shared are dealt to either side."""
    data = load("schep2017", folder)
    vectors = embeddings(folder, model)
    rng = np.random.default_rng(seed)
    n_cells, n_peaks = data.counts.shape
    cells, peaks = rng.permutation(n_cells), rng.permutation(n_peaks)
    here, there = np.sort(cells[: n_cells // 2]), np.sort(cells[n_cells // 2 :])
    shuffled = vectors[np.random.default_rng(seed + 9).permutation(n_peaks)]
    for share in SHARES:
        k = int(share * n_peaks)
        common, own, other = peaks[:k], peaks[k:][::2], peaks[k:][1::2]
        for name, embedded in (("", vectors), (f"_{PERMUTED}", shuffled)):
            yield Task(
                set=SHARED_SET,
                pair=f"share{share}{name}",
                variant="plain",
                seed=seed,
                reference=side(data.counts[here], common, own, own, embedded, data.labels[here]),
                query=side(data.counts[there], common, other, own, embedded, None),
                truth=data.labels[there],
            )


def side(
    counts: sp.csr_matrix,
    common: NDArray[np.int64],
    mine: NDArray[np.int64],
    of_reference: NDArray[np.int64],
    vectors: NDArray[np.float32],
    labels: NDArray[np.str_] | None,
) -> Cells:
    """Cells that show the common peaks and their own; columns are the reference's peaks."""
    columns, listed = np.concatenate([common, of_reference]), np.concatenate([common, mine])
    measured = np.isin(columns, listed)
    shown = sp.csr_matrix(counts[:, columns] @ sp.diags_array(measured.astype(np.float32)))
    shown.eliminate_zeros()
    place = np.full(counts.shape[1], -1)
    place[columns] = np.arange(len(columns))
    dna = DnaInput(counts=counts[:, listed], embeddings=vectors[listed], column=place[listed])
    return Cells(counts=shown, measured=measured, labels=labels, dna=dna)


@cache
def embeddings(folder: Path, model: str) -> NDArray[np.float32]:
    """Of Schep's peaks, with what follows the share of N taken out, standardised."""
    data = load("schep2017", folder)
    peaks = peakatlas.parse_names(data.names.tolist(), source="var_names")
    found = peakatlas.Embedder.load(model).embed(peaks, peakatlas.open_genome(folder / FASTA))
    values = found.values.astype(np.float64)
    known = np.isfinite(values).all(axis=1)
    design = np.stack([np.ones(known.sum()), found.n_fraction[known]], axis=1)
    values[known] -= design @ np.linalg.lstsq(design, values[known], rcond=None)[0]
    values[known] /= values[known].std(axis=0)
    return values.astype(np.float32)
