"""One self-contained HTML page about an annotation; it works offline."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from plotly.offline import get_plotlyjs

from peakatlas.classifier.explain.genes import read_genes
from peakatlas.engine.errors import CountsError

from .cells import MOST_BATCHES, Asked, cell_data
from .colours import colours
from .figures import (
    assembly_of,
    composition,
    confidence_by_type,
    held_out_reliability,
    held_out_types,
    level_data,
    marker_data,
    set_data,
    tiers,
    truth_data,
    verdict_data,
)
from .names_page import NAMES_KEY, write_names_report
from .payload import Payload, packed
from .plain_page import page_file
from .record import inputs_of, record_of
from .words import advice_html, labeller_words, member_weights, rerun, summary_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import anndata as ad

SCRIPTS = ("page", "data", "theme", "map", "cells", "figures", "tables", "markers", "main")
"""Joined in this order into one script."""


def write_report(
    annotated: ad.AnnData,
    path: str | Path,
    *,
    labels_key: str | None = None,
    batch_keys: Sequence[str] = (),
    genes: str | Path | None = None,
    title: str | None = None,
    seed: int = 0,
) -> None:
    """Write the report of an annotated query.

    Parameters
    ----------
    annotated : AnnData
        What `annotate` or `name` returned, or the file that it was written to, also opened backed.
        Not modified. The page of an object with both is that of the annotation.
    path : str or Path
        HTML file to write.
    labels_key : str, optional
        Column of `obs` with known types, to compare with; nothing else reads it.
    batch_keys : sequence of str
        Columns of `obs` to colour the cells by; those named like batches if none is given.
    genes : str or Path, optional
        GTF, GFF3 or BED of genes: the one nearest to each marker peak is named.
    title : str, optional
        Heading of the page.
    seed : int
        Of the cell map, and of the cells that are shown of more than 100,000.

    Raises
    ------
    CountsError
        If the object was not annotated.
    LabelsError
        If there is no such column.
    IntervalError
        If the genes cannot be read.

    Examples
    --------
    >>> import anndata, peakatlas
    >>> peakatlas.write_report(anndata.read_h5ad("annotated.h5ad"), "report.html")
    """
    if NAMES_KEY in annotated.uns and "peakatlas" not in annotated.uns:
        write_names_report(annotated, path, labels_key=labels_key, title=title, seed=seed)
        return
    payload = Payload()
    known = None if genes is None else read_genes(genes)
    asked = Asked(labels_key=labels_key, batch_keys=tuple(batch_keys), genes=known, seed=seed)
    facts = report_data(annotated, payload, asked=asked)
    record = facts["record"]
    words = {
        "title": title or f"Cell types of {record['query']}",
        "summary": facts["summary"],
        "command": facts["rerun"]["command"],
        "python": facts["rerun"]["python"],
        "train": facts["rerun"]["train"],
        "version": record["software"]["peakatlas"],
    }
    blocks = {
        "advice": advice_html(record),
        "labeller": "".join(f"<p>{html.escape(said)}</p>" for said in facts["labeller"]),
        "style": page_file("style.css"),
        "script": "\n".join(page_file(f"{name}.js") for name in SCRIPTS),
        "payload": payload.packed(facts),
        "plotly": packed(get_plotlyjs().encode()),
    }
    parts = {name: html.escape(text) for name, text in words.items()} | blocks
    page = re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], page_file("index.html"))
    Path(path).write_text(page, encoding="utf-8")


def report_data(
    annotated: ad.AnnData, payload: Payload, *, asked: Asked | None = None
) -> dict[str, Any]:
    """What the page shows, as JSON types; arrays go into `payload`.

    Parameters
    ----------
    annotated : AnnData
    payload : Payload
        Gains the columns of the cells.
    asked : Asked, optional

    Raises
    ------
    CountsError
        If the object was not annotated.
    LabelsError
        If there is no such column.
    """
    if "peakatlas" not in annotated.uns or "X_peakatlas" not in annotated.obsm:
        raise CountsError("the object holds no annotation. Run peakatlas annotate on it first.")
    asked = asked or Asked()
    kept, obs = annotated.uns["peakatlas"], annotated.obs
    record = record_of(kept)
    key = asked.labels_key
    return {
        "palette": colours(max(MOST_BATCHES, len(record["types"]))),
        "truth": None if key is None else truth_data(obs, key, record["types"]),
        "cells": cell_data(annotated, record, payload, asked),
        "record": record,
        "summary": summary_of(record, obs["peakatlas_confidence"].to_numpy(np.float32)),
        "labeller": labeller_words(record["labeller"]),
        "weights": member_weights(record["labeller"]),
        "composition": composition(record),
        "verdicts": verdict_data(record),
        "confidence": confidence_by_type(obs, record["types"]),
        "held_out": held_out_types(record),
        "reliability": held_out_reliability(record),
        "tiers": tiers(record),
        "sets": set_data(obs),
        "levels": level_data(record, obs),
        "markers": marker_data(kept, asked.genes),
        "assembly": assembly_of(annotated.uns, record, inputs_of(kept)),
        "rerun": rerun(record, inputs_of(kept)),
    }
