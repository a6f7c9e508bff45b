"""One order of contigs for several lists of them."""

from __future__ import annotations

import re
from graphlib import CycleError, TopologicalSorter
from heapq import heappop, heappush
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_NUMBER = re.compile(r"(\d+)")


def joint_contigs(lists: Sequence[Sequence[str]]) -> list[str]:
    """All contigs in an order that agrees with each list.

    Where the lists leave it open, names go by their letters and numbers (``chr2`` before
    ``chr10``), so that the order of the lists does not matter. Lists that contradict each other
    cannot all be followed: then the first goes ahead, and what the others add comes after.

    Parameters
    ----------
    lists : sequence of sequences of str
        None names a contig twice.

    Examples
    --------
    >>> joint_contigs([["chr1", "chr10"], ["chr2", "chr10", "chrX"]])
    ['chr1', 'chr2', 'chr10', 'chrX']
    """
    place = {name: rank for rank, name in enumerate(sorted(_distinct(lists), key=_natural))}
    graph = TopologicalSorter[str](dict.fromkeys(place, ()))
    for names in lists:
        for ahead, name in pairwise(names):
            graph.add(name, ahead)
    try:
        graph.prepare()
    except CycleError:
        return _distinct(lists)
    order: list[str] = []
    free: list[tuple[int, str]] = []
    while graph:
        for name in graph.get_ready():
            heappush(free, (place[name], name))
        order.append(heappop(free)[1])
        graph.done(order[-1])
    return order


def _distinct(lists: Sequence[Sequence[str]]) -> list[str]:
    """Each name once, in order of first appearance."""
    return list(dict.fromkeys(name for names in lists for name in names))


def _natural(name: str) -> list[tuple[int, int, str]]:
    parts = _NUMBER.split(name)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]
