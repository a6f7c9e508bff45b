"""Where intervals lie in a segment, so that a look-up reads the few chunks that it needs.

A run is the rows of one contig in one chunk of intervals. Runs follow from the first row of each
contig; the plan keeps both, with the least start and the greatest end of each run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from peakatlas.engine.errors import AtlasError
from peakatlas.engine.intervals.overlap import contig_codes

from .layout import INTERVAL_COLUMNS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from peakatlas.engine.intervals.table import Intervals

    from .schema import Plan

    Rows = NDArray[np.int64]


def contig_rows_of(intervals: Intervals) -> Rows:
    """First row of each contig in a sorted table, and the number of rows; shape (n_contigs + 1,).

    Examples
    --------
    >>> from peakatlas.engine.intervals.table import Intervals
    >>> table = Intervals(("1", "2", "3"), [0, 0, 2], [5, 7, 1], [9, 8, 4])
    >>> contig_rows_of(table).tolist()
    [0, 2, 2, 3]
    """
    return np.searchsorted(intervals.contig_ids, np.arange(len(intervals.contigs) + 1))


def run_starts(contig_rows: Rows, chunk_rows: int) -> Rows:
    """First row of each run, ascending.

    Examples
    --------
    >>> run_starts(np.array([0, 5, 5, 9]), 4).tolist()
    [0, 4, 5, 8]
    """
    chunks = np.arange(0, contig_rows[-1], chunk_rows)
    return np.union1d(contig_rows[:-1][np.diff(contig_rows) > 0], chunks)


def runs_of(intervals: Intervals, chunk_rows: int) -> list[tuple[int, int]]:
    """Least start and greatest end of each run of a sorted table, in bp."""
    first = run_starts(contig_rows_of(intervals), chunk_rows)
    least = intervals.start[first].tolist()
    return list(zip(least, np.maximum.reduceat(intervals.end, first).tolist(), strict=True))


def check_runs(plan: Plan, where: str) -> None:
    """Refuse a plan whose contigs and runs do not cover its rows.

    Raises
    ------
    AtlasError
        Names the plan.
    """
    rows = np.array(plan.contig_rows, np.int64)
    covered = (
        len(rows) == len(plan.contigs) + 1
        and (rows[0], rows[-1]) == (0, plan.n_rows)
        and bool((np.diff(rows) >= 0).all())
    )
    if not covered or len(plan.interval_runs) != len(run_starts(rows, _chunk_rows(plan))):
        raise AtlasError(
            f"{where}: contig_rows and interval_runs do not cover the {plan.n_rows:,} rows of "
            f"{len(plan.contigs):,} contigs; the file was edited."
        )


def chunks_near(plan: Plan, peaks: Intervals) -> Rows:
    """Chunks of intervals with a run that overlaps a peak, ascending.

    Parameters
    ----------
    plan : Plan
        With runs.
    peaks : Intervals
        In any order.
    """
    contig_rows = np.array(plan.contig_rows, np.int64)
    first = run_starts(contig_rows, _chunk_rows(plan))
    bounds = np.array(plan.interval_runs, np.int64)
    owner = np.searchsorted(contig_rows, first, side="right") - 1
    codes, needed = contig_codes(peaks, plan.contigs), np.zeros(len(first), np.bool_)
    for contig in np.unique(codes[codes >= 0]).tolist():
        runs, at = np.flatnonzero(owner == contig), np.flatnonzero(codes == contig)
        starts, ends = np.sort(peaks.start[at]), np.sort(peaks.end[at])
        # Peaks that overlap a run: those that begin before its end, less those that end before it.
        begun = np.searchsorted(starts, bounds[runs, 1], side="left")
        needed[runs] = begun > np.searchsorted(ends, bounds[runs, 0], side="right")
    return np.unique(first[needed] // _chunk_rows(plan))


def _chunk_rows(plan: Plan) -> int:
    return plan.layouts[INTERVAL_COLUMNS[0]].chunk_rows
