"""Contigs by name: which are absent, and which only follow another naming style."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from peakatlas.engine.errors import ContigError

from .table import Intervals

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from numpy.typing import NDArray

_SHOWN = 5
_MITOCHONDRION = frozenset({"M", "MT"})
_REFSEQ = re.compile(r"NC_(\d{6})\.\d+")
_SEX = {(1, 23): "X", (1, 24): "Y", (67, 86): "X", (67, 87): "Y"}
_REFSEQ_MITOCHONDRION = {12920, 5089}
"""Of man and mouse."""


def match_contigs(intervals: Intervals, contigs: Iterable[str]) -> Intervals:
    """Rename contigs by naming style: ``chr1`` to ``1`` or back, ``chrM`` to ``MT`` or back.

    RefSeq's accessions of the chromosomes of man and mouse (``NC_000001.11``) are a style as well.
    They say which build a contig is of; the other styles do not, so check that it is the same.
    Contigs that `contigs` has already, or has in no style, keep their names.

    Parameters
    ----------
    intervals : Intervals
    contigs : iterable of str
        Names as the genome or atlas has them.

    Returns
    -------
    Intervals
        The same rows in the same order.

    Examples
    --------
    >>> peaks = Intervals.from_columns(["chr1", "chrM"], [0, 5], [10, 25])
    >>> match_contigs(peaks, ["1", "MT"]).names()
    ['1:0-10', 'MT:5-25']
    """
    known = list(contigs)
    renamed = _renamed(intervals.contigs, known)
    merged = tuple(dict.fromkeys(renamed))
    position = {name: i for i, name in enumerate(merged)}
    table = np.array([position[name] for name in renamed], np.int32)
    return Intervals(merged, table[intervals.contig_ids], intervals.start, intervals.end)


def check_contigs(intervals: Intervals, contigs: Iterable[str], where: str) -> None:
    """Raise unless every contig in use is in `contigs`.

    Parameters
    ----------
    intervals : Intervals
    contigs : iterable of str
        Names that there are.
    where : str
        Name of the genome or atlas, for the text.

    Raises
    ------
    ContigError
        Names the absent contigs with their counts and first intervals, and says so when only
        the naming style differs.
    """
    known = tuple(contigs)
    names = set(known)
    counts = np.bincount(intervals.contig_ids, minlength=len(intervals.contigs))
    absent = [i for i in np.flatnonzero(counts) if intervals.contigs[i] not in names]
    if absent:
        raise ContigError(_absent_text(intervals, np.array(absent), known, where))


def in_other_style(intervals: Intervals, contigs: Collection[str]) -> list[str]:
    """Contigs in use that are absent by name but there in another style.

    Scaffolds are often called alike in both styles, so that some names agree proves nothing; nor
    does a mitochondrion alone under another name, which is left out where other contigs are known.

    Parameters
    ----------
    intervals : Intervals
    contigs : collection of str
        Names that there are.

    Examples
    --------
    >>> peaks = Intervals.from_columns(["chr1", "KI270728.1", "chrM"], [0, 5, 7], [10, 25, 9])
    >>> in_other_style(peaks, ["1", "KI270728.1", "MT"])
    ['chr1']
    """
    used = [intervals.contigs[i] for i in np.unique(intervals.contig_ids)]
    pairs = zip(used, _renamed(used, contigs), strict=True)
    styled = [old for old, new in pairs if old != new]
    if set(used).isdisjoint(contigs):
        return styled
    return [name for name in styled if _style_free(name) != "MT"]


def _absent_text(
    intervals: Intervals,
    absent: NDArray[np.int64],
    known: tuple[str, ...],
    where: str,
) -> str:
    rows = np.flatnonzero(np.isin(intervals.contig_ids, absent))
    first = intervals.take(rows[:_SHOWN]).names()
    shown = ", ".join(f"row {row} {name}" for row, name in zip(rows, first, strict=False))
    names = [intervals.contigs[i] for i in absent]
    text = (
        f"{len(rows)} of {len(intervals)} interval(s) lie on contigs that {where} does not have "
        f"({_few(names)}): {shown}. {where} has {_few(known)}."
    )
    pairs = [
        (old, new) for old, new in zip(names, _renamed(names, known), strict=True) if old != new
    ]
    if pairs:
        old, new = pairs[0]
        return (
            f"{text} Only the naming style differs ({old!r} here, {new!r} there): "
            "use --match-contigs."
        )
    return f"{text} Give the genome that the intervals were called on, or remove these rows."


def _few(names: Iterable[str]) -> str:
    listed = list(names)
    more = f", … {len(listed)} in all" if len(listed) > _SHOWN else ""
    return ", ".join(repr(name) for name in listed[:_SHOWN]) + more


def _style_free(name: str) -> str:
    refseq = _REFSEQ.fullmatch(name)
    if refseq is not None:
        return _of_refseq(int(refseq[1])) or name
    bare = name[3:] if name.lower().startswith("chr") else name
    return "MT" if bare.upper() in _MITOCHONDRION else bare


def _of_refseq(number: int) -> str:
    """Chromosome of man (NC_000001 to 24) or mouse (NC_000067 to 87); empty for another."""
    if number in _REFSEQ_MITOCHONDRION:
        return "MT"
    for first, autosomes in ((1, 22), (67, 19)):
        place = number - first + 1
        if 1 <= place <= autosomes:
            return str(place)
        if (first, number) in _SEX:
            return _SEX[first, number]
    return ""


def _renamed(given: Iterable[str], known: Iterable[str]) -> list[str]:
    names, listed = list(given), list(known)
    present = set(listed)
    by_bare: dict[str, str] = {}
    for name in listed:
        by_bare.setdefault(_style_free(name), name)
    found = [name if name in present else by_bare.get(_style_free(name), name) for name in names]
    # two accessions of one chromosome are of two builds
    return [
        name if _REFSEQ.fullmatch(name) and _REFSEQ.fullmatch(new) else new
        for name, new in zip(names, found, strict=True)
    ]
