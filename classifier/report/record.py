"""What an annotated file keeps in ``uns["peakatlas"]`` as models, checked before it is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from peakatlas.engine.documents import Count, Document, as_model, parse_object
from peakatlas.engine.errors import CountsError

if TYPE_CHECKING:
    from collections.abc import Mapping

Line = Annotated[str, Meta(max_length=10_000)]
Sizes = dict[Line, Count]
_WHERE = 'uns["peakatlas"]'


class Inputs(Document):
    """Paths that `annotate` was given; None for what lay in memory."""

    query: Line | None = None
    bundle: Line | None = None
    atlas: Line | None = None
    genome: Line | None = None


class Alert(Document):
    """What was seen and what to do."""

    severity: Literal["problem", "caution"]
    text: Line


class Verdict(Document):
    """What may be done with the labels of a type; see `TypeVerdict`."""

    type: Line
    verdict: Literal["trust", "check", "merge", "do not use"]
    words: Line
    reason: Line
    cells: Count
    f1: float
    precision: float | None
    confidence: float | None
    cutoff: float | None = None


class LevelNames(Document):
    """Columns of labels from coarse to fine; more is kept that no page reads."""

    columns: list[Line] = msgspec.field(default_factory=list)


class Record(Document):
    """What was asked and answered."""

    query: Line
    cells: Count
    peaks: Count
    types: list[Line]
    labels: Sizes
    software: dict[Line, Line]
    options: dict[Line, Any]
    bundle: dict[Line, Any]
    spec: dict[Line, Any] | None
    shared_counts: float
    levels: LevelNames = msgspec.field(default_factory=LevelNames)
    unassigned: Sizes = msgspec.field(default_factory=dict)
    tiers: Sizes = msgspec.field(default_factory=dict)
    warnings: list[Line] = msgspec.field(default_factory=list)
    alerts: list[Alert] = msgspec.field(default_factory=list)
    verdicts: list[Verdict] = msgspec.field(default_factory=list)
    held_out: dict[Line, Any] = msgspec.field(default_factory=dict)
    labeller: dict[Line, Any] = msgspec.field(default_factory=dict)


def record_of(kept: Mapping[str, Any]) -> dict[str, Any]:
    """The record of an annotation, as JSON types.

    Parameters
    ----------
    kept : mapping
        ``uns["peakatlas"]``.

    Raises
    ------
    CountsError
        If it is not one.
    """
    values = _parsed(kept, "record")
    as_model(values, Record, f"{_WHERE} record", CountsError)
    return values


def inputs_of(kept: Mapping[str, Any]) -> Inputs:
    """Paths that `annotate` was given; none for objects of an earlier version.

    Raises
    ------
    CountsError
        If they are not texts.
    """
    values = _parsed(kept, "inputs") if "inputs" in kept else {}
    return as_model(values, Inputs, f"{_WHERE} inputs", CountsError)


def _parsed(kept: Mapping[str, Any], name: str) -> dict[str, Any]:
    if name not in kept:
        raise CountsError(f"{_WHERE} has no {name}: annotate the query again.")
    return parse_object(str(kept[name]).encode(), f"{_WHERE} {name}", CountsError)
