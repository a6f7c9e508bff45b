"""The demo's slice of real DNA, and the places on it that can be open."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from peakatlas.engine.dna.genome import open_genome
from peakatlas.engine.dna.motifs import MOTIFS, strongest_sites
from peakatlas.engine.intervals.table import Intervals
from peakatlas.engine.tokens.letters import letter_codes

if TYPE_CHECKING:
    from numpy.typing import NDArray

DATA = Path(__file__).parent / "data"
"""Folder of the packaged files."""
SLICE = "chr20:42500000-46500000"
"""Record of the slice; intervals are in coordinates of GRCh37 chr20."""
ISLAND_CPGS = 30
"""CpGs within 250 bp of the centre that make an element a CpG island."""
EDGE_BP = 1000
"""Margin of the slice without elements."""


@dataclass(frozen=True)
class Elements:
    """Places of the slice that can be open.

    Parameters
    ----------
    centre : int64, shape (n,)
        Offset in bp into the slice, ascending.
    sites : float64, shape (n, n_motifs)
        Sites of each regulator within reach, at most 2.
    gc : float64, shape (n,)
        Standardised GC share.
    island : bool, shape (n,)
        Rich in CpG: open in every type.
    """

    centre: NDArray[np.int64]
    sites: NDArray[np.float64]
    gc: NDArray[np.float64]
    island: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.centre)


def read_slice() -> NDArray[np.uint8]:
    """DNA of the packaged slice as 0-3, shape (4000000,).

    Raises
    ------
    GenomeError
        If the packaged FASTA is damaged.
    """
    chrom, start, end = slice_bounds()
    whole = Intervals.from_columns([chrom], [start], [end])
    return letter_codes(open_genome(DATA / "slice.fa.gz").fetch(whole).data)


def place_elements(
    codes: NDArray[np.uint8], *, n: int, reach: int, spacing: int, bp_per_site: int
) -> Elements:
    """Put elements where sites of several regulators, or CpGs, cluster.

    Parameters
    ----------
    codes : uint8, shape (n_bp,)
        DNA as from `letter_tokens.letter_codes`.
    n : int
        Elements to place, fewer if the DNA has no room.
    reach, spacing, bp_per_site : int
        As in `simulate.Design`, in bp.
    """
    found = [strongest_sites(codes, motif.consensus, bp_per_site=bp_per_site) for motif in MOTIFS]
    cpg = np.flatnonzero((codes[:-1] == 1) & (codes[1:] == 2))
    grid = np.arange(EDGE_BP, len(codes) - EDGE_BP, 20)
    sites = np.minimum([_within(places, grid, reach) for places in found], 2).T
    island = _within(cpg, grid, 250) >= ISLAND_CPGS
    attraction = sites.sum(axis=1) + np.where(island, 8, 0)
    chosen = _spaced_maxima(attraction, grid, spacing=spacing, n=n)
    gc = _within(np.flatnonzero((codes == 1) | (codes == 2)), grid[chosen], 250)
    return Elements(
        grid[chosen],
        sites[chosen].astype(np.float64),
        (gc - gc.mean()) / gc.std(),
        island[chosen],
    )


def write_slice(chr20: Path, path: Path) -> None:
    """Cut the slice out of GRCh37 chromosome 20.

    Parameters
    ----------
    chr20 : Path
        FASTA with the whole chromosome as its first record (gzip), e.g. of the Debian package
        vt-examples (sequence MD5 0dec9660ec1efaaf33281c0d5ea2560f).
    path : Path
        Gzip FASTA to write; one record, `SLICE`.

    Raises
    ------
    OSError
        If a file cannot be read or written.
    """
    _, start, end = slice_bounds()
    with gzip.open(chr20, "rt") as lines:
        next(lines)
        dna = "".join(line.rstrip() for line in lines)[start:end]
    text = f">{SLICE}\n" + "".join(f"{dna[i : i + 1000]}\n" for i in range(0, len(dna), 1000))
    path.write_bytes(gzip.compress(text.encode("ascii"), compresslevel=9, mtime=0))


def slice_bounds() -> tuple[str, int, int]:
    """Contig, start and end of the slice, in bp."""
    chrom, _, span = SLICE.partition(":")
    start, end = span.split("-")
    return chrom, int(start), int(end)


def _within(places: NDArray[np.int64], centres: NDArray[np.int64], reach: int) -> NDArray[np.int64]:
    """How many sorted `places` lie within `reach` bp of each centre."""
    first, last = (np.searchsorted(places, centres + d) for d in (-reach, reach + 1))
    return np.asarray(last - first, np.int64)


def _spaced_maxima(
    value: NDArray[np.int64], grid: NDArray[np.int64], *, spacing: int, n: int
) -> NDArray[np.int64]:
    """Rows of the n highest values at least `spacing` bp apart, ascending."""
    step = int(grid[1] - grid[0])
    clear = -(-spacing // step)
    free = np.ones(len(grid) + 2 * clear, np.bool_)
    chosen: list[int] = []
    for row in np.argsort(-value, kind="stable").tolist():
        if free[row + clear]:
            chosen.append(row)
            free[row + 1 : row + 2 * clear] = False
        if len(chosen) == n:
            break
    return np.sort(np.asarray(chosen, np.int64))
