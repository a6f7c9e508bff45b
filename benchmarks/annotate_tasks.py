"""Development sets for label transfer: references, queries and what is done to them.

Labels of a query are kept apart (`Task.truth`) and are read by metrics only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import anndata as ad
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold

from peakatlas.classifier.models.protocol import Cells

FILES = {
    "granja2019": "granja2019/granja2019_bmmc_10kpeaks.h5ad",
    "bm0828": "buenrostro2018/buenrostro2018_bm0828_533cells_35983peaks.h5ad",
    "forebrain": "forebrain/forebrain_1043cells_7674peaks.h5ad",
    "schep2017": "schep2017/schep2017_600cells_5036peaks.h5ad",
}
CORE_SETS = ("granja2019", "bm0828", "forebrain", "schep2017")
CORE_VARIANTS = ("plain", "thin25", "few_types", "n60")
SHIFT_VARIANTS = ("shifted", "own_peaks")
VARIANTS = (*CORE_VARIANTS, "many_types_missing", *SHIFT_VARIANTS)
SHARES = (0.0, 0.02, 0.05, 0.1, 0.3, 0.6)
SHARED_SET = "schep2017_shared"
CROSS_SET = "granja_bm0828"
COMMON_NAMES = {
    "01_HSC": "HSC",
    "05_CMP.LMPP": "CMP.LMPP",
    "06_CLP.1": "CLP",
    "15_CLP.2": "CLP",
    "07_GMP": "GMP",
    "MPP": "HSC",
    "LMPP": "CMP.LMPP",
    "CMP": "CMP.LMPP",
}
"""Names of the types that granja2019 and bm0828 have in common; other names stay."""
PEAK_BP = 500
SMALL_QUERY = 60


@dataclass(frozen=True, kw_only=True, eq=False)
class Data:
    """Labelled cells of a file."""

    counts: sp.csr_matrix
    labels: NDArray[np.str_]
    batches: NDArray[np.str_]
    names: NDArray[np.str_]


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """One reference, one query, and the query's labels."""

    set: str
    pair: str
    variant: str
    seed: int
    reference: Cells
    query: Cells
    truth: NDArray[np.str_]


@cache
def load(name: str, folder: Path) -> Data:
    """Read one of `FILES`; granja2019's batches are shortened to D5T1 and D6T1."""
    cells = ad.read_h5ad(folder / FILES[name])
    batches = cells.obs["batch"].astype(str) if "batch" in cells.obs else None
    counts = sp.csr_matrix(cells.X, dtype=np.float32)
    counts.eliminate_zeros()
    return Data(
        counts=counts,
        labels=cells.obs["cell_type"].to_numpy().astype(np.str_),
        batches=np.full(cells.n_obs, "")
        if batches is None
        else np.char.replace(batches.to_numpy().astype(np.str_), "BMMC_", ""),
        names=cells.var_names.to_numpy().astype(np.str_),
    )


def changed_tasks(plain: Task, variant: str) -> Task:
    """A pair under a variant; the same for the same seed. A plain pair is as it was."""
    if variant == "plain":
        return plain
    return changed(plain, variant, np.random.default_rng([plain.seed, VARIANTS.index(variant)]))


def smaller(task: Task, limit: int) -> Task:
    """A pair with a random choice of cells on either side."""
    rng = np.random.default_rng(task.seed)
    here, there = (
        np.sort(rng.permutation(cells.n_cells)[:limit]) for cells in (task.reference, task.query)
    )
    return replace(
        task,
        reference=task.reference.take(here),
        query=task.query.take(there),
        truth=task.truth[there],
    )


def plain_tasks(name: str, folder: Path, seed: int) -> Iterator[Task]:
    """Every pair of a set as it is."""
    if name == CROSS_SET:
        yield from cross_tasks(folder, seed)
        return
    data = load(name, folder)
    for pair, reference, query in pairs(name, data, seed):
        yield Task(
            set=name,
            pair=pair,
            variant="plain",
            seed=seed,
            reference=Cells(counts=data.counts[reference], labels=data.labels[reference]),
            query=Cells(counts=data.counts[query]),
            truth=data.labels[query],
        )


