"""The rows of an atlas that overlap given regions, as an atlas of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from peakatlas.atlas.format.schema import SHOWN
from peakatlas.engine.errors import AtlasError
from peakatlas.engine.intervals.contig_names import in_other_style
from peakatlas.engine.intervals.overlap import OverlapIndex

from .copy_rows import Parent, in_genome_order, picked, transfer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from peakatlas.atlas.atlas import Atlas
    from peakatlas.engine.intervals.table import Intervals


def subset_atlas(
    path: str | Path,
    out: str | Path,
    regions: Intervals,
    *,
    peaks: dict[str, Any] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Atlas:
    """Write the rows that share at least one bp with a region as a new atlas.

    The same call again finishes one that was interrupted. Embeddings are kept as they are stored.

    Parameters
    ----------
    path : str or Path
        A finished atlas, local or at a URL.
    out : str or Path
        Folder of the new atlas.
    regions : Intervals
        In any order; they may overlap.
    peaks : dict, optional
        Provenance of the regions.
    progress : callable, optional
        Called with the number of rows written since its last call, perhaps from another thread.

    Returns
    -------
    Atlas
        Rows in genome order. Its plan keeps the manifest digest of its parent.

    Raises
    ------
    AtlasError
        If no row overlaps, regions follow another naming style, `out` is something else, a file is
        damaged, or the disk refuses.
    """
    parent = Parent.open(path)
    table, order = in_genome_order([parent])
    inside = np.zeros(len(table), np.bool_)
    inside[OverlapIndex(table).overlap_pairs(regions).row] = True
    if not inside.any():
        shown = ", ".join(regions.take(np.arange(min(SHOWN, len(regions)))).names())
        more = ", …" if len(table.contigs) > SHOWN else ""
        raise AtlasError(
            f"no row of {parent.name} overlaps the {len(regions)} region(s) ({shown}). Its contigs "
            f"are {', '.join(table.contigs[:SHOWN])}{more}; regions are 0-based, half-open."
        )
    styled = in_other_style(regions, table.contigs)
    if styled:
        raise AtlasError(
            f"{len(styled)} contig(s) of the regions ({', '.join(styled[:SHOWN])}) follow another "
            f"naming style than those of {parent.name} ({', '.join(table.contigs[:SHOWN])}). Name "
            "them as the atlas does."
        )
    picks = picked(table, order[inside[order]])
    described = {"n_regions": len(regions), **(peaks or {})}
    return transfer(
        out, [parent], picks, by="subset", peaks=described, int8=parent.int8, progress=progress
    )
