"""Labels of references in the words of the Cell Ontology."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from peakatlas.classifier.ontology.back_off import term_names
from peakatlas.classifier.ontology.lineages import lineage_of
from peakatlas.classifier.ontology.mapping import map_labels, renamed, same_terms
from peakatlas.engine.errors import LabelsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from peakatlas.classifier.counts.references import LabelledCells
    from peakatlas.classifier.ontology.mapping import OntologyMapping

    Parts = tuple[LabelledCells, ...]

LINEAGE = "lineage"
"""Name of the level that is made of the ontology."""


def with_terms(
    parts: Sequence[LabelledCells], table: Mapping[str, str]
) -> tuple[Parts, OntologyMapping]:
    """Map the labels of references to terms, and give labels of one term one name.

    Parameters
    ----------
    parts : sequence of LabelledCells
        Not modified.
    table : mapping
        Ids of labels, before names and synonyms.

    Raises
    ------
    LabelsError
        If an id of the table cannot be used, or one of its labels is that of no cell.
    """
    used = {str(label) for part in parts for column in part.labels for label in np.unique(column)}
    stray = sorted(set(table) - used)
    if stray:
        raise LabelsError(
            f"the table names {', '.join(map(repr, stray[:5]))}, a label of no cell. Labels are: "
            f"{', '.join(sorted(used)[:20])}."
        )
    mapping = map_labels(used, table)
    joined: dict[str, str] = {}
    apart: set[str] = set()
    united = list(parts)
    for column in range(len(parts[0].labels)):
        own = [np.unique(part.labels[column]).tolist() for part in parts]
        names, kept = same_terms(own, mapping.terms)
        joined, apart = joined | names, apart | set(kept)
        united = [_with_names(part, column, names) for part in united]
    return tuple(united), replace(mapping, joined=joined, apart=tuple(sorted(apart)))


def with_lineages(
    parts: Sequence[LabelledCells], columns: Sequence[str], mapping: OntologyMapping
) -> tuple[Parts, list[str], OntologyMapping]:
    """Add a level of lineages above the types of the last column with the most types.

    A type without a term, and one of no lineage, is its own lineage.

    Raises
    ------
    LabelsError
        If there is a column of that name, or one lineage alone.
    """
    if LINEAGE in columns:
        raise LabelsError(f"a column of labels is called {LINEAGE!r} already. Rename it.")
    kinds = [{k for part in parts for k in np.unique(part.labels[i]).tolist()}
             for i in range(len(columns))]  # fmt: skip
    finest = max(range(len(columns)), key=lambda i: len(kinds[i]))
    ids = {label: lineage_of(mapping.terms[label]) for label in kinds[finest] & set(mapping.terms)}
    names = dict(zip(ids, term_names(list(ids.values())), strict=True))
    if len({names.get(label, label) for label in kinds[finest]}) < 2:
        raise LabelsError(
            f"all types are of one lineage ({', '.join(set(names.values()))}): there is nothing "
            "to tell apart. Train without --lineages."
        )
    above = tuple(
        replace(part, labels=(renamed(part.labels[finest], names), *part.labels)) for part in parts
    )
    terms = {**{names[label]: term for label, term in ids.items()}, **mapping.terms}
    return above, [LINEAGE, *columns], replace(mapping, terms=terms)


def _with_names(part: LabelledCells, column: int, names: Mapping[str, str]) -> LabelledCells:
    labels = list(part.labels)
    labels[column] = renamed(labels[column], names)
    return replace(part, labels=tuple(labels))
