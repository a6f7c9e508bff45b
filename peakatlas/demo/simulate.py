"""Simulate the demo's cells on a slice of real DNA.

The slice is GRCh37 chr20:42,500,000-46,500,000. The cells are simulated:

1. Sites of 13 regulators are found on the slice with their consensus motifs (`motifs`); elements
   are placed where sites cluster, and at CpG islands, more densely than in a real genome.
2. A cell type has an activity for each regulator. An element is as open as the activities of the
   regulators with sites in it say, plus a part that its DNA does not explain. Cells lean towards
   a related type by up to 40 %.
3. A donor has a sequencing depth, a GC bias, an own taste for each element, and an own peak list:
   the query's peaks are partly those of the reference, partly resized about the same centre,
   partly shifted, and partly on elements that no reference peak covers.
4. Fragments are Poisson. One cell type is left out of the reference.

``python -m peakatlas.demo.simulate`` writes the packaged files again, bit for bit. All chance is
drawn as uniform doubles from PCG64, the most stable stream that numpy offers.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse
from scipy.special import gammaincc, ndtri

from peakatlas.engine.dna.motifs import MOTIFS

from .elements import DATA, Elements, place_elements, read_slice, slice_bounds, write_slice

if TYPE_CHECKING:
    from numpy.typing import NDArray

SEED = 20
REFERENCE_FILE = "simulated_reference.h5ad"
QUERY_FILE = "simulated_query.h5ad"
MISSING_TYPE = "erythroid"
"""Cell type that the reference does not have."""

_ACTIVITY: dict[str, dict[str, float]] = {
    "progenitor": {"RUNX1": 1.0, "GATA1": 0.4, "ETS1": 0.5, "SPI1": 0.3, "AP1": 0.3},
    "monocyte": {"SPI1": 1.0, "CEBPA": 1.0, "AP1": 0.5, "IRF8": 0.2},
    "dendritic": {"SPI1": 0.8, "IRF8": 1.0, "AP1": 0.2, "RUNX1": 0.2},
    "B": {"EBF1": 1.0, "PAX5": 1.0, "SPI1": 0.3, "IRF8": 0.3},
    "T": {"TCF7": 1.0, "RUNX1": 0.5, "ETS1": 0.7},
    "NK": {"TBX21": 1.0, "RUNX1": 0.5, "ETS1": 0.6, "TCF7": 0.2},
    "erythroid": {"GATA1": 1.0, "KLF1": 1.0, "RUNX1": 0.1},
}
CELL_TYPES = tuple(_ACTIVITY)
_KIN = {  # the type that a cell leans towards
    "progenitor": "monocyte",
    "monocyte": "dendritic",
    "dendritic": "monocyte",
    "B": "progenitor",
    "T": "NK",
    "NK": "T",
    "erythroid": "erythroid",
}


@dataclass(frozen=True, kw_only=True)
class Design:
    """Numbers of the simulation; the defaults made the packaged files."""

    bp_per_site: int = 1800
    """Length of DNA in bp with one site of a regulator on average."""
    n_elements: int = 2600
    """Elements that can be open in some cell."""
    spacing: int = 700
    """Least distance in bp between the centres of two elements."""
    reach: int = 120
    """Distance in bp from an element's centre at which sites still count."""
    effect: float = 2.0
    """Log-openness that a fully active regulator with a site adds."""
    unexplained: float = 0.3
    """Standard deviation of log-openness per element and type that is not in the DNA."""
    blend: float = 0.4
    """Largest share of a cell's programme that is that of a related type."""
    jitter: float = 0.25
    """Standard deviation of a regulator's activity among the cells of a type."""
    donor_taste: float = 0.2
    """Standard deviation of log-openness per element and donor."""
    ambient: float = 0.2
    """Share of fragments that fall on elements regardless of the cell type."""


@dataclass(frozen=True, kw_only=True)
class Donor:
    """One donor: who is in the sample and how it was sequenced."""

    name: str
    """Value of ``obs["donor"]``."""
    cells: dict[str, int]
    """Number of cells of each type."""
    depth: float
    """Median number of fragments in elements per cell."""
    gc_bias: float
    """Log-openness per standard deviation of GC share."""


REFERENCE = (
    Donor(name="reference_1", depth=590, gc_bias=0.0, cells={
        "progenitor": 55, "monocyte": 90, "dendritic": 35, "B": 60, "T": 90, "NK": 40}),
    Donor(name="reference_2", depth=420, gc_bias=0.1, cells={
        "progenitor": 35, "monocyte": 60, "dendritic": 25, "B": 50, "T": 70, "NK": 30}),
)  # fmt: skip
QUERY = Donor(name="query_1", depth=240, gc_bias=-0.1, cells={
    "progenitor": 60, "monocyte": 60, "dendritic": 40, "B": 70, "T": 60, "NK": 50,
    "erythroid": 60})  # fmt: skip


