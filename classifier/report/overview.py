"""One page about several annotated queries, side by side; it works offline and without scripts."""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from peakatlas.classifier.counts.labels import UNASSIGNED
from peakatlas.engine.errors import CountsError

from .colours import OPEN, colours
from .figures import WORST_FIRST, composition
from .plain_page import html_table, plain_page
from .record import record_of
from .words import advice_html, alerts_in

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import anndata as ad


@dataclass(frozen=True, kw_only=True)
class QueryFacts:
    """What the page shows of one query."""

    name: str
    record: dict[str, Any]
    confidence: float
    """Median over the cells."""

    @property
    def assigned(self) -> float:
        """Share of cells that got a type."""
        left, cells = self.record["labels"].get(UNASSIGNED, 0), self.record["cells"]
        return 1 - float(left) / max(1, int(cells))

    @property
    def shares(self) -> dict[str, float]:
        """Share of each label in the query."""
        return {row["type"]: row["query"] for row in composition(self.record)}

    @property
    def verdicts(self) -> dict[str, str]:
        """Verdict on each type, in words."""
        return {each["type"]: each["words"] for each in self.record.get("verdicts", ())}


def query_facts(annotated: ad.AnnData, name: str) -> QueryFacts:
    """Read what the page needs of an annotated query.

    Parameters
    ----------
    annotated : AnnData
        Also opened backed. Not modified.
    name : str
        How the page calls it.

    Raises
    ------
    CountsError
        If it was not annotated.
    """
    if "peakatlas" not in annotated.uns:
        raise CountsError(f"{name} holds no annotation. Run peakatlas annotate on it first.")
    confidence = annotated.obs["peakatlas_confidence"].to_numpy(np.float64)
    middle = float(np.median(confidence)) if len(confidence) else 0.0
    return QueryFacts(name=name, record=record_of(annotated.uns["peakatlas"]), confidence=middle)


def write_overview(
    queries: Sequence[QueryFacts], path: str | Path, *, title: str | None = None
) -> None:
    """Write a page with cells, shares, alerts, composition and verdicts of several queries.

    Parameters
    ----------
    queries : sequence of QueryFacts
        In the order of their columns.
    path : str or Path
        HTML file to write.
    title : str, optional
    """
    sections = (
        ("Queries", _queries(queries)),
        ("Alerts", _alerts(queries)),
        ("Composition", _composition(queries)),
        ("Verdicts", _verdicts(queries)),
    )
    version = queries[0].record["software"].get("peakatlas", "")
    heading = title or f"Cell types of {len(queries)} queries"
    Path(path).write_text(plain_page(heading, sections, version), encoding="utf-8")


def _queries(queries: Sequence[QueryFacts]) -> str:
    head = ["query", "cells", "got a type", "median confidence", "counts in known peaks", "alerts"]
    rows = [
        [
            each.name,
            f"{each.record['cells']:,}",
            f"{each.assigned:.1%}",
            f"{each.confidence:.2f}",
            f"{each.record['shared_counts']:.0%}",
            _counted(each.record),
        ]
        for each in queries
    ]
    return html_table("Cells and alerts of each query", head, rows)


def _counted(record: Mapping[str, Any]) -> str:
    kinds = [alert["severity"] for alert in alerts_in(record)]
    words = {"problem": kinds.count("problem"), "caution": kinds.count("caution")}
    return ", ".join(f"{n} {kind}{'s' * (n > 1)}" for kind, n in words.items() if n) or "none"


def _alerts(queries: Sequence[QueryFacts]) -> str:
    return "".join(f"<h3>{html.escape(q.name)}</h3>{advice_html(q.record)}" for q in queries)


def _composition(queries: Sequence[QueryFacts]) -> str:
    names = _types(queries)
    book = {**dict(zip(names, colours(len(names)), strict=True)), UNASSIGNED: OPEN}
    rows = [[name, *(f"{each.shares.get(name, 0):.1%}" for each in queries)] for name in names]
    table = html_table(
        "Share of cells of each type", ["type", *(q.name for q in queries)], rows, book=book
    )
    return "".join(_bar(each, book) for each in queries) + table


def _bar(query: QueryFacts, book: Mapping[str, str]) -> str:
    """The shares of a query as one bar; the table holds the same."""
    parts = "".join(
        f'<span style="width:{100 * query.shares.get(name, 0):.3f}%;background:{colour}" '
        f'title="{html.escape(f"{name} {query.shares.get(name, 0):.1%}")}"></span>'
        for name, colour in book.items()
    )
    return (
        f'<div class="stack"><h3>{html.escape(query.name)}</h3>'
        f'<div aria-hidden="true">{parts}</div></div>'
    )


def _verdicts(queries: Sequence[QueryFacts]) -> str:
    rows = [
        [name, *(each.verdicts.get(name, "–") for each in queries)]
        for name in _types(queries)
        if name != UNASSIGNED
    ]
    head = ["type", *(each.name for each in queries)]
    return html_table("What may be done with the labels of each type", head, rows, cell=_marked)


def _types(queries: Sequence[QueryFacts]) -> list[str]:
    """Types of all queries in order of their first record, "Unassigned" last."""
    names = dict.fromkeys(name for each in queries for name in each.shares)
    return [*(name for name in names if name != UNASSIGNED), UNASSIGNED]


def _marked(text: str) -> str:
    """The text of a cell; a verdict stands out."""
    first = "merge" if text.startswith("merge with ") else text
    if first not in WORST_FIRST:
        return html.escape(text)
    return f'<span class="mark {first.replace(" ", "-")}">{html.escape(text)}</span>'
