"""Figures of an annotation for papers: each draws on matplotlib Axes and returns them.

They show what the report shows, in the same colours. matplotlib comes with
``pip install 'peakatlas[plot]'``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from peakatlas.classifier.counts.labels import UNASSIGNED
from peakatlas.classifier.report.cells import column_of
from peakatlas.classifier.report.colours import OPEN
from peakatlas.classifier.report.figures import composition as _composition
from peakatlas.classifier.report.figures import held_out_reliability, truth_data
from peakatlas.classifier.report.record import record_of
from peakatlas.engine.errors import CountsError, LabelsError

from .drawing import (
    ACCENT,
    QUIET,
    axes,
    bare,
    colours_of,
    draw_curve,
    draw_groups,
    draw_numbers,
    percent_axis,
    ramp,
)
from .tl import KEY, MAP_KEY, check_annotated

if TYPE_CHECKING:
    import anndata as ad
    from matplotlib.axes import Axes
__all__ = ["calibration", "composition", "confidence", "confusion", "embedding", "markers"]

_INK = 6_000
"""Area of all points of a map together, in square points of type."""


def embedding(
    adata: ad.AnnData,
    color: str = "peakatlas_label",
    *,
    reference: bool = True,
    size: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """The map of `peakatlas.tl.cell_map`, coloured by a column of `obs`.

    Parameters
    ----------
    adata : AnnData
        Annotated, with a map.
    color : str
        Column of `obs`; numbers are shown by a colour bar, anything else by a legend.
    reference : bool
        Whether to show the reference cells, grey, behind.
    size : float, optional
        Area of a point in square points of type; by the number of cells if not given.
    ax : matplotlib Axes, optional
        To draw on; new if not given.

    Raises
    ------
    CountsError
        If the object has no map.
    LabelsError
        If there is no such column.

    Examples
    --------
    >>> import anndata, peakatlas
    >>> cells = anndata.read_h5ad("annotated.h5ad")
    >>> peakatlas.tl.cell_map(cells)
    >>> peakatlas.pl.embedding(cells, "peakatlas_confidence").get_title()
    'peakatlas_confidence'
    """
    check_annotated(adata)
    if MAP_KEY not in adata.obsm:
        raise CountsError("there is no map of the cells. Run peakatlas.tl.cell_map(adata) first.")
    ax = axes(ax, (6.4, 5.2))
    placed, column = np.asarray(adata.obsm[MAP_KEY]), column_of(adata.obs, color)
    area = size or float(np.clip(_INK / max(1, len(placed)), 1, 24))
    behind = adata.uns[KEY].get("reference_map")
    if reference and behind is not None:
        ax.scatter(
            behind[:, 0],
            behind[:, 1],
            s=area / 2,
            c=QUIET,
            alpha=0.4,
            linewidths=0,
            label="reference",
        )
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        draw_numbers(ax, placed, column.to_numpy(np.float64), area)
    else:
        draw_groups(ax, placed, column.to_numpy(str), _types(adata), area)
    ax.set(title=color, xlabel="map 1", ylabel="map 2", xticks=[], yticks=[])
    ax.set_aspect("equal", adjustable="datalim")
    return ax


def composition(adata: ad.AnnData, *, ax: Axes | None = None) -> Axes:
    """Share of each type among the query's cells, beside the reference.

    Parameters
    ----------
    adata : AnnData
        Annotated.
    ax : matplotlib Axes, optional

    Raises
    ------
    CountsError
        If the object was not annotated.

    Examples
    --------
    >>> import anndata, peakatlas
    >>> ax = peakatlas.pl.composition(anndata.read_h5ad("annotated.h5ad"))
    >>> [text.get_text() for text in ax.get_yticklabels()][-1]
    'Unassigned'
    """
    rows = _composition(_record(adata))
    names = [row["type"] for row in rows]
    ax = axes(ax, (6.4, 1 + 0.42 * len(rows)))
    place = np.arange(len(rows))
    colours = colours_of(names, _types(adata))
    ax.barh(place - 0.2, [row["query"] for row in rows], 0.38, color=colours, label="query")
    ax.barh(place + 0.2, [row["reference"] for row in rows], 0.38, color=QUIET, label="reference")
    ax.set_yticks(place, names)
    ax.invert_yaxis()
    percent_axis(ax)
    ax.set(xlabel="share of cells (grey: reference)")
    return bare(ax)


def confidence(adata: ad.AnnData, *, bins: int = 20, ax: Axes | None = None) -> Axes:
    """How sure the labels are: cells by confidence, those left "Unassigned" apart.

    Parameters
    ----------
    adata : AnnData
        Annotated.
    bins : int
        Of equal width from 0 to 1.
    ax : matplotlib Axes, optional

    Raises
    ------
    CountsError
        If the object was not annotated.

    Examples
    --------
    >>> import anndata, peakatlas
    >>> cells = anndata.read_h5ad("annotated.h5ad")
    >>> ax = peakatlas.pl.confidence(cells)
    >>> sum(bar.get_height() for bar in ax.patches) == cells.n_obs
    np.True_
    """
    check_annotated(adata)
    values = adata.obs["peakatlas_confidence"].to_numpy(np.float64)
    opened = (adata.obs["peakatlas_label"] == UNASSIGNED).to_numpy()
    ax = axes(ax, (5.2, 3.6))
    edges = np.linspace(0, 1, bins + 1).tolist()
    sets = {"given a type": values[~opened], UNASSIGNED: values[opened]}
    ax.hist(
        list(sets.values()),
        edges,
        stacked=True,
        color=[ACCENT, QUIET],
        label=list(sets),
        rwidth=0.9,
    )
    ax.set(xlabel="confidence", ylabel="cells", xlim=(0, 1))
    ax.legend(frameon=False)
    return bare(ax)


def calibration(
    adata: ad.AnnData, labels_key: str | None = None, *, ax: Axes | None = None
) -> Axes:
    """Share of right cells by confidence, with 95 % intervals; on the diagonal, it is honest.

    Parameters
    ----------
    adata : AnnData
        Annotated.
    labels_key : str, optional
        Column of `obs` with known types: the query's own cells are shown as well. Without it,
        only reference cells that were held out.
    ax : matplotlib Axes, optional

    Raises
    ------
    CountsError
        If the object was not annotated, or there is nothing to show.
    LabelsError
        If there is no such column.

    Examples
    --------
    >>> import anndata, peakatlas
    >>> ax = peakatlas.pl.calibration(anndata.read_h5ad("annotated.h5ad"), "cell_type")
    >>> [text.get_text().partition(",")[0] for text in ax.get_legend().get_texts()]
    ['held-out reference', 'query']
    """
    record, sets = _record(adata), {}
    held_out = held_out_reliability(record)
    if held_out:
        sets["held-out reference"] = (held_out, QUIET)
    if labels_key is not None:
        truth = truth_data(adata.obs, labels_key, record["types"])
        sets["query"] = (truth["reliability"], ACCENT)
    if not any(found["bins"] for found, _ in sets.values()):
        raise CountsError("no cell of a known type to compare with. Give labels_key.")
    ax = axes(ax, (4.6, 4.4))
    ax.plot([0, 1], [0, 1], ":", color=OPEN)
    for name, (found, colour) in sets.items():
        draw_curve(ax, f"{name}, mean gap {found['ece']:.3f}", found, colour)
    ax.set(xlabel="confidence", ylabel="share right", xlim=(0, 1.02), ylim=(0, 1.02))
    ax.legend(frameon=False, loc="lower right")
    return bare(ax)


def confusion(adata: ad.AnnData, labels_key: str, *, ax: Axes | None = None) -> Axes:
    """Known types against labels, as shares of each known type.

    Parameters
    ----------
    adata : AnnData
        Annotated.
    labels_key : str
        Column of `obs` with known types; nothing else reads it.
    ax : matplotlib Axes, optional

    Raises
    ------
    CountsError
        If the object was not annotated.
    LabelsError
        If there is no such column.

    Examples
    --------
    >>> import anndata, peakatlas
    >>> ax = peakatlas.pl.confusion(anndata.read_h5ad("annotated.h5ad"), "cell_type")
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('label', 'cell_type')
    """
    truth = truth_data(adata.obs, labels_key, _record(adata)["types"])
    counts = np.asarray(truth["counts"], np.float64)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    rows, columns = truth["rows"], truth["columns"]
    ax = axes(ax, (1.8 + 0.62 * len(columns), 1.4 + 0.42 * len(rows)))
    ax.imshow(shares, cmap=ramp(["#ffffff", ACCENT]), vmin=0, vmax=1, aspect="auto")
    for (i, j), share in np.ndenumerate(shares):
        if share >= 0.005:
            ink = "white" if share > 0.5 else "#1a2330"
            ax.text(j, i, f"{share:.0%}", ha="center", va="center", color=ink, fontsize=8)
    ax.set_xticks(range(len(columns)), columns, rotation=45, ha="right")
    ax.set_yticks(range(len(rows)), rows)
    ax.set(xlabel="label", ylabel=labels_key)
    return ax


def markers(adata: ad.AnnData, cell_type: str, *, top: int = 10, ax: Axes | None = None) -> Axes:
    """Marker peaks of a type: how often its cells and others open them.

    Parameters
    ----------
    adata : AnnData
        Annotated by a bundle with a route for shared peaks.
    cell_type : str
        Of the reference.
    top : int
        Elements at most.
    ax : matplotlib Axes, optional

    Raises
    ------
    CountsError
        If the object was not annotated, or its bundle reads nothing but DNA.
    LabelsError
        If there is no such type.

    Examples
    --------
    >>> import anndata, peakatlas
    >>> cells = anndata.read_h5ad("annotated.h5ad")
    >>> peakatlas.pl.markers(cells, "B", top=3).get_title()
    'B'
    """
    check_annotated(adata)
    table = adata.uns[KEY].get("markers")
    if table is None:
        raise CountsError("no marker elements were kept: the bundle reads nothing but DNA.")
    found = table[table["type"].astype(str) == cell_type].head(top)
    if not len(found):
        known = ", ".join(_types(adata))
        raise LabelsError(f"there are no elements of {cell_type!r}; types are {known}.")
    names = [f"{c}:{s + 1:,}-{e:,}" for c, s, e in found[["chrom", "start", "end"]].to_numpy()]
    ax = axes(ax, (6.4, 1 + 0.36 * len(names)))
    place = np.arange(len(names))
    (colour,) = colours_of([cell_type], _types(adata))
    ax.barh(place - 0.18, found["open_in_type"], 0.34, color=colour, label=f"cells of {cell_type}")
    ax.barh(place + 0.18, found["open_elsewhere"], 0.34, color=QUIET, label="other types")
    ax.set_yticks(place, names)
    ax.invert_yaxis()
    percent_axis(ax)
    ax.set(title=cell_type, xlabel="reference cells that open the element")
    ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return bare(ax)


def _record(adata: ad.AnnData) -> dict[str, Any]:
    check_annotated(adata)
    return record_of(adata.uns[KEY])


def _types(adata: ad.AnnData) -> list[str]:
    return list(map(str, _record(adata)["types"]))