class Chance:
    """Random numbers made from uniform doubles alone."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.Generator(np.random.PCG64(seed))

    def uniform(self, *shape: int) -> NDArray[np.float64]:
        """Uniform in (0, 1)."""
        return self._rng.random(shape) * (1 - 2e-12) + 1e-12

    def normal(self, *shape: int) -> NDArray[np.float64]:
        """Standard normal, by inversion."""
        return np.asarray(ndtri(self.uniform(*shape)), np.float64)

    def poisson(self, mean: NDArray[np.float64], *, most: int = 4) -> NDArray[np.int32]:
        """Poisson, by inversion, at most `most`."""
        tail = self.uniform(*mean.shape)
        counts = np.zeros(mean.shape, np.int32)
        for k in range(1, most + 1):
            counts += tail < 1 - gammaincc(k, mean)
        return counts

    def order(self, n: int) -> NDArray[np.int64]:
        """A random order of n things."""
        return np.argsort(self.uniform(n), kind="stable")


def simulate_cells(
    elements: Elements, donor: Donor, design: Design, seed: int
) -> tuple[NDArray[np.int32], NDArray[np.object_]]:
    """Fragments of every cell of a donor in every element.

    Parameters
    ----------
    elements : Elements
    donor : Donor
    design : Design
    seed : int
        Of the donor; what all donors share comes from `SEED`.

    Returns
    -------
    fragments : int32, shape (n_cells, n_elements)
    cell_type : object, shape (n_cells,)
    """
    shared, own = Chance(SEED), Chance(seed)
    base = 0.8 * shared.normal(len(elements)) + np.where(elements.island, 1.5, 0.0)
    private = design.unexplained * shared.normal(len(CELL_TYPES), len(elements))
    base = base + design.donor_taste * own.normal(len(elements)) + donor.gc_bias * elements.gc
    types = np.repeat(np.arange(len(CELL_TYPES)), [donor.cells.get(t, 0) for t in CELL_TYPES])
    types = types[own.order(len(types))]
    programme = design.effect * _activities() @ elements.sites.T + private
    jitter = np.exp(design.jitter * own.normal(len(types), len(MOTIFS))) - 1
    blended = _blended(programme, types, design.blend * own.uniform(len(types)))
    wobble = design.effect * (_activities()[types] * jitter) @ elements.sites.T
    openness = np.exp(base + blended + wobble)
    share = openness / openness.sum(axis=1, keepdims=True)
    ambient = np.exp(base) / np.exp(base).sum()
    depth = donor.depth * np.exp(0.35 * own.normal(len(types)))[:, None]
    mean = depth * ((1 - design.ambient) * share + design.ambient * ambient)
    return own.poisson(mean), np.asarray(CELL_TYPES, dtype=object)[types]


def call_peaks(elements: Elements, seed: int) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Peak lists of the registry, the reference and the query.

    The registry is what the atlas is built from; the reference's peaks are among it. Of the
    query's peaks, some are in the registry as they are, some have the centre of one but another
    width, some are shifted a little (up to 20 bp) or far (60-200 bp), and some lie on elements
    that the registry does not have.

    Parameters
    ----------
    elements : Elements
    seed : int

    Returns
    -------
    registry, reference, query : DataFrame
        Columns ``chrom``, ``start``, ``end`` (bp on GRCh37 chr20) and ``element``, by position.
    """
    chance = Chance(seed)
    n = len(elements)
    order = chance.order(n)
    registry, only_query = order[: int(0.85 * n)], order[int(0.85 * n) :]
    reference = registry[: int(0.75 * n)]
    width = np.full(n, 501)
    seen = np.concatenate([registry[chance.uniform(len(registry)) < 0.8], only_query])
    kind = np.digitize(chance.uniform(n), [0.35, 0.5, 0.7])
    sign = np.where(chance.uniform(n) < 0.5, -1, 1)
    small = np.floor(1 + 20 * chance.uniform(n))
    large = np.floor(60 + 141 * chance.uniform(n))
    shift = sign * np.select([kind == 2, kind == 3], [small, large], 0)
    query_width = np.where(kind == 0, 501, 2 * np.floor(151 + 250 * chance.uniform(n)) + 1)
    return (
        _peak_table(elements, registry, width, np.zeros(n)),
        _peak_table(elements, reference, width, np.zeros(n)),
        _peak_table(elements, seen, query_width, shift),
    )


