"""Intervals carried from one genome build to another by a chain file, as UCSC's liftOver does.

A chain is a run of ungapped blocks, each a stretch of the old build beside one of the new. An
interval is lifted if one chain, and no other, holds enough of its bases; it becomes what lies
between the first and the last of them in the new build.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from peakatlas.engine.errors import ContigError, IntervalError
from peakatlas.engine.intervals.contig_names import in_other_style
from peakatlas.engine.intervals.contig_names import match_contigs as rename_contigs
from peakatlas.engine.intervals.table import Intervals

from .overlap import OverlapIndex
from .text_files import read_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

STATUSES = ("lifted", "partial", "split", "duplicated", "deleted")
"""What became of an interval: carried over; too few of its bases in the one chain that has any; in
several, too few in each; enough in several; none in any chain."""
MIN_MATCH = 0.95
_LIFTED, _PARTIAL, _SPLIT, _DUPLICATED, _DELETED = range(len(STATUSES))
_SHOWN = 5
_HEADER_FIELDS = 12
_DIGITS = 12
"""Most that a number has: sums of a whole file's stay below 2**63."""
_NUMBER = re.compile(rf"\d{{1,{_DIGITS}}}", re.ASCII)


@dataclass(frozen=True, eq=False)
class LiftedIntervals:
    """Intervals in the new build, row by row as they were given.

    Parameters
    ----------
    intervals : Intervals, length n
        Rows that were not lifted keep their bounds, on a contig that says so and that no genome
        has: ``chr1 (not lifted by hg19ToHg38.over.chain.gz)``.
    status : int8, shape (n,)
        Index into `STATUSES`.
    given : Intervals, length n
        Those that were to be lifted.
    """

    intervals: Intervals
    status: NDArray[np.int8]
    given: Intervals

    @property
    def lifted(self) -> NDArray[np.bool_]:
        """Which rows were lifted, shape (n,)."""
        return np.asarray(self.status == _LIFTED, np.bool_)

    def counts(self) -> dict[str, int]:
        """Rows by status."""
        return {name: int((self.status == code).sum()) for code, name in enumerate(STATUSES)}

    def describe(self) -> str:
        """Rows lifted, split (over several places) and lost in words, with the first of each."""
        split = np.isin(self.status, (_SPLIT, _DUPLICATED))
        words = [f"{int(self.lifted.sum()):,} lifted"]
        for rows, word in ((split, "split"), (~self.lifted & ~split, "lost")):
            found = np.flatnonzero(rows)
            names = ", ".join(self.given.take(found[:_SHOWN]).names())
            more = ", …" if len(found) > _SHOWN else ""
            words.append(f"{len(found):,} {word}" + (f" ({names}{more})" if len(found) else ""))
        return ", ".join(words)


class _Chain(NamedTuple):
    old: str
    new: str
    new_size: int
    is_reverse: bool
    """Whether the new positions count from the end of the reverse strand."""


