"""A set of types is one term: the nearest above all of them."""

import numpy as np
import pytest

from peakatlas.classifier.ontology.back_off import set_terms, term_names
from peakatlas.classifier.ontology.cell_ontology import SAY_NOTHING, cell_ontology

IDS = [
    "CL:0000624",  # CD4 T
    "CL:0000625",  # CD8 T
    "CL:0000236",  # B
    "CL:0000037",  # stem
    "CL:0000540",  # neuron
    "unknown",
]


@pytest.mark.parametrize(
    ("held", "name"),
    [
        ([0], "CD4-positive, alpha-beta T cell"),
        ([0, 1], "mature alpha-beta T cell"),
        ([0, 1, 2], "lymphocyte"),
        ([0, 3], "hematopoietic cell"),
        ([0, 4], "unknown"),  # only "eukaryotic cell" is above both
        ([0, 5], "unknown"),
        ([5], "unknown"),
        ([], "unknown"),
    ],
)
def test_sets_back_off_to_the_nearest_common_ancestor(held, name):
    sets = np.zeros((2, len(IDS)), bool)
    sets[1, held] = True
    found = set_terms(sets, IDS)
    assert term_names(found) == ["unknown", name]


def test_what_holds_the_own_type_has_a_term_that_is_right():
    rng = np.random.default_rng(0)
    own = rng.integers(0, 4, 200)
    sets = rng.random((200, len(IDS))) < 0.3
    sets[:, 5] = False
    sets[np.arange(200), own] = True
    terms = set_terms(sets, IDS)
    known = terms != "unknown"
    assert known.sum() > 50
    for term, code in zip(terms[known], own[known], strict=True):
        assert term in cell_ontology().ancestors(IDS[code]) and term not in SAY_NOTHING


def test_an_id_of_another_edition_is_unknown():
    sets = np.array([[True, True]])
    assert set_terms(sets, ["CL:0000624", "CL:9999999"]).tolist() == ["unknown"]
