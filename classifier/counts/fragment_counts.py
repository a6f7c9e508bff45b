"""Fragments files counted on peaks, streamed: memory grows with the counts, not with the files."""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from peakatlas.classifier.counts.fragments import FragmentReader
from peakatlas.engine.errors import ContigError, CountsError
from peakatlas.engine.intervals.contig_names import in_other_style, match_contigs
from peakatlas.engine.intervals.overlap import OverlapIndex
from peakatlas.engine.intervals.table import Intervals

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from peakatlas.classifier.counts.fragments import FragmentBlock

Counting = Literal["insertions", "paired"]
SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class FragmentOptions:
    """What counts, and which barcodes are cells."""

    counting: Counting = "insertions"
    """``insertions``: every cut site adds 1 to each peak that it lies in, so a fragment with both
    ends in a peak adds 2 (the peak matrix of Cell Ranger ATAC). ``paired``: such a fragment adds 1
    (PIC)."""
    min_fragments: int = 1
    """Fewest fragments, anywhere in the genome, of a barcode that is kept."""
    match_contigs: bool = False
    """Whether contigs of the fragments are renamed by style (``chr1``, ``1``) to the peaks'."""
    any_order: bool = False
    """Whether the lines need not be sorted."""
    single_end: bool = False
    """Whether a line is one read: only where it begins did the transposase cut, at its start on the
    forward strand, which column six says, else at ``end - 1``."""


def count_fragments(
    files: Sequence[str | Path],
    peaks: Intervals,
    *,
    barcodes: Sequence[str] | None = None,
    prefixes: Sequence[str] | None = None,
    options: FragmentOptions | None = None,
    progress: Callable[[int], None] | None = None,
) -> ad.AnnData:
    """Count the fragments of cells over peaks.

    A line of a file is one fragment, however often it was sequenced. Tn5 cut at its `start` and at
    ``end - 1``; what is counted are these two sites, so that a fragment whose ends lie on either
    side of a peak adds nothing. A site in several overlapping peaks counts for each.

    Parameters
    ----------
    files : sequence of str or Path
        Fragments files, plain or gzip; ``-`` is standard input.
    peaks : Intervals
        In any order, none twice.
    barcodes : sequence of str, optional
        Cells, in the order of the result; others are left out. With several files, they have the
        prefix of their file and ``_``. A warning says how many of them do not occur.
    prefixes : sequence of str, optional
        One a file; put before its barcodes with ``_``. Without it, several files have their names
        up to the first dot.
    options : FragmentOptions, optional
    progress : callable, optional
        Called with the number of bytes of the files newly read.

    Returns
    -------
    AnnData
        `X` int32 CSR, cells × peaks; ``obs["n_fragments"]`` over the whole genome and, where there
        are prefixes, ``obs["sample"]``; ``var`` with chrom, start, end; ``uns["fragments"]``.

    Raises
    ------
    IntervalError
        If a file is damaged or a line of it cannot be used.
    ContigError
        If no contig of a file has peaks.
    CountsError
        If a peak or barcode is given twice, no barcode is left, or prefixes do not fit the files.

    References
    ----------
    Satpathy et al., Nat Biotechnol 37:925 (2019), for cut sites; Miao & Kim, Nat Methods 21:32
    (2024), for paired insertions.
    """
    options = options or FragmentOptions()
    _refuse_repeats(peaks.take(np.flatnonzero(peaks.duplicated())).names(), "peaks")
    listed = None if barcodes is None else pd.Index(np.asarray(barcodes, dtype=object))
    if listed is not None:
        repeated = [str(name) for name in listed[listed.duplicated()]]
        _refuse_repeats(repeated, "barcodes of the list")
    names = _prefixes(files, prefixes)
    tally = _Tally(OverlapIndex(peaks), len(peaks), options)
    for file, prefix in zip(files, names, strict=True):
        reader = FragmentReader(
            file,
            any_order=options.any_order,
            single_end=options.single_end,
            progress=progress,
        )
        tally.read(reader, prefix, listed)
    return _adata(tally, tally.kept_rows(listed), peaks, names if any(names) else None)


