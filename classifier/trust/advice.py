"""Warnings about an annotation in plain words, each with what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .weights import member_shares

if TYPE_CHECKING:
    from collections.abc import Mapping

MANY_OPEN = 0.3
FEW_SHARED = 0.3
SHALLOW = 0.5
MANY_MISSING = 0.5
WIDE_GAP = 0.1
"""Expected calibration error from which a warning is due."""


def warnings_of(record: Mapping[str, Any]) -> list[str]:
    """Warnings that the record of an annotation gives rise to.

    Parameters
    ----------
    record : mapping
        What `annotate` keeps in ``uns["peakatlas"]``.
    """
    found = (
        _shared(record),
        _missing(record),
        _depth(record),
        _calibration(record),
        _open(record),
        _empty(record),
    )
    return [text for text in found if text]


def _shared(record: Mapping[str, Any]) -> str:
    if record["shared_counts"] >= FEW_SHARED:
        return ""
    share = f"{record['shared_counts']:.0%} of the query's counts lie in peaks that the reference"
    if member_shares(record["labeller"]).get("dna", 0) > 0:
        return (
            f"Only {share} knows, so labels rest on the DNA of peaks, which is less accurate. "
            "Count the query on the reference's peaks if you have its fragments."
        )
    return (
        f"Only {share} knows, and DNA says nothing of the rest: treat all labels with care. Count "
        "the query on the reference's peaks, or train and annotate with an atlas."
    )


def _calibration(record: Mapping[str, Any]) -> str:
    gap = record["labeller"]["ece"]
    if gap <= WIDE_GAP:
        return ""
    return (
        f"The confidence of held-out reference cells, made like the query, is off by {gap:.2f} in "
        "the mean. Read it as an order, not as a probability."
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
