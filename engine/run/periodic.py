"""Work that is done now and then beside other work."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def repeated(every_s: float, work: Callable[[], bool]) -> Iterator[None]:
    """Call something in a thread while the block runs.

    Parameters
    ----------
    every_s : float
        Pause before each call, in s.
    work : callable
        Says whether to go on.
    """
    done = threading.Event()

    def run() -> None:
        while not done.wait(every_s) and work():
            pass

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
