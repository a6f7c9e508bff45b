"""Telling whoever waits which step goes on, and how far it has come."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


class Steps(Protocol):
    """What long functions take as `progress`, if it counts as well; a plain function will do."""

    def __call__(self, text: str) -> None:
        """Note that a step begins."""

    def count(self, done: int, total: int) -> None:
        """Note how much of the step is done, in units of its own such as cells."""


def counter(progress: Callable[[str], None] | None) -> Callable[[int, int], None]:
    """What counts within a step; does nothing for a plain function.

    Examples
    --------
    >>> counter(print)(3, 10)
    """
    found: Callable[[int, int], None] = getattr(progress, "count", _uncounted)
    return found


def _uncounted(done: int, total: int) -> None:
    pass


def logged(progress: Callable[[str], None] | None) -> Callable[[str], None]:
    """A function that logs each step, as ``peakatlas`` at the level INFO, and passes it on.

    Parameters
    ----------
    progress : callable, optional

    Examples
    --------
    >>> logged(print)("reading the query")
    reading the query
    """
    log = logging.getLogger("peakatlas")

    def note(text: str) -> None:
        log.info(text)
        if progress is not None:
            progress(text)

    return note
