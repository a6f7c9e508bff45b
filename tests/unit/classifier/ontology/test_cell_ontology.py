"""Terms of the Cell Ontology are found by name, and their kinship is right."""

import pytest

from peakatlas.classifier.ontology.cell_ontology import cell_ontology
from peakatlas.engine.errors import LabelsError

T_CELL, NK, CD4, CD8, B_CELL = (
    "CL:0000084",
    "CL:0000623",
    "CL:0000624",
    "CL:0000625",
    "CL:0000236",
)


def test_names_and_synonyms_find_one_term():
    ontology = cell_ontology()
    assert ontology.find("natural killer cell") == NK
    assert ontology.find("  NK   Cell ") == NK
    assert ontology.find("CL:0000236") == B_CELL
    assert ontology.find("Cluster 7") is None
    assert ontology.label(T_CELL) == "T cell"


def test_a_retired_term_gives_what_took_its_place():
    ontology = cell_ontology()
    retired = {k: t["replaced_by"] for k, t in ontology.terms.items() if t.get("replaced_by")}
    assert len(retired) > 20
    assert all(ontology.find(key) == value for key, value in retired.items())


def test_every_parent_is_known_and_nothing_is_its_own_ancestor():
    ontology = cell_ontology()
    parents = {key: term["parents"] for key, term in ontology.terms.items()}
    assert all(parent in parents for some in parents.values() for parent in some)
    assert not [key for key in parents if any(key in ontology.ancestors(p) for p in parents[key])]


def test_ancestors_and_the_nearest_common_one():
    ontology = cell_ontology()
    assert T_CELL in ontology.ancestors(CD4)
    assert NK not in ontology.ancestors(CD4)
    assert ontology.common_ancestor([CD4]) == CD4
    assert ontology.common_ancestor([CD4, T_CELL]) == T_CELL
    assert ontology.label(ontology.common_ancestor([CD4, CD8])) == "mature alpha-beta T cell"
    assert ontology.label(ontology.common_ancestor([T_CELL, B_CELL])) == "lymphocyte"


def test_leaves_are_above_no_other():
    assert cell_ontology().leaves([T_CELL, CD4, CD8, NK]) == [CD4, CD8, NK]


def test_an_unknown_id_is_refused():
    with pytest.raises(LabelsError, match="'CL:9' is not a term of the Cell Ontology v"):
        cell_ontology().label("CL:9")
