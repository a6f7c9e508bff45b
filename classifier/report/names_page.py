"""The report of cells that were named without a reference: one page without scripts."""

from __future__ import annotations

import html
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from peakatlas.classifier.name import COLUMNS, NO_TERM
from peakatlas.engine.errors import CountsError

from .cell_map import cell_map
from .cells import column_of
from .colours import OPEN, colours
from .plain_page import html_table, plain_page

if TYPE_CHECKING:
    import anndata as ad
    from numpy.typing import NDArray

NAMES_KEY = "peakatlas_name"
"""Of `uns`: what `name` keeps."""
TERMS_KEY = "X_peakatlas_terms"
MOST_POINTS = 3_000
MOST_NAMES = 60
WIDE = 640
MARGIN = 12
"""Width of the map and of the blank about it, px."""


def write_names_report(
    named: ad.AnnData,
    path: str | Path,
    *,
    labels_key: str | None = None,
    title: str | None = None,
    seed: int = 0,
) -> None:
    """Write the page of cells that `name` named.

    Parameters
    ----------
    named : AnnData
        Also opened backed. Not modified.
    path : str or Path
        HTML file to write.
    labels_key : str, optional
        Column of `obs` with known types, to compare with.
    title : str, optional
    seed : int
        Of the map, and of the cells that it shows of more than 3,000.

    Raises
    ------
    CountsError
        If the cells were not named.
    LabelsError
        If there is no such column.
    """
    if NAMES_KEY not in named.uns or any(column not in named.obs for column in COLUMNS):
        raise CountsError("the object holds no names. Run peakatlas name on it first.")
    obs, kept = named.obs, named.uns[NAMES_KEY]
    sections = [
        ("Lineages", _lineages(obs) + _map(named, seed)),
        ("Names", _names(obs)),
        ("Cells that no term fits", _left_open(obs, kept)),
    ]
    if labels_key is not None:
        sections.append(("Known types", _known(obs, labels_key)))
    sections.append(("Where the names come from", _sources(kept)))
    heading = title or f"Lineages of {named.n_obs:,} cells, without a reference"
    Path(path).write_text(plain_page(heading, sections, _version()), encoding="utf-8")


def _lineages(obs: pd.DataFrame) -> str:
    name, score = obs["peakatlas_name_lineage"].astype(str), obs["peakatlas_name_score"]
    confidence = obs["peakatlas_name_confidence"]
    rows = []
    for kind, size in name.value_counts().items():
        own = name == kind
        sure = float(np.median(confidence[own])) if kind != NO_TERM else float("nan")
        rows.append(
            [
                str(kind),
                f"{size:,}",
                f"{size / len(obs):.1%}",
                f"{score[own].median():.2f}",
                "–" if np.isnan(sure) else f"{sure:.2f}",
            ]
        )
    head = ["lineage", "cells", "share", "median score", "median confidence"]
    return html_table("Cells of each lineage", head, rows, book=_colours(obs))


def _colours(obs: pd.DataFrame) -> dict[str, str]:
    """Colour of each lineage, the commonest first; of cells without a name last."""
    found = obs["peakatlas_name_lineage"].astype(str).value_counts()
    kinds = [str(kind) for kind in found.index if kind != NO_TERM]
    return {**dict(zip(kinds, colours(len(kinds)), strict=True)), NO_TERM: OPEN}


def _names(obs: pd.DataFrame) -> str:
    known = obs[obs["peakatlas_name"].astype(str) != NO_TERM]
    columns = ["peakatlas_name", "peakatlas_name_id", "peakatlas_name_lineage"]
    sizes = known[columns].astype(str).value_counts().head(MOST_NAMES)
    rows = [
        [*map(str, names), f"{n:,}", f"{n / len(obs):.1%}"]
        for names, n in zip(sizes.index.tolist(), sizes.tolist(), strict=True)
    ]
    note = (
        '<p class="hint">Names within a lineage are suggestions: about half of them are right in '
        "blood. Rest conclusions on lineages.</p>"
    )
    return note + html_table(
        "Cells of each name", ["name", "term", "lineage", "cells", "share"], rows
    )


