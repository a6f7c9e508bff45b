"""How many tokens a pack should hold on a GPU, by a short measurement."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CANDIDATES = (16_384, 32_768, 65_536, 131_072, 262_144)
# A larger pack must be faster by this share to be worth its memory.
_WORTH = 0.02


def choose_budget(seconds: Callable[[int], float], candidates: Sequence[int] = CANDIDATES) -> int:
    """The fewest tokens with which a device is nearly as fast as it gets.

    Parameters
    ----------
    seconds : callable
        Time that a pack of so many tokens takes, in s; raises `torch.OutOfMemoryError` where there
        is no room for it.
    candidates : sequence of int
        Ascending; the first one is taken where nothing fits.

    Examples
    --------
    >>> choose_budget(lambda tokens: 1e-3 + tokens * 1e-7, [10_000, 100_000, 1_000_000, 2_000_000])
    1000000
    """
    speeds: dict[int, float] = {}
    for tokens in candidates:
        try:
            speeds[tokens] = tokens / seconds(tokens)
        except torch.OutOfMemoryError:
            break
    torch.cuda.empty_cache()  # of packs larger than the one that is chosen
    enough = max(speeds.values(), default=0.0) * (1 - _WORTH)
    return next((tokens for tokens, speed in speeds.items() if speed >= enough), candidates[0])
