"""Warnings about an annotation in plain words, each with what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

MANY_OPEN = 0.3
FEW_SHARED = 0.3
SHALLOW = 0.5
MANY_MISSING = 0.5


def warnings_of(record: Mapping[str, Any]) -> list[str]:
    """Warnings that the record of an annotation gives rise to.

    Parameters
    ----------
    record : mapping
        What `annotate` keeps in ``uns["peakatlas"]``.
    """
    found = (_route(record), _missing(record), _depth(record), _open(record), _empty(record))
    return [text for text in found if text]


def _route(record: Mapping[str, Any]) -> str:
    if record["shared_counts"] >= FEW_SHARED:
        return ""
    share = f"{record['shared_counts']:.0%} of the query's counts lie in peaks that the reference"
    if record["route"] == "sequence":
        return (
            f"Only {share} knows, so cells were labelled by the DNA of their peaks alone, which "
            "is less accurate. Count the query on the reference's peaks if you have its fragments."
        )
    return (
        f"Only {share} knows, and there was no sequence to fall back on: treat all labels with "
        "care. Give an atlas and --genome, or count the query on the reference's peaks."
    )


def _missing(record: Mapping[str, Any]) -> str:
    missing, peaks = record["tiers"].get("missing", 0), record["peaks"]
    if record["spec"] is None or missing <= MANY_MISSING * peaks:
        return ""
    return (
        f"{missing:,} of {peaks:,} peaks have no embedding. Give --genome to embed them, or use "
        'an atlas that holds them. var["peakatlas_tier"] says which.'
    )


def _depth(record: Mapping[str, Any]) -> str:
    query, reference = record["median_depth"], record["bundle"]["median_depth"]
    if query >= SHALLOW * reference:
        return ""
    return (
        f"Query cells are shallow: {query:,.0f} counts at the median against {reference:,.0f} in "
        "the reference. Expect more cells to be left open; remove the shallowest cells."
    )


def _open(record: Mapping[str, Any]) -> str:
    left = record["labels"].get("Unassigned", 0)
    if left <= MANY_OPEN * record["cells"]:
        return ""
    novel = record["unassigned"].get("novel", 0)
    cause = (
        "most of them unlike any type of the reference: it may lack their types"
        if novel > left / 2
        else "most of them too uncertain to call"
    )
    return (
        f"{left:,} of {record['cells']:,} cells are Unassigned, {cause}. See their likeliest "
        'types in obs["peakatlas_best"].'
    )


def _empty(record: Mapping[str, Any]) -> str:
    empty = record["unassigned"].get("empty", 0)
    if not empty:
        return ""
    return f"{empty:,} cell(s) have no count in a usable peak. Remove them."
