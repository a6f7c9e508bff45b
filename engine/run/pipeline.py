"""Prepare the next unit and hand on the last one while the current one is computed."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_Unit = TypeVar("_Unit")
_Prepared = TypeVar("_Prepared")
_Result = TypeVar("_Result")


def run_pipeline(
    units: Iterable[_Unit],
    *,
    prepare: Callable[[_Unit], _Prepared],
    compute: Callable[[_Prepared], _Result],
    consume: Callable[[_Result], None],
    depth: int = 2,
) -> None:
    """Take every unit through three stages that overlap; order is kept.

    `prepare` runs in one thread, `compute` in the caller's, `consume` in another thread. At most
    `depth` units wait before `compute` and `depth` after it, so memory is bounded.

    Parameters
    ----------
    units : iterable
    prepare, compute, consume : callable
    depth : int
        Units that may wait on each side, at least 1.

    Raises
    ------
    Exception
        The first one that a stage raises; units that have not begun by then are dropped.
    """
    remaining = iter(units)
    ahead, behind = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
    waiting: deque[Future[_Prepared]] = deque()
    handed_on: deque[Future[None]] = deque()
    try:
        waiting.extend(ahead.submit(prepare, unit) for unit in islice(remaining, depth))
        while waiting:
            prepared = waiting.popleft().result()
            waiting.extend(ahead.submit(prepare, unit) for unit in islice(remaining, 1))
            handed_on.append(behind.submit(consume, compute(prepared)))
            while len(handed_on) > depth:
                handed_on.popleft().result()
        for done in handed_on:
            done.result()
    finally:
        ahead.shutdown(cancel_futures=True)
        behind.shutdown(cancel_futures=True)