def cross_tasks(folder: Path, seed: int) -> Iterator[Task]:
    """Two laboratories with peaks of their own, matched by overlap.

    The query is its cells of types that the reference has: others can be given no right label.
    """
    both = {name: load(name, folder) for name in ("granja2019", "bm0828")}
    for here, there in (("granja2019", "bm0828"), ("bm0828", "granja2019")):
        reference, query = both[here], both[there]
        types, truth = common(reference.labels), common(query.labels)
        known = np.flatnonzero(np.isin(truth, types))
        column = overlapping(reference.names, query.names)
        found = np.flatnonzero(column >= 0)
        shape = (len(query.names), len(reference.names))
        move = sp.csr_matrix((np.ones(len(found), np.float32), (found, column[found])), shape=shape)
        measured = np.bincount(column[found], minlength=len(reference.names)) > 0
        yield Task(
            set=CROSS_SET,
            pair=f"{here}>{there}",
            variant="plain",
            seed=seed,
            reference=Cells(counts=reference.counts, labels=types),
            query=Cells(
                counts=sp.csr_matrix(query.counts[known] @ move, dtype=np.float32),
                measured=measured,
            ),
            truth=truth[known],
        )


def common(labels: NDArray[np.str_]) -> NDArray[np.str_]:
    """Labels by `COMMON_NAMES`."""
    return np.array([COMMON_NAMES.get(label, label) for label in labels.tolist()], np.str_)


def overlapping(reference: NDArray[np.str_], query: NDArray[np.str_]) -> NDArray[np.int64]:
    """The reference peak of most overlap of each query peak, -1 where none."""
    chrom, start, end = parsed(reference)
    order = np.lexsort((start, chrom))
    column = np.full(len(query), -1, np.int64)
    best = np.zeros(len(query), np.int64)
    q_chrom, q_start, q_end = parsed(query)
    for name in np.unique(q_chrom):
        mine, theirs = np.flatnonzero(q_chrom == name), order[chrom[order] == name]
        place = np.searchsorted(start[theirs], q_end[mine])
        for back in (1, 2, 3):
            ok = place >= back
            rows, peaks = mine[ok], theirs[place[ok] - back]
            shared = np.minimum(end[peaks], q_end[rows]) - np.maximum(start[peaks], q_start[rows])
            better = shared > best[rows]
            column[rows[better]], best[rows[better]] = peaks[better], shared[better]
    return column


def parsed(
    names: NDArray[np.str_],
) -> tuple[NDArray[np.str_], NDArray[np.int64], NDArray[np.int64]]:
    """Contigs, starts and ends of names such as chr1:100-600."""
    parts = [name.replace("-", ":").split(":") for name in names.tolist()]
    return (
        np.array([p[0] for p in parts], np.str_),
        np.array([int(p[1]) for p in parts]),
        np.array([int(p[2]) for p in parts]),
    )


def pairs(name: str, data: Data, seed: int) -> Iterator[tuple[str, NDArray, NDArray]]:
    """Name, reference rows and query rows of each pair."""
    if name == "granja2019":
        first, second = (np.flatnonzero(data.batches == b) for b in ("D5T1", "D6T1"))
        yield "D6T1>D5T1", second, first
        yield "D5T1>D6T1", first, second
        return
    n_folds = 5 if name == "schep2017" else 2
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
    for number, (reference, query) in enumerate(folds.split(data.labels, data.labels)):
        yield f"fold{number}", reference, query