def _left_open(obs: pd.DataFrame, kept: Any) -> str:  # noqa: ANN401 - a mapping of AnnData
    n = int((obs["peakatlas_name"].astype(str) == NO_TERM).sum())
    text = (
        f"{n:,} of {len(obs):,} cells ({n / max(len(obs), 1):.1%}) have a best score below "
        f"{float(kept['least_score']):g} and got no name."
    )
    advice = (
        "An annotation names only what was in it. REMO v1 has no term for stem and progenitor "
        "cells, for erythroid, megakaryocyte, granulocyte and embryonic cells: a cell of these "
        "whose kin has a term can still be named by that, so check granulocyte progenitors that "
        "are called myeloid."
    )
    tone = "warnings" if n else "calm"
    return f'<p class="{tone}">{html.escape(text)}</p><p>{html.escape(advice)}</p>'


def _known(obs: pd.DataFrame, key: str) -> str:
    known = column_of(obs, key).astype(str)
    table = pd.crosstab(known, obs["peakatlas_name_lineage"].astype(str))
    rows = [[str(kind), *(f"{n:,}" for n in row)] for kind, *row in table.itertuples()]
    return html_table(f"Lineages of the types in {key}", [key, *map(str, table)], rows)


def _sources(kept: Any) -> str:  # noqa: ANN401 - a mapping of AnnData
    terms = np.asarray(kept["terms"])
    rows = [
        ["elements", str(kept["elements"])],
        ["terms considered", f"{len(terms):,}, tissue: {kept['tissue']}"],
        ["peaks with a term", f"{int(kept['peaks_with_terms']):,}"],
        ["Cell Ontology", str(kept["ontology"])],
    ]
    return html_table("Annotation", ["what", "which"], rows)


def _map(named: ad.AnnData, seed: int) -> str:
    """Cells on a map of their term scores, coloured by lineage as in the table."""
    n = named.n_obs
    rows = np.sort(np.random.default_rng(seed).permutation(n)[:MOST_POINTS])
    placed = cell_map(np.asarray(named.obsm[TERMS_KEY], np.float32)[rows], seed=seed)
    lineage = named.obs["peakatlas_name_lineage"].astype(str).to_numpy()
    colour = _colours(named.obs)
    places = _scaled(placed)
    parts = [
        f'<path fill="none" stroke="{ink}" stroke-width="4" stroke-linecap="round" '
        f'd="{_points(places[lineage[rows] == kind])}"/>'
        for kind, ink in reversed(colour.items())
    ]
    high = int(places[:, 1].max()) + MARGIN
    shown = "" if len(rows) == n else f" {len(rows):,} of {n:,} cells are shown."
    return (
        f'<figure><svg viewBox="0 0 {WIDE} {high}" width="{WIDE}" role="img" '
        f'aria-label="Map of the cells by their scores, coloured by lineage" '
        f'style="max-width:100%;height:auto">{"".join(parts)}</svg>'
        '<figcaption><p class="hint">Cells by their scores of terms (t-SNE, for the eye only), in '
        f"the colours of the table.{shown}</p></figcaption></figure>"
    )


def _scaled(placed: NDArray[np.float32]) -> NDArray[np.float64]:
    """The map within the picture, with a margin."""
    wide = placed.astype(np.float64) - placed.min(axis=0)
    return np.asarray(MARGIN + wide * ((WIDE - 2 * MARGIN) / (float(wide.max()) or 1.0)))


def _points(places: NDArray[np.float64]) -> str:
    """Points as strokes of no length."""
    return "".join(f"M{x:.0f} {y:.0f}h0" for x, y in places)


def _version() -> str:
    try:
        return version("peakatlas")
    except PackageNotFoundError:
        return ""