def simulate(design: Design | None = None) -> tuple[pd.DataFrame, ad.AnnData, ad.AnnData]:
    """The demo's peaks, reference and query, all simulated on the packaged slice.

    Parameters
    ----------
    design : Design, optional
        Default: the one of the packaged files.

    Returns
    -------
    registry : DataFrame
        Columns ``chrom``, ``start``, ``end``: what the atlas is built from.
    reference, query : AnnData
        Fragment counts (CSR), ``obs`` ``cell_type`` and ``donor``, ``uns["simulated"]``.

    Raises
    ------
    GenomeError
        If the packaged FASTA is damaged.
    """
    design = design or Design()
    elements = place_elements(
        read_slice(),
        n=design.n_elements,
        reach=design.reach,
        spacing=design.spacing,
        bp_per_site=design.bp_per_site,
    )
    registry, reference_peaks, query_peaks = call_peaks(elements, SEED + 1)
    parts = [
        _cells(elements, donor, design, peaks=reference_peaks, seed=SEED + 2 + i)
        for i, donor in enumerate(REFERENCE)
    ]
    reference = ad.concat(parts, merge="same", uns_merge="same")
    query = _cells(elements, QUERY, design, peaks=query_peaks, seed=SEED + 9)
    return registry.drop(columns="element"), reference, query


def write(folder: Path) -> None:
    """Write ``peaks.bed``, ``simulated_reference.h5ad`` and ``simulated_query.h5ad``.

    Parameters
    ----------
    folder : Path
        Made if absent; files of these names are replaced.

    Raises
    ------
    OSError
        If the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    registry, reference, query = simulate()
    registry.to_csv(folder / "peaks.bed", sep="\t", header=False, index=False, lineterminator="\n")
    reference.write_h5ad(folder / REFERENCE_FILE, compression="gzip", compression_opts=9)
    query.write_h5ad(folder / QUERY_FILE, compression="gzip", compression_opts=9)


def main() -> None:
    """Write the packaged files again."""
    parser = argparse.ArgumentParser(description="Write the demo's simulated cells.")
    parser.add_argument("--out", type=Path, default=DATA, help="folder to write to")
    parser.add_argument("--chr20", type=Path, help="FASTA of GRCh37 chr20: cut the slice as well")
    options = parser.parse_args()
    if options.chr20:
        write_slice(options.chr20, DATA / "slice.fa.gz")
    write(options.out)


def _activities() -> NDArray[np.float64]:
    """Activity of each regulator in each type, shape (n_types, n_motifs); CTCF acts in all."""
    rows = [{"CTCF": 0.7, **_ACTIVITY[cell_type]} for cell_type in CELL_TYPES]
    return np.array([[row.get(motif.name, 0.0) for motif in MOTIFS] for row in rows])


def _blended(
    programme: NDArray[np.float64], types: NDArray[np.int64], share: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Each cell's row of `programme`, mixed with that of the type's kin."""
    kin = np.array([CELL_TYPES.index(_KIN[name]) for name in CELL_TYPES])[types]
    return np.asarray(
        (1 - share)[:, None] * programme[types] + share[:, None] * programme[kin], np.float64
    )


def _peak_table(
    elements: Elements,
    rows: NDArray[np.int64],
    width: NDArray[np.float64] | NDArray[np.int64],
    shift: NDArray[np.float64],
) -> pd.DataFrame:
    """Peaks of odd `width` about the shifted centres of some elements, by position."""
    chrom, origin, _ = slice_bounds()
    rows = np.sort(rows)
    centre = origin + elements.centre[rows] + shift[rows].astype(np.int64)
    half = width[rows].astype(np.int64) // 2
    table = pd.DataFrame(
        {"chrom": chrom, "start": centre - half, "end": centre + half + 1, "element": rows}
    )
    return table.sort_values(["start", "end"], ignore_index=True)


def _cells(
    elements: Elements, donor: Donor, design: Design, *, peaks: pd.DataFrame, seed: int
) -> ad.AnnData:
    """Cells of one donor over its peaks."""
    fragments, cell_type = simulate_cells(elements, donor, design, seed)
    names = [f"{donor.name}_{i:04d}" for i in range(len(cell_type))]
    obs = pd.DataFrame({"cell_type": cell_type, "donor": donor.name}, index=names, dtype="category")
    var = peaks[["chrom", "start", "end"]].copy()
    var.index = pd.Index(
        [f"{c}:{s}-{e}" for c, s, e in zip(var.chrom, var.start, var.end, strict=True)]
    )
    matrix = sparse.csr_matrix(fragments[:, peaks["element"].to_numpy()])
    note = "Simulated cells on real DNA (GRCh37 chr20); see peakatlas.demo.simulate."
    return ad.AnnData(matrix, obs=obs, var=var, uns={"simulated": note})


if __name__ == "__main__":
    main()
