"""Colours and parts that the figures of `peakatlas.pl` share; needs matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from peakatlas.classifier.counts.labels import UNASSIGNED
from peakatlas.classifier.report.colours import OPEN, colours
from peakatlas.engine.errors import MissingDependencyError

try:
    import matplotlib.pyplot as plt
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.ticker import PercentFormatter
except ImportError as error:
    raise MissingDependencyError(
        "peakatlas.pl draws with matplotlib, which is not installed. "
        "Install it: pip install 'peakatlas[plot]'."
    ) from error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    Floats = NDArray[np.floating[Any]]

QUIET, ACCENT = "#b4bcc6", "#2a5fc9"
RAMP = ("#45318f", "#86409f", "#c84f78", "#ec7f50", "#f0c04a")
"""From low to high, as in the report."""


def axes(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """The axes that were given, or new ones of a size in inches."""
    return plt.subplots(figsize=size, layout="constrained")[1] if ax is None else ax


def bare(ax: Axes) -> Axes:
    """Axes without the upper and the right spine."""
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def percent_axis(ax: Axes) -> None:
    """Show shares along x as per cent."""
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))


def ramp(colours: Sequence[str]) -> LinearSegmentedColormap:
    """A colour map through some colours."""
    return LinearSegmentedColormap.from_list("peakatlas", list(colours))


def colours_of(names: Sequence[str], types: Sequence[str]) -> list[str]:
    """Colours of names: types as in the report, "Unassigned" grey, others after the types."""
    order = [*types, *sorted(set(names) - {*types, UNASSIGNED})]
    known = dict(zip(order, colours(len(order)), strict=True))
    return [OPEN if name == UNASSIGNED else known[name] for name in names]


def draw_groups(
    ax: Axes, placed: Floats, values: NDArray[np.str_], types: Sequence[str], area: float
) -> None:
    """Points coloured by group: types in the order of their colours, "Unassigned" last."""
    present = set(values.tolist())
    named = [name for name in types if name in present]
    names = [*named, *sorted(present - {*named, UNASSIGNED})]
    names += [UNASSIGNED] if UNASSIGNED in present else []
    for name, colour in zip(names, colours_of(names, types), strict=True):
        mine = placed[values == name]
        ax.scatter(
            mine[:, 0],
            mine[:, 1],
            s=area,
            c=colour,
            alpha=0.88,
            linewidths=0,
            label=name or "(none)",
        )
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, markerscale=1.6)


def draw_numbers(ax: Axes, placed: Floats, values: Floats, area: float) -> None:
    """Points coloured from the 1st to the 99th percentile of their values."""
    low, high = np.nanpercentile(values, (1, 99)) if np.isfinite(values).any() else (0, 1)
    drawn = ax.scatter(
        placed[:, 0],
        placed[:, 1],
        s=area,
        c=values,
        cmap=ramp(RAMP),
        vmin=low,
        vmax=high,
        linewidths=0,
    )
    ax.figure.colorbar(drawn, ax=ax, shrink=0.7)


def draw_curve(ax: Axes, name: str, found: dict[str, Any], colour: str) -> None:
    """Share right by confidence, with the 95 % interval of each bin."""
    bins = pd.DataFrame(found["bins"])
    if bins.empty:
        return
    reach = np.stack([bins["right"] - bins["low"], bins["high"] - bins["right"]]).clip(0)
    ax.errorbar(
        bins["confidence"], bins["right"], yerr=reach, fmt="o-", color=colour, capsize=2, label=name
    )
