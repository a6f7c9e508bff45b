"""Labels as terms of the Cell Ontology: by name, synonym or a table, never guessed."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from peakatlas.engine.errors import LabelsError
from peakatlas.engine.intervals.text_files import read_lines

from .cell_ontology import SAY_NOTHING, cell_ontology

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

UNKNOWN = "unknown"
"""What stands in place of an id where there is none, as in CELLxGENE's schema."""
_TABLE = "lines of a label, a tab and an id"
MOST_NEAR = 20
"""Labels for which names like theirs are searched."""


@dataclass(frozen=True, kw_only=True)
class OntologyMapping:
    """What became of each label."""

    edition: str
    """Release of the ontology."""
    terms: Mapping[str, str]
    """Id of each label that has one."""
    unmapped: tuple[str, ...]
    """Labels that have none, sorted."""
    joined: Mapping[str, str] = field(default_factory=dict)
    """Labels of later references, and the label of the same term that took their place."""
    apart: tuple[str, ...] = ()
    """Ids of terms that several labels of one reference have, which are kept apart."""

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> OntologyMapping:
        """Inverse of `to_json`."""
        listed = {name: tuple(values[name]) for name in ("unmapped", "apart")}
        return cls(
            edition=values["edition"],
            terms=dict(values["terms"]),
            joined=dict(values["joined"]),
            **listed,
        )

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON types."""
        return asdict(self)

    def ids(self, labels: Iterable[str]) -> list[str]:
        """Id of each label, or "unknown"."""
        return [self.terms.get(label, UNKNOWN) for label in labels]

    def describe(self) -> list[str]:
        """What was mapped, and what became one type or stayed apart; a line each."""
        n = len(self.terms) + len(self.unmapped)
        lines = [f"{len(self.terms)} of {n} labels are terms of the Cell Ontology {self.edition}"]
        lines += [
            f"{old!r} becomes {new!r}: both are {self.terms[new]}"
            for old, new in self.joined.items()
        ]
        for term in self.apart:
            same = ", ".join(repr(each) for each, its in self.terms.items() if its == term)
            lines.append(f"{same} are all {term} and stay apart: one reference has several of them")
        return lines

    def not_found(self) -> str:
        """Which labels have no term, with terms of like names, and the remedy."""
        near = {label: cell_ontology().near(label) for label in self.unmapped[:MOST_NEAR]}
        shown = ", ".join(
            f"{label!r}" + (f" (is it {near[label]}?)" if near.get(label) else "")
            for label in self.unmapped
        )
        return f"no term of the Cell Ontology is called {shown}. Give ids with --labels-table."


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
        If an id of the table is not in the ontology, is retired, or is true of every cell.

    Examples
    --------
    >>> found = map_labels(["NK cell", "B cell", "Cluster 7"])
    >>> found.ids(["NK cell", "Cluster 7"])
    ['CL:0000623', 'unknown']
    >>> found.unmapped
    ('Cluster 7',)
    """
    ontology, given = cell_ontology(), dict(table or {})
    for label, term in given.items():
        _check_usable(label, term)
    found = {label: given.get(label) or ontology.find(label) for label in sorted(set(labels))}
    return OntologyMapping(
        edition=ontology.edition,
        terms={label: term for label, term in found.items() if term not in (None, *SAY_NOTHING)},
        unmapped=tuple(label for label, term in found.items() if term in (None, *SAY_NOTHING)),
    )


def same_terms(
    references: Sequence[Collection[str]], terms: Mapping[str, str]
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Labels of several references that name one term.

    Parameters
    ----------
    references : sequence of collection of str
        Labels of each reference.
    terms : mapping
        Ids of labels.

    Returns
    -------
    joined : dict
        Labels, and that of the first reference which takes their place.
    apart : tuple of str
        Ids of terms that several labels of one reference have: these labels say more than the
        term, so nothing is joined with any of them.
    """
    joined: dict[str, str] = {}
    apart = []
    for term in sorted(set(terms.values())):
        own = [[label for label in sorted(set(some)) if terms.get(label) == term]
               for some in references]  # fmt: skip
        if any(len(each) > 1 for each in own):
            apart.append(term)
            continue
        named = [each[0] for each in own if each]
        joined |= {label: named[0] for label in named if label != named[0]}
    return joined, tuple(apart)


def renamed(labels: NDArray[np.str_], names: Mapping[str, str]) -> NDArray[np.str_]:
    """Labels with some of them replaced.

    Parameters
    ----------
    labels : str, shape (n_cells,)
    names : mapping
        New name of each label that gets one.
    """
    kinds, codes = np.unique(labels, return_inverse=True)
    return np.asarray([names.get(kind, kind) for kind in kinds.tolist()], np.str_)[codes]


def read_label_table(path: Path) -> dict[str, str]:
    """Read a table of two columns, label and id, separated by a tab; ``#`` begins a comment.

    Raises
    ------
    LabelsError
        If it cannot be read, a line has other columns, or a label is there twice.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(read_lines(path, _TABLE, LabelsError), 1):
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


def _check_usable(label: str, term: str) -> None:
    ontology = cell_ontology()
    name, current = ontology.label(term), ontology.find(term)
    if current != term or term in SAY_NOTHING:
        remedy = "It is true of every cell. Leave the label out"
        if current != term:
            remedy = f"It is retired. Give {current or 'another term'}"
        raise LabelsError(f"the table gives {label!r} the term {term} ({name}). {remedy}.")
