"""What a report shows of each cell: where it lies, its labels, numbers and batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from peakatlas.classifier.counts.labels import UNASSIGNED
from peakatlas.classifier.counts.written import level_name
from peakatlas.engine.errors import LabelsError

from .cell_map import cell_map

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import anndata as ad
    from numpy.typing import NDArray

    from .payload import Payload

MOST_CELLS = 100_000
"""Cells that a page holds; of a larger query, so many drawn at random."""
MOST_REFERENCE = 5_000
MOST_BATCHES = 60
CHUNK_CELLS = 20_000
BATCH_NAMES = ("batch", "sample", "donor", "library", "replicate", "lane", "chip", "dataset")
"""Columns of `obs` that are shown as batches, by the beginning of their names."""
NUMBERS = {
    "confidence": "confidence",
    "uncertainty": "uncertainty",
    "novelty": "novelty",
}
LEVEL = "peakatlas_label_"


@dataclass(frozen=True, eq=False, kw_only=True)
class Asked:
    """What the reader wants to see beside the annotation."""

    labels_key: str | None = None
    """Column of `obs` with known types."""
    batch_keys: tuple[str, ...] = ()
    """Columns of `obs` to colour by; those named like batches if empty."""
    genes: pd.DataFrame | None = None
    """From `read_genes`, to name those near marker peaks."""
    seed: int = 0


def cell_data(
    annotated: ad.AnnData, record: Mapping[str, Any], payload: Payload, asked: Asked
) -> dict[str, Any]:
    """Columns of the cells and the map, kept in `payload`.

    Parameters
    ----------
    annotated : AnnData
    record : mapping
        Checked record of the annotation: its types are in the order of their colours.
    payload : Payload
        Gains the arrays.
    asked : Asked

    Raises
    ------
    LabelsError
        If there is no such column.
    """
    rows, types = _shown(annotated.n_obs, asked.seed), record["types"]
    obs = annotated.obs.iloc[rows]
    levels = levels_of(record, obs)
    depth = depth_of(annotated, record.get("read", {}).get("layer"))
    columns = [*_labels(obs, types, levels, payload), *_numbers(obs, depth, rows, payload)]
    columns += _others(annotated.obs, obs, payload, asked)
    return {
        "total": annotated.n_obs,
        "shown": len(rows),
        "names": payload.text([str(name) for name in obs.index]),
        "columns": columns,
        "map": _map(annotated, rows, types, payload, asked.seed),
    }


def column_of(obs: pd.DataFrame, name: str) -> pd.Series[Any]:
    """A column of `obs`.

    Raises
    ------
    LabelsError
        If there is no such column.
    """
    if name not in obs:
        there = ", ".join(map(str, obs.columns))
        raise LabelsError(f"obs has no column {name!r}; columns there are: {there}.")
    return obs[name]


def batch_columns(obs: pd.DataFrame) -> list[str]:
    """Columns of `obs` that are named like batches and hold a few categories."""
    return [
        str(name)
        for name in obs.columns
        if str(name).lower().startswith(BATCH_NAMES) and 1 < obs[name].nunique() <= MOST_BATCHES
    ]


def levels_of(record: Mapping[str, Any], obs: pd.DataFrame) -> list[str]:
    """Names of the label levels that the annotation wrote, when there are several."""
    names = record.get("levels", {}).get("columns", ())
    return [name for name in map(level_name, names) if LEVEL + name in obs]


def _shown(n_cells: int, seed: int) -> NDArray[np.int64]:
    if n_cells <= MOST_CELLS:
        return np.arange(n_cells)
    return np.sort(np.random.default_rng(seed).choice(n_cells, MOST_CELLS, replace=False))


def _labels(
    obs: pd.DataFrame, types: Sequence[str], levels: Sequence[str], payload: Payload
) -> list[dict[str, Any]]:
    order = [*types, UNASSIGNED]
    reasons = obs["peakatlas_reason"].astype(str).replace("", "given a type")
    found = [
        _named("label", "label", payload.categories(obs["peakatlas_label"], order)),
        _named("best", "likeliest type", payload.categories(obs["peakatlas_best"], order)),
        _named("reason", "reason left open", payload.categories(reasons, ["given a type"])),
    ]
    if "peakatlas_verdict" in obs:
        verdicts = obs["peakatlas_verdict"].astype(str).replace("", UNASSIGNED)
        found.append(_named("verdict", "verdict on the label", payload.categories(verdicts)))
    for level in levels:
        column = payload.categories(obs[LEVEL + level])
        found.append(_named(f"level:{level}", f"label, {level}", column))
    if "peakatlas_set" in obs:
        column = payload.categories(obs["peakatlas_set"])
        found.append(_named("types", "possible types", column))
    if "peakatlas_set_term" in obs:
        column = payload.categories(obs["peakatlas_set_term"])
        found.append(_named("term", "nearest common term", column))
    return found


def _numbers(
    obs: pd.DataFrame,
    depth: NDArray[np.float64] | None,
    rows: NDArray[np.int64],
    payload: Payload,
) -> list[dict[str, Any]]:
    found = [
        _named(key, title, payload.numbers(obs[f"peakatlas_{key}"].to_numpy(np.float64)))
        for key, title in NUMBERS.items()
        if f"peakatlas_{key}" in obs
    ]
    if depth is not None:
        found.append(_named("depth", "depth (counts a cell)", payload.numbers(depth[rows])))
    return found


def _others(
    whole: pd.DataFrame, obs: pd.DataFrame, payload: Payload, asked: Asked
) -> list[dict[str, Any]]:
    """Batches, and known types where they were asked for."""
    keys = list(asked.batch_keys) or batch_columns(whole)
    if asked.labels_key is not None:
        keys = [asked.labels_key, *(key for key in keys if key != asked.labels_key)]
    found = []
    for key in keys:
        title = f"{key} (known type)" if key == asked.labels_key else f"{key} (batch)"
        column = payload.categories(column_of(obs, key))
        if len(column["categories"]) <= MOST_BATCHES or key == asked.labels_key:
            found.append(_named(f"obs:{key}", title, column))
    return found


def depth_of(annotated: ad.AnnData, layer: str | None = None) -> NDArray[np.float64] | None:
    """Counts a cell, read in chunks so that a file need not be loaded; None without counts.

    Parameters
    ----------
    annotated : AnnData
    layer : str, optional
        Where its counts are; `X` if not given.
    """
    if layer is not None:
        counts = annotated.layers.get(layer)
        return None if counts is None else np.asarray(counts.sum(axis=1), np.float64).ravel()
    if annotated.X is None:
        return None
    chunks = annotated.chunked_X(min(CHUNK_CELLS, annotated.n_obs))
    return np.concatenate([np.asarray(part.sum(axis=1), np.float64).ravel() for part, *_ in chunks])


def _map(
    annotated: ad.AnnData,
    rows: NDArray[np.int64],
    types: Sequence[str],
    payload: Payload,
    seed: int,
) -> dict[str, Any]:
    kept = annotated.uns["peakatlas"]
    reference = np.asarray(kept["reference_embedding"], np.float32)
    behind = _shown_reference(len(reference), seed)
    query = np.asarray(annotated.obsm["X_peakatlas"], np.float32)[rows]
    placed = cell_map(np.concatenate([query, reference[behind]]), seed=seed)
    axes = [payload.numbers(axis - axis.min()) for axis in _spread(placed).T]
    known = pd.Series(np.asarray(kept["reference_types"]).astype(str)[behind])
    return {"x": axes[0], "y": axes[1], "reference": payload.categories(known, [*types])}


def _shown_reference(n_cells: int, seed: int) -> NDArray[np.int64]:
    if n_cells <= MOST_REFERENCE:
        return np.arange(n_cells)
    return np.sort(np.random.default_rng(seed).choice(n_cells, MOST_REFERENCE, replace=False))


def _spread(placed: NDArray[np.float32]) -> NDArray[np.float64]:
    """The map with its longer side stretched to 60, at three digits 60,000 steps."""
    wide = placed.astype(np.float64)
    side = float(np.ptp(wide, axis=0).max()) or 1.0
    return wide * (60 / side)


def _named(key: str, title: str, column: dict[str, Any]) -> dict[str, Any]:
    return {"key": key, "title": title, **column}