def changed(task: Task, variant: str, rng: np.random.Generator) -> Task:
    """The task with another query."""
    counts, truth = task.query.counts, task.truth
    everything = np.arange(len(truth))
    measured = task.query.measured
    if variant == "thin25":
        counts = thinned(counts, np.full(counts.shape[1], 0.25), rng)
    elif variant == "few_types":
        everything = np.flatnonzero(np.isin(truth, few_types(truth, 3, rng)))
    elif variant == "many_types_missing":
        n = len(np.unique(truth)) // 2
        everything = np.flatnonzero(np.isin(truth, few_types(truth, n, rng)))
    elif variant == "n60":
        everything = np.sort(rng.choice(len(truth), min(SMALL_QUERY, len(truth)), replace=False))
    elif variant == "shifted":
        counts, measured = both(measured, *shifted(counts, rng))
    elif variant == "own_peaks":
        counts, measured = both(measured, *own_peaks(counts, rng))
    query = Cells(counts=counts[everything], measured=measured)
    return replace(task, variant=variant, query=query, truth=truth[everything])


def both(
    before: NDArray[np.bool_] | None, counts: sp.csr_matrix, measured: NDArray[np.bool_]
) -> tuple[sp.csr_matrix, NDArray[np.bool_]]:
    """Counts on peaks that are measured by both lists."""
    measured = measured if before is None else measured & before
    return without(counts, measured), measured


def few_types(truth: NDArray[np.str_], n: int, rng: np.random.Generator) -> NDArray[np.str_]:
    """Random types of the query with at least 5 cells."""
    types, sizes = np.unique(truth, return_counts=True)
    kept = types[sizes >= 5]
    return rng.choice(kept, min(n, len(kept)), replace=False)


def thinned(
    counts: sp.csr_matrix, keep: NDArray[np.float64], rng: np.random.Generator
) -> sp.csr_matrix:
    """Counts of which each read stays with the probability of its peak."""
    data = rng.binomial(counts.data.astype(np.int64), keep[counts.indices]).astype(np.float32)
    found = sp.csr_matrix((data, counts.indices, counts.indptr), shape=counts.shape, copy=True)
    found.eliminate_zeros()
    return found


def shifted(
    counts: sp.csr_matrix, rng: np.random.Generator
) -> tuple[sp.csr_matrix, NDArray[np.bool_]]:
    """Another peak caller: peaks 100–200 bp off, a fifth of them dropped, a tenth merged.

    A shifted peak keeps the reads in what is left of the overlap, about the share of its length
    with an uneven pile-up; a merged peak takes its neighbour's reads, which is then not measured.
    """
    n = counts.shape[1]
    overlap = 1 - rng.uniform(100, 200, n) / PEAK_BP
    keep = np.clip(overlap + rng.normal(0, 0.3, n), 0.02, 1)
    moved = thinned(counts, keep, rng)
    target = np.arange(n)
    merged = np.flatnonzero(rng.random(n - 1) < 0.1) + 1
    target[merged] = merged - 1
    moved = sp.csr_matrix(
        moved @ sp.csr_matrix((np.ones(n, np.float32), (np.arange(n), target)), shape=(n, n))
    )
    measured = rng.random(n) >= 0.2
    measured[merged] = False
    return without(moved, measured), measured


def own_peaks(
    counts: sp.csr_matrix, rng: np.random.Generator
) -> tuple[sp.csr_matrix, NDArray[np.bool_]]:
    """Peaks called on the query alone: those that its pooled cells show, 0–100 bp off."""
    n = counts.shape[1]
    pooled = np.asarray(counts.sum(axis=0)).ravel()
    measured = rng.random(n) < pooled / (pooled + np.quantile(pooled, 0.3) + 1e-9)
    keep = np.clip(1 - rng.uniform(0, 100, n) / PEAK_BP + rng.normal(0, 0.2, n), 0.02, 1)
    return without(thinned(counts, keep, rng), measured), measured


def without(counts: sp.csr_matrix, measured: NDArray[np.bool_]) -> sp.csr_matrix:
    """Counts with nothing in the peaks that are not measured."""
    kept = sp.csr_matrix(counts @ sp.diags_array(measured.astype(np.float32)), dtype=np.float32)
    kept.eliminate_zeros()
    return kept