class ChainFile:
    """A chain file, from the build that it calls target to the one that it calls query.

    Parameters
    ----------
    path : str or Path
        Plain or gzip, told by content; such as ``hg19ToHg38.over.chain.gz``.

    Raises
    ------
    IntervalError
        If the file is absent, damaged or no chain file; the text names the line.

    References
    ----------
    https://genome.ucsc.edu/goldenPath/help/chain.html
    """

    def __init__(self, path: str | Path) -> None:
        self.name = Path(path).name
        self._chains: list[_Chain] = []
        lines = read_lines(path, "a chain file, such as hg19ToHg38.over.chain.gz")
        parts = _parse(lines, self.name, self._chains)
        old_start, size, self._new_start, self._chain = parts
        names = tuple(dict.fromkeys(chain.old for chain in self._chains))
        code = {name: i for i, name in enumerate(names)}
        old = np.array([code[chain.old] for chain in self._chains], np.int32)
        self._blocks = Intervals(names, old[self._chain], old_start, old_start + size)
        self._index = OverlapIndex(self._blocks)

    @property
    def contigs(self) -> tuple[str, ...]:
        """Contigs of the old build."""
        return self._blocks.contigs

    def lift(
        self, intervals: Intervals, *, min_match: float = MIN_MATCH, match_contigs: bool = False
    ) -> LiftedIntervals:
        """Carry intervals to the new build.

        Parameters
        ----------
        intervals : Intervals
            Of the old build, in any order.
        min_match : float
            Least share of an interval's bases, in (0, 1], that its chain must hold.
        match_contigs : bool
            Whether contigs are first renamed by style (``chr1``, ``1``) to those of the file.

        Raises
        ------
        ContigError
            If there are intervals and the file has none of their contigs, or some under another
            naming style.
        ValueError
            If `min_match` is out of range.
        """
        if not 0 < min_match <= 1:
            raise ValueError(f"min_match must lie in (0, 1], not {min_match}")
        old = rename_contigs(intervals, self.contigs) if match_contigs else intervals
        self._require_contigs(old)
        peak, chain, shared, begin, end = self._by_chain(old)
        enough = shared >= min_match * old.widths[peak]
        n_enough = np.bincount(peak[enough], minlength=len(old))
        n_partial = np.bincount(peak[~enough], minlength=len(old))
        status = np.select(
            [n_enough == 1, n_enough > 1, n_partial > 1, n_partial == 1],
            [_LIFTED, _DUPLICATED, _SPLIT, _PARTIAL],
            _DELETED,
        ).astype(np.int8)
        kept = enough & (status[peak] == _LIFTED)
        found = (peak[kept], chain[kept], begin[kept], end[kept])
        return LiftedIntervals(self._placed(intervals, *found), status, intervals)

    def _by_chain(self, old: Intervals) -> tuple[NDArray[np.int64], ...]:
        """Of each pair of an interval and a chain: both, the bases shared, and the new bounds."""
        pairs = self._index.overlap_pairs(old)
        peak, block = pairs.query, pairs.row
        start = np.maximum(old.start[peak], self._blocks.start[block])
        shared = np.minimum(old.end[peak], self._blocks.end[block]) - start
        begin = self._new_start[block] + start - self._blocks.start[block]
        key = peak * np.int64(len(self._chains)) + self._chain[block]
        order = np.argsort(key, kind="stable")
        key, first = np.unique(key[order], return_index=True)
        if not len(key):
            return (key,) * 5
        return (
            *np.divmod(key, len(self._chains)),
            np.add.reduceat(shared[order], first),
            np.minimum.reduceat(begin[order], first),
            np.maximum.reduceat((begin + shared)[order], first),
        )

    def _placed(
        self,
        given: Intervals,
        peak: NDArray[np.int64],
        chain: NDArray[np.int64],
        begin: NDArray[np.int64],
        end: NDArray[np.int64],
    ) -> Intervals:
        """The new intervals of some rows; the others marked as not lifted."""
        size = np.array([each.new_size for each in self._chains], np.int64)[chain]
        reverse = np.array([each.is_reverse for each in self._chains], np.bool_)[chain]
        start, stop = given.start.copy(), given.end.copy()
        start[peak] = np.where(reverse, size - end, begin)
        stop[peak] = np.where(reverse, size - begin, end)
        new = tuple(dict.fromkeys(each.new for each in self._chains))
        code = {name: i for i, name in enumerate(new)}
        unlifted = tuple(f"{name} (not lifted by {self.name})" for name in given.contigs)
        contig = given.contig_ids + np.int32(len(new))
        contig[peak] = np.array([code[each.new] for each in self._chains], np.int32)[chain]
        return Intervals((*new, *unlifted), contig, start, stop)

    def _require_contigs(self, old: Intervals) -> None:
        used = [old.contigs[i] for i in np.unique(old.contig_ids)]
        styled = in_other_style(old, self.contigs)
        if not styled and (not used or set(used) & set(self.contigs)):
            return
        remedy = (
            "Only the naming style differs: use --match-contigs."
            if styled
            else "Give the chain file from the build of the intervals to the other."
        )
        absent = [name for name in used if name not in self.contigs]
        raise ContigError(
            f"{self.name} has none of the contigs {', '.join(absent[:_SHOWN])}; it has "
            f"{', '.join(self.contigs[:_SHOWN])}. {remedy}"
        )


