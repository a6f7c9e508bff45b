"""From a peak to the window(s) that the model reads."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from peakatlas.engine.errors import IntervalError
from peakatlas.engine.intervals.table import Intervals

from .sequences import DIGEST_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from .genome import SequenceSource

_BLOCK_PEAKS = 16_384
WIDEST = 1 << 30
"""Most bp of a window."""


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Windows of a table of peaks, in the order of the peaks."""

    intervals: Intervals
    """One row a window."""
    owner: NDArray[np.int64]
    """Row of the peak that each window belongs to, shape (n_windows,), never falls."""


@dataclass(frozen=True, kw_only=True)
class WindowRule:
    """How a peak becomes windows.

    Examples
    --------
    >>> rule = WindowRule(kind="peak", width=500, overlap=100)
    >>> rule.cut(Intervals.from_columns(["chr1"], [0], [1100])).intervals.names()
    ['chr1:0-500', 'chr1:400-900', 'chr1:600-1100']
    """

    kind: Literal["centre", "peak"]
    """A fixed width about the peak's centre, or the whole peak."""
    width: int
    """Width of the window (`centre`) or its upper bound (`peak`), in bp."""
    overlap: int = 0
    """Least overlap of neighbouring windows of one peak (`peak` only), in bp."""

    def __post_init__(self) -> None:
        if not 1 <= self.width <= WIDEST or not 0 <= self.overlap < self.width:
            raise IntervalError(
                f"window rule {self}: the width must be at least 1 bp, {WIDEST:,} at most, and the "
                f"overlap from 0 to below the width. Example: peak:510:60."
            )

    def __str__(self) -> str:
        """The text that `parse_window` reads."""
        return f"centre:{self.width}" if self.kind == "centre" else self._peak_text()

    def _peak_text(self) -> str:
        return f"peak:{self.width}:{self.overlap}"

    def cut(self, intervals: Intervals, contig_sizes: Mapping[str, int] | None = None) -> Windows:
        """Cut windows and clip them to their contigs; every peak has at least one.

        A peak longer than `width` under rule `peak` gets the fewest windows that overlap by at
        least `overlap`; the last one is moved back to end with the peak, so all have full width.

        Parameters
        ----------
        intervals : Intervals
            The peaks.
        contig_sizes : mapping of str to int, optional
            Contig lengths in bp; contigs that are absent are clipped at 0 only.

        Raises
        ------
        IntervalError
            If a window lies past the end of its contig altogether.
        """
        start, end, owner = (
            self._centre(intervals) if self.kind == "centre" else self._peak(intervals)
        )
        limits = _limits(intervals.contigs, contig_sizes)[intervals.contig_ids[owner]]
        clipped = Intervals(
            intervals.contigs,
            intervals.contig_ids[owner],
            np.maximum(start, 0),
            np.minimum(end, limits),
        )
        return Windows(intervals=clipped, owner=owner)

    def _centre(self, peaks: Intervals) -> tuple[NDArray[np.int64], ...]:
        start = peaks.centres - self.width // 2
        return start, start + self.width, np.arange(len(peaks), dtype=np.int64)

    def _peak(self, peaks: Intervals) -> tuple[NDArray[np.int64], ...]:
        step = self.width - self.overlap
        counts = 1 + np.maximum(0, -(-(peaks.widths - self.width) // step))
        owner = np.repeat(np.arange(len(peaks), dtype=np.int64), counts)
        nth = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
        latest = np.maximum(peaks.start, peaks.end - self.width)[owner]
        start = np.minimum(peaks.start[owner] + nth * step, latest)
        return start, np.minimum(start + self.width, peaks.end[owner]), owner


def parse_window(text: str) -> WindowRule:
    """Read a window rule: ``centre:<bp>`` or ``peak:<max bp>:<overlap bp>``.

    Raises
    ------
    IntervalError
        If the text is not such a rule.

    Examples
    --------
    >>> str(parse_window("peak:510:60"))
    'peak:510:60'
    """
    kind, *numbers = text.split(":")
    whole = all(number.isascii() and number.isdigit() for number in numbers)
    if whole and kind == "centre" and len(numbers) == 1:
        return WindowRule(kind="centre", width=int(numbers[0]))
    if whole and kind == "peak" and len(numbers) == 2:
        return WindowRule(kind="peak", width=int(numbers[0]), overlap=int(numbers[1]))
    raise IntervalError(
        f"window rule {text!r} is not 'centre:<bp>' or 'peak:<max bp>:<overlap bp>'. "
        "Examples: centre:510, peak:510:60."
    )


def combine_digests(
    digests: NDArray[np.uint8], owner: NDArray[np.int64], n_peaks: int
) -> NDArray[np.uint8]:
    """One digest a peak from the digests of its windows.

    A peak with one window keeps that window's digest; one with several gets the BLAKE2b-128 of
    their digests joined in order.

    Parameters
    ----------
    digests : uint8, shape (n_windows, 16)
    owner : int64, shape (n_windows,)
        Never falls; every peak owns at least one window.
    n_peaks : int

    Returns
    -------
    uint8, shape (n_peaks, 16)
    """
    first = np.searchsorted(owner, np.arange(n_peaks + 1))
    combined = digests[first[:-1]] if n_peaks else np.empty((0, DIGEST_BYTES), np.uint8)
    for peak in np.flatnonzero(np.diff(first) > 1):
        joined = digests[first[peak] : first[peak + 1]].tobytes()
        combined[peak] = list(hashlib.blake2b(joined, digest_size=DIGEST_BYTES).digest())
    return combined


def window_digests(
    peaks: Intervals, source: SequenceSource, window: WindowRule | str
) -> NDArray[np.uint8]:
    """Digest of the forward-strand window sequence(s) of each peak; needs no model.

    Parameters
    ----------
    peaks : Intervals
    source : SequenceSource
        Genome, or FASTA of peaks.
    window : WindowRule or str
        The rule of the embedding spec.

    Returns
    -------
    uint8, shape (n, 16)

    Raises
    ------
    ContigError
        If a contig is not in `source`.
    GenomeError
        If a peak lies past the end of its contig or record.
    """
    rule = parse_window(window) if isinstance(window, str) else window
    source.check(peaks)
    parts = [np.empty((0, DIGEST_BYTES), np.uint8)]
    for first in range(0, len(peaks), _BLOCK_PEAKS):
        block = peaks.take(np.arange(first, min(first + _BLOCK_PEAKS, len(peaks))))
        cut = rule.cut(block, source.contig_sizes)
        dna = source.fetch(cut.intervals, block.take(cut.owner))
        parts.append(combine_digests(dna.digests(), cut.owner, len(block)))
    return np.concatenate(parts)


def _limits(contigs: tuple[str, ...], sizes: Mapping[str, int] | None) -> NDArray[np.int64]:
    unlimited = np.iinfo(np.int64).max
    return np.array([(sizes or {}).get(name, unlimited) for name in contigs], np.int64)
