"""Colours of types, the same on pages and in figures."""

from __future__ import annotations

import colorsys

PALETTE = (
    "#4269d0", "#e0a010", "#ff725c", "#3ca951", "#a463f2", "#2ba3a8", "#e86ca8", "#9c6b4e",
    "#7aa6f0", "#8a9a10", "#c2448c", "#d97b29", "#5b5bd6", "#2d7f5e", "#b39b4f", "#d04a5a",
    "#6cc5b0", "#7d6bb0", "#5f8f2e", "#c98bd9",
)  # fmt: skip
OPEN = "#98a1ad"
"""Of cells that got no type."""
GOLDEN_ANGLE = 0.381966
"""Of a turn: hues that far apart stay apart, however many there are."""


def colours(n: int) -> list[str]:
    """As many colours, no two alike.

    Parameters
    ----------
    n : int

    Examples
    --------
    >>> colours(2), len(set(colours(80)))
    (['#4269d0', '#e0a010'], 80)
    """
    return [PALETTE[at] if at < len(PALETTE) else _further(at) for at in range(n)]


def _further(at: int) -> str:
    light, saturation = (0.42, 0.55, 0.66)[at % 3], (0.45, 0.65)[at % 2]
    parts = colorsys.hls_to_rgb(GOLDEN_ANGLE * at % 1, light, saturation)
    return "#" + "".join(f"{round(255 * part):02x}" for part in parts)