def _parse(lines: Sequence[str], name: str, chains: list[_Chain]) -> tuple[NDArray[np.int64], ...]:
    """Old start, size, new start and chain of each block; puts the chains to `chains`."""
    kept = [i for i, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("#")]
    heads = [at for at, i in enumerate(kept) if lines[i].split(None, 1)[0] == "chain"]
    if not heads or heads[0] > 0:
        raise IntervalError(
            f"{name} line 1: not a chain file: no line begins with 'chain'. Give a file such as "
            "hg19ToHg38.over.chain.gz."
        )
    parts: list[NDArray[np.int64]] = []
    for number, (head, after) in enumerate(zip(heads, [*heads[1:], len(kept)], strict=True)):
        try:
            chain, bounds = _header(lines[kept[head]])
            blocks = _blocks([lines[i] for i in kept[head + 1 : after]], bounds)
        except ValueError as fault:
            raise IntervalError(
                f"{name} line {kept[head] + 1}: a chain that cannot be used ({fault}). "
                "Fetch the file again."
            ) from fault
        chains.append(chain)
        parts.append(np.vstack([blocks, np.full(blocks.shape[1], number)]))
    return tuple(np.concatenate(parts, axis=1))


def _header(line: str) -> tuple[_Chain, tuple[int, ...]]:
    """What a header says, and the bounds of its chain: old start and end, new start and end."""
    fields = line.split()
    if len(fields) < _HEADER_FIELDS:
        raise ValueError(f"its header has {len(fields)} fields, not {_HEADER_FIELDS} or more")
    old, new, new_strand, strand = (fields[at] for at in (2, 7, 9, 4))
    if strand != "+" or new_strand not in ("+", "-"):
        raise ValueError(f"its strands are {strand} and {new_strand}")
    old_size, start, end, new_size, new_start, new_end = (
        _whole(fields[at]) for at in (3, 5, 6, 8, 10, 11)
    )
    if not (start < end <= old_size and new_start < new_end <= new_size):
        raise ValueError("its bounds do not lie within its contigs")
    return _Chain(old, new, new_size, new_strand == "-"), (start, end, new_start, new_end)


def _whole(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{text!r} is not a whole number of 0 or more")
    return int(text)


def _blocks(lines: Sequence[str], bounds: tuple[int, ...]) -> NDArray[np.int64]:
    """Old start, size and new start of the blocks of a chain, shape (3, n)."""
    rows = [line.split() for line in lines]
    if [len(row) for row in rows] != [3] * (len(rows) - 1) + [1]:
        raise ValueError("each of its lines must have three numbers, the last one one")
    texts = [text for row in rows for text in row]
    joined = "".join(texts)
    if joined.isascii() and joined.isdigit() and max(map(len, texts)) <= _DIGITS:
        values = np.array(texts, np.int64)
    else:
        values = np.array([_whole(text) for text in texts], np.int64)
    size, old_gap, new_gap = np.append(values, [0, 0]).reshape(-1, 3).T
    start, end, new_start, new_stop = bounds
    if (size == 0).any():
        raise ValueError("a block is empty")
    if (values > max(end, new_stop)).any():
        raise ValueError("a block is longer than its chain")
    old_end, new_end = np.cumsum(size + old_gap), np.cumsum(size + new_gap)
    if (start + old_end[-1], new_start + new_end[-1]) != (end, new_stop):
        raise ValueError("its blocks do not end where its header says")
    old_at = start + old_end - size - old_gap
    return np.vstack([old_at, size, new_start + new_end - size - new_gap])
