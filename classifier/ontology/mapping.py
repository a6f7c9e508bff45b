"""Labels as terms of the Cell Ontology: by name, synonym or a table, never guessed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from peakatlas.engine.errors import LabelsError

from .cell_ontology import cell_ontology

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class OntologyMapping:
    """What became of each label."""

    terms: Mapping[str, str]
    """Id of each label that has one."""
    unmapped: tuple[str, ...]
    """Labels that have none, sorted."""

    def describe(self) -> str:
        """One line: how many were mapped, and which were not."""
        n = len(self.terms) + len(self.unmapped)
        text = f"{len(self.terms)} of {n} labels are terms of the Cell Ontology"
        if not self.unmapped:
            return text
        return f"{text}; not found: {', '.join(self.unmapped)}. Name their ids in a table."


def map_labels(labels: Iterable[str], table: Mapping[str, str] | None = None) -> OntologyMapping:
    """Find the term of each label.

    Parameters
    ----------
    labels : iterable of str
    table : mapping, optional
        Ids of some labels; it goes before names and synonyms.

    Raises
    ------
    LabelsError
        If an id of the table is not in the ontology.

    Examples
    --------
    >>> map_labels(["NK cell", "B cell", "Cluster 7"]).describe()
    '2 of 3 labels are terms of the Cell Ontology; not found: Cluster 7. Name their ids in a table.'
    """
    ontology, given = cell_ontology(), dict(table or {})
    for term in given.values():
        ontology.label(term)
    found = {label: given.get(label) or ontology.find(label) for label in sorted(set(labels))}
    return OntologyMapping(
        terms={label: term for label, term in found.items() if term is not None},
        unmapped=tuple(label for label, term in found.items() if term is None),
    )


def read_label_table(path: Path) -> dict[str, str]:
    """Read a table of two columns, label and id, separated by a tab; ``#`` begins a comment.

    Raises
    ------
    LabelsError
        If a line has other columns, or a label is there twice.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(path.read_text("utf-8-sig").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        label, _, term = (part.strip() for part in line.partition("\t"))
        if not label or not term or label in found:
            why = "is there twice" if label in found else "is no label, a tab and an id"
            raise LabelsError(
                f"{path} line {number}: {line[:80]!r} {why}. Lines look like "
                "'my NK cells<tab>CL:0000623'."
            )
        found[label] = term
    return found