@dataclass
class _Tally:
    """Counts of the cells met so far."""

    index: OverlapIndex
    n_peaks: int
    options: FragmentOptions
    cells: list[str] = field(default_factory=list)
    """Names, with the prefix of their file."""
    depth: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    """Fragments of each cell, shape (n_cells,)."""
    file: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    """Which file has the cell, shape (n_cells,); -1 where none has it."""
    n_files: int = 0
    parts: list[tuple[NDArray[np.int32], ...]] = field(default_factory=list)
    """Cell, peak and count; a pair may occur in several."""
    n_fragments: int = 0
    """All that were read."""
    n_barcodes: int = 0
    """All that were seen."""
    has_strand: bool = False
    """Whether a file has a column of strands."""
    n_absent: int = 0
    """Barcodes of the list that no file has."""
    seen: list[str] = field(default_factory=list)
    """The first few barcodes, for an error."""

    def read(self, reader: FragmentReader, prefix: str, listed: pd.Index | None) -> None:
        """Count one file, whose barcodes get a prefix and ``_`` if that is not empty."""
        prefix = f"{prefix}_" if prefix else ""
        rows = np.empty(0, np.int32)
        for block in reader.blocks():
            new = [prefix + name for name in reader.barcodes[len(rows) :]]
            added = self._rows(new, listed)
            self.file[added[added >= 0]] = self.n_files
            rows = np.concatenate([rows, added])
            self.n_fragments += len(block)
            cell = rows[block.barcode_ids]
            self.depth += np.bincount(cell[cell >= 0], minlength=len(self.depth))
            self._count(block, cell, tuple(reader.contigs))
        self.n_barcodes += len(rows)
        self.has_strand |= reader.has_strand
        self.n_files += 1
        self.seen = self.seen or [prefix + name for name in reader.barcodes[:SHOWN]]
        self._require_contigs(reader)

    def kept_rows(self, listed: pd.Index | None) -> NDArray[np.int64]:
        """Cells of the result, in its order."""
        if listed is not None and not self.depth.any():
            raise CountsError(
                f"none of the {len(listed):,} barcodes of the list ({', '.join(listed[:SHOWN])}) "
                f"occurs in the fragments ({', '.join(self.seen)}). Write them alike."
            )
        if listed is not None:
            self._warn_of_absent(listed)
        least = self.options.min_fragments
        rows = np.flatnonzero(self.depth >= least)
        if not len(rows):
            raise CountsError(
                f"none of {self.n_barcodes:,} barcodes has {least:,} fragments; the deepest has "
                f"{self.depth.max(initial=0):,}. Lower --min-fragments."
            )
        return rows

    def _warn_of_absent(self, listed: pd.Index) -> None:
        absent = listed[self.depth == 0]
        self.n_absent = len(absent)
        if self.n_absent:
            more = ", …" if self.n_absent > SHOWN else ""
            warnings.warn(
                f"{self.n_absent:,} of the {len(listed):,} barcodes of the list do not occur in "
                f"the fragments: {', '.join(absent[:SHOWN])}{more}",
                stacklevel=4,
            )

    def matrix(self, rows: NDArray[np.int64]) -> sp.csr_matrix:
        """Counts of some cells, int32, shape (n_rows, n_peaks)."""
        place = np.full(len(self.cells), -1, np.int32)
        place[rows] = np.arange(len(rows))
        kept = []
        while self.parts:
            cell, peak, count = self.parts.pop()
            inside = place[cell] >= 0
            kept.append((place[cell[inside]], peak[inside], count[inside]))
        none = np.empty(0, np.int32)
        cell, peak, count = (
            np.concatenate(part) for part in zip(*kept or [(none,) * 3], strict=True)
        )
        return sp.csr_matrix((count, (cell, peak)), shape=(len(rows), self.n_peaks))

    def _rows(self, names: list[str], listed: pd.Index | None) -> NDArray[np.int32]:
        """Cell of each newly met barcode; -1 for those that are not on the list."""
        if listed is None:
            first = len(self.cells)
            self.cells += names
            rows = np.arange(first, first + len(names))
        else:
            self.cells = self.cells or listed.tolist()
            rows = listed.get_indexer(pd.Index(names, dtype=object))
        n_new = len(self.cells) - len(self.depth)
        self.depth = np.concatenate([self.depth, np.zeros(n_new, np.int64)])
        self.file = np.concatenate([self.file, np.full(n_new, -1, np.int32)])
        return np.asarray(rows, np.int32)

    def _count(
        self, block: FragmentBlock, cell: NDArray[np.int32], contigs: tuple[str, ...]
    ) -> None:
        kept = np.flatnonzero(cell >= 0)
        sites, of = block.cut_sites(kept)
        where = Intervals(contigs, block.contig_ids[kept][of], sites, sites + 1)
        if self.options.match_contigs:
            where = match_contigs(where, self.index.contigs)
        pairs = self.index.overlap_pairs(where)
        fragment, peak = of[pairs.query], pairs.row
        if self.options.counting == "paired":
            fragment, peak = np.divmod(np.unique(fragment * self.n_peaks + peak), self.n_peaks)
        key = cell[kept[fragment]] * np.int64(self.n_peaks) + peak
        key, count = np.unique(key, return_counts=True)
        found = np.divmod(key, self.n_peaks)
        self.parts.append((*(part.astype(np.int32) for part in found), count.astype(np.int32)))

    def _require_contigs(self, reader: FragmentReader) -> None:
        names = Intervals.from_columns(reader.contigs, [0] * len(reader.contigs),
                                       [1] * len(reader.contigs))  # fmt: skip
        known = self.index.contigs
        if self.options.match_contigs:
            names = match_contigs(names, known)
        styled = in_other_style(names, known)
        if not styled and set(names.contigs) & set(known):
            return
        remedy = (
            "Only the naming style differs: use --match-contigs."
            if styled
            else "Give peaks of the genome that the fragments were aligned to."
        )
        absent = [name for name in reader.contigs if name not in known]
        raise ContigError(
            f"{reader.name}: none of its contigs ({', '.join(absent[:SHOWN])}) has peaks "
            f"(they lie on {', '.join(known[:SHOWN])}). {remedy}"
        )


