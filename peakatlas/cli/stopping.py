"""Signals that end a command: Ctrl-C, and what schedulers send."""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_AGAIN_S = 0.05


class Stopped(BaseException):
    """A signal asked the command to end. Like KeyboardInterrupt, it is no Exception.

    Parameters
    ----------
    number : int
        The signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number
        self.kept = "no file was left half-written; to start anew"
        """What is true of the output, and what the same command does."""


@contextmanager
def stoppable() -> Iterator[None]:
    """Let SIGINT and SIGTERM raise `Stopped` in the block, unless they are ignored.

    Python drops what is raised while it frees an object, and imports free many: then the signal
    comes again a moment later.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    hook = sys.unraisablehook
    asked = [
        number
        for number in (signal.SIGINT, signal.SIGTERM)
        if signal.getsignal(number) is not signal.SIG_IGN
    ]
    before = {number: signal.signal(number, _stop) for number in asked}
    sys.unraisablehook = _again
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(number: int, _frame: object) -> None:
    raise Stopped(number)


def _again(dropped: Any) -> None:  # noqa: ANN401 (sys.UnraisableHookArgs, for type checkers only)
    """Raise a stop that was dropped again, a little later."""
    stop = dropped.exc_value
    if not isinstance(stop, Stopped):
        sys.__unraisablehook__(dropped)
        return
    signal.signal(signal.SIGALRM, lambda _number, frame: _stop(stop.number, frame))
    signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
