"""One atlas out of several of one spec and genome."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from peakatlas.atlas.format.ordering import unlike_previous
from peakatlas.atlas.format.schema import SHOWN
from peakatlas.engine.errors import AtlasError
from peakatlas.engine.intervals.contig_names import match_contigs

from .copy_rows import Parent, column_of, in_genome_order, joint_genome, picked, transfer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from peakatlas.atlas.atlas import Atlas
    from peakatlas.engine.intervals.table import Intervals


def merge_atlases(
    paths: Sequence[str | Path],
    out: str | Path,
    *,
    progress: Callable[[int], None] | None = None,
) -> Atlas:
    """Merge atlases; the same call again finishes one that was interrupted.

    An interval that several hold becomes one row, that of the first; all must give it the same
    sequence digest. Shards pass through memory one after the other.

    Parameters
    ----------
    paths : sequence of str or Path
        Finished atlases of float16 embeddings.
    out : str or Path
        Folder of the new atlas.
    progress : callable, optional
        Called with the number of rows written since its last call, perhaps from another thread.

    Returns
    -------
    Atlas
        Rows in genome order. Its plan keeps the manifest digests of its parents.

    Raises
    ------
    SpecMismatchError, GenomeError
        If the atlases differ in spec or genome; names what differs.
    AtlasError
        If one holds int8 embeddings, two name contigs in different styles,
        two give an interval different sequences (names both), `out`
        is something else, or the disk refuses.
    """
    parents = [Parent.open(path) for path in paths]
    _refuse_int8(parents)
    _refuse_other_names(parents)
    joint_genome(parents, ())
    table, order = in_genome_order(parents)
    first = unlike_previous(table.take(order))
    _check_equals(parents, table, order, first)
    picks = picked(table, order[first])
    peaks = {"n_collapsed": len(order) - int(first.sum())}
    return transfer(out, parents, picks, by="merge", peaks=peaks, progress=progress)


def _refuse_int8(parents: Sequence[Parent]) -> None:
    if not parents:
        raise AtlasError("there is no atlas to merge: give at least one.")
    coded = [parent.name for parent in parents if any(plan.int8 for plan in parent.plans)]
    if coded:
        raise AtlasError(
            f"{coded[0]} holds int8 embeddings, whose codes differ between atlases. Merge the "
            "float16 atlases that they were made from, and quantise the result."
        )


def _refuse_other_names(parents: Sequence[Parent]) -> None:
    """Refuse atlases that name the same contigs in another style (``chr1``, ``1``)."""
    first = parents[0]
    for parent in parents[1:]:
        own = parent.intervals.contigs
        renamed = match_contigs(parent.intervals, first.intervals.contigs).contigs
        changed = next(((a, b) for a, b in zip(own, renamed, strict=False) if a != b), None)
        if changed is not None:
            raise AtlasError(
                f"{parent.name} calls {changed[0]!r} what {first.name} calls {changed[1]!r}: the "
                "same intervals would become two rows. Build one of them anew with the names of "
                "the other (--match-contigs, or a genome whose contigs are named so)."
            )


def _check_equals(
    parents: Sequence[Parent],
    table: Intervals,
    order: NDArray[np.int64],
    first: NDArray[np.bool_],
) -> None:
    """Refuse repeats of an interval whose sequence digest is not that of its first row."""
    again = np.flatnonzero(~first)
    kept = np.flatnonzero(first)
    head = kept[np.searchsorted(kept, again, side="right") - 1]
    ours, theirs = order[head], order[again]
    digests = [column_of(parents, "digest", rows) for rows in (ours, theirs)]
    differ = np.flatnonzero((digests[0] != digests[1]).any(axis=1))
    if len(differ):
        shown = ", ".join(table.take(ours[differ[:SHOWN]]).names())
        firsts = np.cumsum([0, *(len(parent.intervals) for parent in parents)])
        names = [
            parents[int(np.searchsorted(firsts, rows[differ[0]], side="right")) - 1].name
            for rows in (ours, theirs)
        ]
        raise AtlasError(
            f"{len(differ)} interval(s) have one sequence in {names[0]} and another in {names[1]} "
            f"({shown}): their genomes differ there. Build one of the two anew from the genome of "
            "the other, or leave these intervals out of one (peakatlas atlas subset)."
        )
