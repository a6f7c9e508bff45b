"""Summaries that a report draws: composition, tiers, trust, and agreement with known labels."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from peakatlas.classifier.counts.labels import BETWEEN, UNASSIGNED, texts_of, tidy
from peakatlas.classifier.explain.genes import nearest_genes
from peakatlas.classifier.trust.metrics import confusion, per_type, score
from peakatlas.classifier.trust.reliability import reliability

from .cells import LEVEL, column_of, levels_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from .record import Inputs

TIER_WORDS = {
    "exact": "same interval in the atlas",
    "sequence": "same sequence in the atlas",
    "overlap": "overlapping interval (approximate)",
    "embedded": "embedded now",
    "missing": "no embedding",
}
MOST_SETS = 30
ASSEMBLIES = {
    "hg38": ("hg38", "grch38"),
    "hg19": ("hg19", "grch37"),
    "mm39": ("mm39", "grcm39"),
    "mm10": ("mm10", "grcm38"),
}
"""Builds of UCSC's browser, and names that they have elsewhere."""
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
MARKER_COLUMNS = ("chrom", "start", "end", "contribution", "open_in_type", "open_elsewhere")


def composition(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Cells and share of each type in query and reference, "Unassigned" last."""
    sizes, total = record["bundle"]["cells_by_type"], record["bundle"]["cells"]
    called, cells = record["labels"], record["cells"]
    return [
        {
            "type": name,
            "cells": called.get(name, 0),
            "query": called.get(name, 0) / cells,
            "reference_cells": sizes.get(name, 0),
            "reference": sizes.get(name, 0) / total,
        }
        for name in [*record["types"], UNASSIGNED]
    ]


WORST_FIRST = ("do not use", "merge", "check", "trust")


def verdict_data(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Verdicts of the types beside their shares, the worst first; none for older objects."""
    shares = {row["type"]: row for row in composition(record)}
    ranked = sorted(
        record.get("verdicts", ()),
        key=lambda each: (WORST_FIRST.index(each["verdict"]), each["f1"], each["type"]),
    )
    fields = ("type", "verdict", "words", "f1", "precision", "confidence", "cutoff", "reason")
    return [
        {
            **{name: each.get(name) for name in fields},
            **{name: shares.get(each["type"], {}).get(name, 0) for name in ("query", "reference")},
        }
        for each in ranked
    ]


def tiers(record: dict[str, Any]) -> list[list[Any]]:
    """What served the query's peaks, in words, and how many; empty tiers are left out."""
    found = record["tiers"]
    return [[words, found[tier]] for tier, words in TIER_WORDS.items() if found.get(tier)]


def confidence_by_type(obs: pd.DataFrame, types: Sequence[str]) -> list[dict[str, Any]]:
    """Quantiles of the confidence of the cells likeliest of each type, in the order of `types`."""
    grouped = dict(list(obs["peakatlas_confidence"].groupby(obs["peakatlas_best"].astype(str))))
    return [
        {
            "type": name,
            "cells": len(grouped[name]),
            "quantiles": np.quantile(grouped[name], QUANTILES).round(3).tolist(),
        }
        for name in types
        if name in grouped
    ]


def truth_data(obs: pd.DataFrame, labels_key: str, types: Sequence[str]) -> dict[str, Any]:
    """Agreement with known types: confusion, scores, reliability.

    Raises
    ------
    LabelsError
        If there is no such column.
    """
    truth = tidy(texts_of(column_of(obs, labels_key))).astype(object)
    labels, best = (obs[f"peakatlas_{name}"].astype(str).to_numpy() for name in ("label", "best"))
    confidence = obs["peakatlas_confidence"].to_numpy(np.float64)
    table = confusion(truth, labels)
    columns = [name for name in [*types, UNASSIGNED] if name in table.columns]
    rows = [name for name in types if name in table.index]
    rows += [name for name in table.index if name not in rows]
    scores = score(truth, labels, confidence, known=types)
    known = np.isin(truth, types)
    return {
        "column": labels_key,
        "rows": rows,
        "columns": columns,
        "counts": table.loc[rows, columns].to_numpy().tolist(),
        "scores": {k: None if np.isnan(v) else round(v, 4) for k, v in scores.to_json().items()},
        "forced": round(float(np.mean(truth[known] == best[known])), 4) if known.any() else None,
        "per_type": per_type(truth, labels)
        .set_index("label", drop=False)
        .loc[rows]
        .round(3)
        .to_dict(orient="records"),
        "reliability": with_intervals(reliability(confidence[known], (truth == best)[known])),
        "covered": _covered(obs[known], truth[known]),
        "lacked": sorted(set(truth) - set(types)),
    }


def _covered(obs: pd.DataFrame, truth: NDArray[np.object_]) -> float | None:
    """Share of cells whose set of possible types holds the known one; None without sets."""
    if "peakatlas_set" not in obs or not len(obs):
        return None
    sets = obs["peakatlas_set"].astype(str).str.split(BETWEEN, regex=False)
    return round(float(np.mean([name in each for name, each in zip(truth, sets, strict=True)])), 4)


def with_intervals(found: Mapping[str, Any]) -> dict[str, Any]:
    """Reliability with the 95 % Wilson interval of each bin's share: ``low`` and ``high``.

    Parameters
    ----------
    found : mapping
        As `reliability` gives it.

    References
    ----------
    Wilson (1927), Probable inference, the law of succession, and statistical inference.

    Examples
    --------
    >>> bins = [{"cells": 10, "confidence": 0.9, "right": 0.8}]
    >>> with_intervals({"ece": 0.1, "bins": bins})["bins"][0]["low"]
    0.4902
    """
    return {
        **found,
        "bins": [{**each, **_wilson(each["right"], each["cells"])} for each in found["bins"]],
    }


def _wilson(share: float, cells: int) -> dict[str, float]:
    z = 1.96
    middle = share + z * z / (2 * cells)
    half = z * math.sqrt(share * (1 - share) / cells + z * z / (4 * cells * cells))
    scale = 1 + z * z / cells
    return {"low": round((middle - half) / scale, 4), "high": round((middle + half) / scale, 4)}


def set_data(obs: pd.DataFrame) -> dict[str, Any] | None:
    """How many types cells may be of, and the commonest sets; None where none were made."""
    if "peakatlas_set" not in obs:
        return None
    sets = Counter(obs["peakatlas_set"].astype(str))
    sizes: Counter[int] = Counter()
    for text, cells in sets.items():
        sizes[len(text.split(BETWEEN)) if text else 0] += cells
    shared = [(text, n) for text, n in sets.most_common() if BETWEEN in text]
    return {
        "sizes": sorted(sizes.items()),
        "common": [[text.split(BETWEEN), n] for text, n in shared[:MOST_SETS]],
    }


def level_data(record: Mapping[str, Any], obs: pd.DataFrame) -> list[dict[str, Any]]:
    """Cells of each label at each level, the commonest first."""
    found = []
    for level in levels_of(record, obs):
        sizes = obs[LEVEL + level].astype(str).value_counts()
        found.append({"level": level, "labels": [[str(k), int(v)] for k, v in sizes.items()]})
    return found


def marker_data(kept: Mapping[str, Any], genes: pd.DataFrame | None = None) -> list[dict[str, Any]]:
    """Elements that carry each type, as `annotate` kept them; none for older objects.

    Parameters
    ----------
    kept : mapping
        ``uns["peakatlas"]``.
    genes : DataFrame, optional
        From `read_genes`: the nearest is named, and its distance in bp.
    """
    found = kept.get("markers")
    if found is None:
        return []
    columns = list(MARKER_COLUMNS)
    if genes is not None:
        found = found.join(nearest_genes(found, genes).fillna({"tss_distance": -1}))
        columns += ["gene", "tss_distance"]
    return [
        {"type": str(name), "elements": best[columns].round(4).values.tolist()}
        for name, best in found.groupby("type", sort=False, observed=True)
    ]


def assembly_of(uns: Mapping[str, Any], record: Mapping[str, Any], inputs: Inputs) -> str:
    """Genome build by the name that UCSC's browser has for it; empty if nothing says it.

    Parameters
    ----------
    uns : mapping
        Of the annotated object: ``genome``, ``assembly`` or ``build`` may name it.
    record : mapping
        Of the annotation.
    inputs : Inputs
        Files that may be called after their build.
    """
    named = [str(uns[key]) for key in ("genome", "assembly", "build") if key in uns]
    read = record["bundle"].get("read", {})
    named += [str(name) for name in (inputs.genome, read.get("genome"), inputs.atlas) if name]
    for text in named:
        for assembly, names in ASSEMBLIES.items():
            if any(name in text.lower() for name in names):
                return assembly
    return ""


def held_out_types(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """How well held-out reference cells of each type were labelled."""
    found = record["held_out"].get("by_type", {})
    return [{"type": name, **scores} for name, scores in found.items()]


def held_out_reliability(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """Reliability on held-out reference cells with intervals; None for older objects."""
    found = record["held_out"].get("reliability")
    return with_intervals(found) if found else None
