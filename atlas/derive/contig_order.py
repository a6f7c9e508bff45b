"""One order of contigs for several lists of them."""

from __future__ import annotations

import re
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
    behind: dict[str, set[str]] = {name: set() for names in lists for name in names}
    for names in lists:
        for ahead, name in pairwise(names):
            behind[name].add(ahead)
    order: list[str] = []
    waiting = sorted(behind, key=_natural)
    while waiting:
        placed = set(order)
        free = next((name for name in waiting if behind[name] <= placed), None)
        if free is None:
            return list(dict.fromkeys(name for names in lists for name in names))
        order.append(free)
        waiting.remove(free)
    return order


def _natural(name: str) -> list[tuple[int, int, str]]:
    parts = _NUMBER.split(name)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]
