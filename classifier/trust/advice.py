"""Alerts about an annotation in plain words, each with what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .excess import exceeds
from .weights import member_shares

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FEW_SHARED = 0.3
SHALLOW = 0.5
MANY_MISSING = 0.5
WIDE_GAP = 0.1
"""Expected calibration error from which a warning is due."""
WIDE_SHIFT = 0.2
"""Difference of a type's shares in query and reference from which a caution is due."""
TIMES_NEARLY = 4
"""Times the expected number from which nearly novel cells are alerted: each says little."""
MOST_NAMED = 5


def alerts_of(record: Mapping[str, Any]) -> list[dict[str, str]]:
    """Alerts that the record of an annotation gives rise to, the most severe first.

    Parameters
    ----------
    record : mapping
        What `annotate` keeps in ``uns["peakatlas"]``.

    Returns
    -------
    list of dict
        ``severity`` (``problem``: do not go on without acting; ``caution``: mind it), and ``text``:
        what was seen, a full stop, and what to do.
    """
    problems = (_shared(record), _useless(record), _calibration(record))
    cautions = (
        _novel(record),
        _uncertain(record),
        _missing(record),
        _depth(record),
        _mergeable(record),
        _composition(record),
        _nearly_novel(record),
        _empty(record),
    )
    return [
        {"severity": severity, "text": text}
        for severity, texts in (("problem", problems), ("caution", cautions))
        for text in texts
        if text
    ]


def _useless(record: Mapping[str, Any]) -> str:
    found = _called(record, "do not use")
    if not found:
        return ""
    return (
        f"Labels of {_listed(found)} should not be used ({_sum(found):,} of {record['cells']:,} "
        "cells): held-out reference cells of these types are mostly labelled wrongly. Take "
        "coarser types, or train with more cells of them."
    )


def _mergeable(record: Mapping[str, Any]) -> str:
    found = _called(record, "merge")
    if not found:
        return ""
    pairs = {tuple(sorted((each["type"], each["mistaken_for"]))) for each in record["verdicts"]
             if each["type"] in found}  # fmt: skip
    named = _listed([" with ".join(pair) for pair in sorted(pairs)])
    return (
        f"Some types are mixed up with each other ({_sum(found):,} cells). Merge {named} "
        "before you count or compare them."
    )


def _composition(record: Mapping[str, Any]) -> str:
    sizes, total = record["bundle"]["cells_by_type"], record["bundle"]["cells"]
    points = {
        name: record["labels"].get(name, 0) / record["cells"] - sizes.get(name, 0) / total
        for name in record["types"]
    }
    found = {name: value for name, value in points.items() if abs(value) >= WIDE_SHIFT}
    if not found:
        return ""
    named = _listed([f"{name} ({value:+.0%})" for name, value in found.items()])
    return (
        f"The composition differs much from the reference: {named}. Expected if the samples "
        "differ; if not, check the marker peaks of these types."
    )


def _called(record: Mapping[str, Any], verdict: str) -> dict[str, int]:
    """Cells of the types that have this verdict and any cell."""
    return {
        each["type"]: record["labels"][each["type"]]
        for each in record["verdicts"]
        if each["verdict"] == verdict and record["labels"].get(each["type"])
    }


def _sum(sizes: Mapping[str, int]) -> int:
    return sum(sizes.values())


def _listed(names: Iterable[str]) -> str:
    every = list(names)
    more = len(every) - MOST_NAMED
    return ", ".join(every[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _shared(record: Mapping[str, Any]) -> str:
    if record["shared_counts"] >= FEW_SHARED:
        return ""
    share = f"{record['shared_counts']:.0%} of the query's counts lie in peaks that the reference"
    shares = member_shares(record["labeller"])
    for member, what in (("dna", "the DNA of peaks"), ("terms", "elements that peaks overlap")):
        if shares.get(member, 0) > 0:
            return (
                f"Only {share} knows, so labels rest on {what}, which is less accurate. Count the "
                "query on the reference's peaks if you have its fragments."
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


def _novel(record: Mapping[str, Any]) -> str:
    seen = record["unassigned"].get("novel", 0)
    return _excess(
        record,
        "novel",
        seen,
        "are novel, unlike any type of the reference",
        "The reference may lack their type: colour the map by novelty, check marker peaks of the "
        'cells whose obs["peakatlas_reason"] is "novel", and add their type to the reference.',
    )


def _uncertain(record: Mapping[str, Any]) -> str:
    seen = record["unassigned"].get("uncertain", 0)
    return _excess(
        record,
        "uncertain",
        seen,
        "are too uncertain to call",
        'See their likeliest types in obs["peakatlas_best"] and the types between which they lie '
        'in obs["peakatlas_set"]; take coarser types if these are near to each other.',
    )


def _nearly_novel(record: Mapping[str, Any]) -> str:
    return _excess(
        record,
        "nearly_novel",
        record["nearly_novel"],
        "got a type and are nearly as unlike the reference as cells called novel",
        'Colour the map by novelty; obs["peakatlas_novelty_p"] ranks them.',
        times=TIMES_NEARLY,
    )


def _excess(
    record: Mapping[str, Any], what: str, n: int, words: str, remedy: str, *, times: float = 2
) -> str:
    """Alert of cells that are clearly more than held-out cells, made like the query, lead to."""
    cells, share = record["cells"], record["expected"][what]
    if not exceeds(n, cells, share, record["labeller"]["pseudo_queries"]["cells"], times=times):
        return ""
    return f"{n:,} of {cells:,} cells {words} (about {share * cells:,.0f} expected). {remedy}"


def _empty(record: Mapping[str, Any]) -> str:
    empty = record["unassigned"].get("empty", 0)
    if not empty:
        return ""
    return f"{empty:,} cell(s) have no count in a usable peak. Remove them."
