"""Steps of a long function in a notebook: one bar of tqdm that says what goes on."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tqdm.auto import tqdm  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Iterator

_FORMAT = "{desc} [{elapsed}]"


class BarOfSteps:
    """Takes steps as they begin, and how much of each is done, as `progress` of long functions.

    Parameters
    ----------
    bar : tqdm
    """

    def __init__(self, bar: Any) -> None:  # noqa: ANN401 - tqdm has no types
        self._bar, self._text = bar, ""

    def __call__(self, text: str) -> None:
        """Note that a step begins."""
        self._text = text
        self._bar.set_description_str(text)

    def count(self, done: int, total: int) -> None:
        """Note how much of the step is done."""
        share = f"{self._text}: {done:,} of {total:,}"
        self._bar.set_description_str(share, refresh=done >= total)


@contextmanager
def steps_shown(wanted: bool) -> Iterator[BarOfSteps]:
    """Show steps while the block runs; the bar is gone afterwards.

    Parameters
    ----------
    wanted : bool
        Nothing is shown if False.
    """
    with tqdm(disable=not wanted, leave=False, bar_format=_FORMAT) as bar:
        yield BarOfSteps(bar)
