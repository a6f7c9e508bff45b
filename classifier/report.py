"""One self-contained HTML page about an annotation; it works offline."""

from __future__ import annotations

import base64
import gzip
import html
import json
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from plotly.offline import get_plotlyjs

from peakatlas.engine.errors import CountsError, LabelsError

from .layout import cell_map
from .metrics import UNASSIGNED, confusion, per_type, score

if TYPE_CHECKING:
    import anndata as ad
    import pandas as pd
    from numpy.typing import NDArray

TEMPLATE = "report_template.html"
TIER_WORDS = {
    "exact": "same interval in the atlas",
    "sequence": "same sequence in the atlas",
    "overlap": "overlapping interval (approximate)",
    "embedded": "embedded now",
    "missing": "no embedding",
}


def write_report(
    annotated: ad.AnnData,
    path: str | Path,
    *,
    labels_key: str | None = None,
    title: str | None = None,
    seed: int = 0,
) -> None:
    """Write the report of an annotated query.

    Parameters
    ----------
    annotated : AnnData
        What `annotate` returned, or the file that it was written to. Not modified.
    path : str or Path
        HTML file to write.
    labels_key : str, optional
        Column of `obs` with known types, for the confusion matrix; nothing else reads it.
    title : str, optional
        Heading of the page.
    seed : int
        Of the cell map.

    Raises
    ------
    CountsError
        If the object was not annotated.
    LabelsError
        If there is no such column.
    """
    payload = report_data(annotated, labels_key=labels_key, seed=seed)
    template = files(__package__).joinpath(TEMPLATE).read_text(encoding="utf-8")
    page = (
        template.replace(
            "{{title}}", html.escape(title or f"peakatlas: {payload['record']['query']}")
        )
        .replace("{{summary}}", html.escape(payload["summary"]))
        .replace("{{payload}}", _packed(json.dumps(payload, allow_nan=False)))
        .replace("{{plotly}}", _packed(get_plotlyjs()))
    )
    Path(path).write_text(page, encoding="utf-8")


def report_data(
    annotated: ad.AnnData, *, labels_key: str | None = None, seed: int = 0
) -> dict[str, Any]:
    """What the page shows, as JSON types.

    Parameters
    ----------
    annotated, labels_key, seed
        As in `write_report`.

    Raises
    ------
    CountsError
        If the object was not annotated.
    LabelsError
        If there is no such column.
    """
    if "peakatlas" not in annotated.uns or "X_peakatlas" not in annotated.obsm:
        raise CountsError("the object holds no annotation. Run peakatlas annotate on it first.")
    kept, obs = annotated.uns["peakatlas"], annotated.obs
    record = json.loads(str(kept["record"]))
    labels = obs["peakatlas_label"].astype(str).to_numpy()
    reference = np.asarray(kept["reference_types"]).astype(str)
    return {
        "record": record,
        "summary": summary_of(record, obs["peakatlas_confidence"].to_numpy()),
        "map": _map(annotated, reference, seed),
        "cells": _cells(obs, labels),
        "composition": _composition(record, labels),
        "tiers": [
            [words, record["tiers"][tier]]
            for tier, words in TIER_WORDS.items()
            if record["tiers"].get(tier)
        ],
        "truth": None if labels_key is None else _truth(annotated, labels_key, record),
    }


def summary_of(record: dict[str, Any], confidence: NDArray[np.float32]) -> str:
    """What was asked and answered, in one paragraph.

    Parameters
    ----------
    record : dict
        Kept in ``uns["peakatlas"]``.
    confidence : float32, shape (n_cells,)
    """
    cells, bundle = record["cells"], record["bundle"]
    opened = record["labels"].get(UNASSIGNED, 0)
    ranked = sorted(record["labels"].items(), key=lambda item: -item[1])
    named = [f"{name} ({size / cells:.0%})" for name, size in ranked if name != UNASSIGNED][:3]
    with_embedding = record["peaks"] - record["tiers"].get("missing", 0)
    how = (
        "by their accessibility and sequence" if record["route"] == "shared" else "by sequence only"
    )
    return (
        f"{cells:,} cells of {record['query']} were compared {how} with {bundle['cells']:,} "
        f"labelled cells of {len(record['types'])} types from {bundle['reference']}. "
        f"{cells - opened:,} cells ({1 - opened / cells:.0%}) got a type, mostly "
        f"{', '.join(named) or 'none'}; {opened:,} stay Unassigned. "
        f"The median confidence is {float(np.median(confidence)):.2f}. "
        f"{with_embedding:,} of {record['peaks']:,} peaks have an embedding, and "
        f"{record['shared_counts']:.0%} of the counts lie in peaks that the reference knows."
    )


def _map(annotated: ad.AnnData, reference: NDArray[np.str_], seed: int) -> dict[str, Any]:
    kept = np.asarray(annotated.uns["peakatlas"]["reference_embedding"], np.float32)
    query = np.asarray(annotated.obsm["X_peakatlas"], np.float32)
    placed = cell_map(np.concatenate([query, kept]), seed=seed).astype(np.float64).round(2)
    here, there = placed[: len(query)], placed[len(query) :]
    return {
        "x": here[:, 0].tolist(),
        "y": here[:, 1].tolist(),
        "reference_x": there[:, 0].tolist(),
        "reference_y": there[:, 1].tolist(),
        "reference_types": reference.tolist(),
    }


def _cells(obs: pd.DataFrame, labels: NDArray[np.str_]) -> dict[str, Any]:
    return {
        "names": [str(name) for name in obs.index],
        "label": labels.tolist(),
        "best": obs["peakatlas_best"].astype(str).tolist(),
        "reason": obs["peakatlas_reason"].astype(str).tolist(),
        "confidence": _numbers(obs["peakatlas_confidence"]),
        "novelty": _numbers(obs["peakatlas_novelty"]),
    }


def _composition(record: dict[str, Any], labels: NDArray[np.str_]) -> list[dict[str, Any]]:
    sizes, total = record["bundle"]["cells_by_type"], record["bundle"]["cells"]
    return [
        {
            "type": name,
            "cells": int((labels == name).sum()),
            "query": float(np.mean(labels == name)),
            "reference": sizes.get(name, 0) / total,
        }
        for name in [*record["types"], UNASSIGNED]
    ]


def _truth(annotated: ad.AnnData, labels_key: str, record: dict[str, Any]) -> dict[str, Any]:
    obs = annotated.obs
    if labels_key not in obs:
        there = ", ".join(map(str, obs.columns))
        raise LabelsError(f"obs has no column {labels_key!r}; columns there are: {there}.")
    truth = obs[labels_key].astype(str).to_numpy()
    labels = obs["peakatlas_label"].astype(str).to_numpy()
    table = confusion(truth, labels)
    shares = table.to_numpy() / np.maximum(table.to_numpy().sum(axis=1, keepdims=True), 1)
    scores = score(truth, labels, obs["peakatlas_confidence"].to_numpy(), known=record["types"])
    return {
        "rows": table.index.tolist(),
        "columns": table.columns.tolist(),
        "counts": table.to_numpy().tolist(),
        "shares": shares.round(4).tolist(),
        "scores": {k: None if np.isnan(v) else round(v, 4) for k, v in scores.to_json().items()},
        "per_type": per_type(truth, labels).round(3).to_dict(orient="records"),
    }


def _numbers(column: pd.Series[float]) -> list[float]:
    return [round(float(value), 3) for value in column]


def _packed(text: str) -> str:
    """Gzip as base64: a fifth of the size, unpacked by the browser."""
    return base64.b64encode(gzip.compress(text.encode("utf-8"), 9, mtime=0)).decode("ascii")
