"""The Cell Ontology: labels, synonyms and kinship of cell types, from a file in the package."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache, cached_property
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from peakatlas.engine.errors import LabelsError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

SAY_NOTHING = ("CL:0000000", "CL:0000255")
"""Cell and eukaryotic cell: true of everything. CELLxGENE's schema refuses the second."""
LEAST_LIKE = 0.75
_FILE = "cell_ontology.json.gz"


@dataclass(frozen=True)
class CellOntology:
    """Terms by id.

    References
    ----------
    Diehl et al., J Biomed Semantics 7:44 (2016), doi:10.1186/s13326-016-0088-7; CC BY 4.0.

    Examples
    --------
    >>> ontology = cell_ontology()
    >>> ontology.find("NK cell")
    'CL:0000623'
    >>> ontology.label("CL:0000623")
    'natural killer cell'
    """

    edition: str
    """Release of the ontology, such as ``v2026-03-26``."""
    terms: Mapping[str, Mapping[str, Any]]
    """For each id its ``label``, ``synonyms``, ``parents`` and, if retired, ``replaced_by``."""

    def label(self, term: str) -> str:
        """Label of a term.

        Raises
        ------
        LabelsError
            If there is no such term.
        """
        return str(self._term(term)["label"])

    def ancestors(self, term: str) -> frozenset[str]:
        """Ids of all broader terms and of the term itself.

        Raises
        ------
        LabelsError
            If there is no such term.
        """
        found, todo = {term}, list(self._term(term)["parents"])
        while todo:
            parent = todo.pop()
            if parent not in found and parent in self.terms:
                found.add(parent)
                todo.extend(self.terms[parent]["parents"])
        return frozenset(found)

    def find(self, name: str) -> str | None:
        """Id of the one term in use whose label, else whose synonym, is this name; case is ignored.

        An id is its own name. None where no term, or more than one by synonym, has the name.
        """
        wanted = " ".join(name.split()).casefold()
        if (term := self._current(name.strip())) is not None:
            return term
        if wanted in self._by_label:
            return self._by_label[wanted]
        among = self._by_synonym.get(wanted, ())
        return among[0] if len(among) == 1 else None

    def near(self, name: str) -> str:
        """The term with the name most like this one, as ``label, id``; "" where none is like it.

        For people to decide on: a like name may be that of another type.
        """
        wanted = " ".join(name.split()).casefold()
        names = [*self._by_label, *self._by_synonym]
        found = get_close_matches(wanted, names, n=1, cutoff=LEAST_LIKE)
        terms = [self.find(each) for each in found]
        return next((f"{self.label(term)}, {term}" for term in terms if term), "")

    def common_ancestor(self, terms: Collection[str]) -> str | None:
        """The narrowest term that is at or above all given ones; None where only "cell" is.

        Of several that are above no other, the one with the most broader terms, then the one with
        the fewest narrower ones.

        Raises
        ------
        LabelsError
            If there is no such term.
        """
        shared = frozenset.intersection(*(self.ancestors(term) for term in terms))
        above = {broad for term in shared for broad in self.ancestors(term) - {term}}
        narrowest = shared - above - set(SAY_NOTHING)
        return min(narrowest, key=self._breadth, default=None)

    def leaves(self, terms: Sequence[str]) -> list[str]:
        """Those of the terms that are above no other of them, in their order."""
        above = {broad for term in terms for broad in self.ancestors(term) - {term}}
        return [term for term in terms if term not in above]

    def _breadth(self, term: str) -> tuple[int, int, str]:
        return -len(self.ancestors(term)), self._narrower[term], term

    def _term(self, term: str) -> Mapping[str, Any]:
        if term not in self.terms:
            raise LabelsError(
                f"{term!r} is not a term of the Cell Ontology {self.edition}. Ids look like "
                "CL:0000623; see https://www.ebi.ac.uk/ols4/ontologies/cl."
            )
        return self.terms[term]

    def _current(self, term: str) -> str | None:
        """The term itself or, if it is retired, what took its place."""
        if term not in self.terms:
            return None
        return self.terms[term].get("replaced_by", term) or None

    @cached_property
    def _narrower(self) -> Counter[str]:
        """How many terms each is at or above."""
        return Counter(broad for term in self.terms for broad in self.ancestors(term))

    @cached_property
    def _in_use(self) -> dict[str, Mapping[str, Any]]:
        return {key: term for key, term in self.terms.items() if "replaced_by" not in term}

    @cached_property
    def _by_label(self) -> dict[str, str]:
        return {str(term["label"]).casefold(): key for key, term in self._in_use.items()}

    @cached_property
    def _by_synonym(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for key, term in self._in_use.items():
            for synonym in {str(each).casefold() for each in term["synonyms"]}:
                found[synonym] = (*found.get(synonym, ()), key)
        return found


@cache
def cell_ontology() -> CellOntology:
    """The edition that the package holds."""
    text = gzip.decompress(files(__package__).joinpath(_FILE).read_bytes())
    held = json.loads(text)
    return CellOntology(held["edition"], held["terms"])