def _adata(
    tally: _Tally, rows: NDArray[np.int64], peaks: Intervals, files: list[str] | None
) -> ad.AnnData:
    obs = pd.DataFrame(
        {"n_fragments": tally.depth[rows]},
        index=pd.Index([tally.cells[row] for row in rows], dtype=object),
    )
    if files is not None:
        obs["sample"] = pd.Categorical.from_codes(tally.file[rows], categories=pd.Index(files))
    var = peaks.to_frame().set_index(pd.Index(peaks.names(), dtype=object))
    record = {
        "fragments": tally.n_fragments,
        "fragments_of_cells": int(tally.depth[rows].sum()),
        "barcodes": tally.n_barcodes,
        "listed_but_absent": tally.n_absent,
        "strand_column": tally.has_strand,
        **asdict(tally.options),
    }
    return ad.AnnData(tally.matrix(rows), obs=obs, var=var, uns={"fragments": record})


def _prefixes(files: Sequence[str | Path], prefixes: Sequence[str] | None) -> list[str]:
    """A prefix a file; the empty one for a single file."""
    if prefixes is not None and len(prefixes) != len(files):
        raise CountsError(
            f"{len(prefixes)} prefix(es) for {len(files)} file(s). Give one for each, in order."
        )
    if len(files) == 1 and prefixes is None:
        return [""]
    found = list(prefixes or [Path(file).name.partition(".")[0] for file in files])
    repeated = sorted({name for name in found if found.count(name) > 1})
    if repeated:
        raise CountsError(
            f"several files have the prefix {repeated[0]!r}; their barcodes would be mixed up. "
            "Give a --prefix for each file."
        )
    return found


def _refuse_repeats(names: Sequence[str], what: str) -> None:
    if names:
        raise CountsError(
            f"{len(names)} {what} occur more than once: {', '.join(names[:SHOWN])}. "
            "Remove the repeats."
        )
