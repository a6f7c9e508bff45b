"""Training in the words of the Cell Ontology, and what annotation then writes."""

from __future__ import annotations

import json
import re

import anndata as ad
import numpy as np
import pytest
from cell_tools import types_of

import peakatlas
from peakatlas.classifier.annotate import AnnotateOptions
from peakatlas.classifier.bundle.bundle import Bundle
from peakatlas.classifier.ontology.cell_ontology import SAY_NOTHING, cell_ontology
from peakatlas.classifier.train import TrainOptions
from peakatlas.engine.errors import LabelsError

FIRST = {"type0": "CD4-positive, alpha-beta T cell", "type1": "my CD8", "type2": "B cell",
         "type3": "NK"}  # fmt: skip
SECOND = {**FIRST, "type2": "B-cell", "type3": "natural killer cell"}
TABLE = {"my CD8": "CL:0000625", "NK": "CL:0000623"}
SCHEMA = "cell_type_ontology_term_id"


def labelled(world, names, seed, column="cell_type"):
    cells = world.cells(types_of(20), seed=seed)
    cells.obs[column] = cells.obs["cell_type"].map(names)
    return cells


@pytest.fixture(scope="module")
def in_terms(world):
    first, second = labelled(world, FIRST, 1), labelled(world, SECOND, 2)
    options = TrainOptions(ontology=True, label_terms=TABLE, lineages=True)
    said = []
    bundle = peakatlas.train([first, second], "cell_type", options=options, progress=said.append)
    return bundle, said


@pytest.fixture(scope="module")
def annotated(world, in_terms):
    query = world.cells(types_of(20, (0, 1, 2)), seed=3, depth=9)
    return peakatlas.annotate(query, in_terms[0])


def test_types_of_one_term_are_one_type_and_it_is_said(in_terms):
    bundle, said = in_terms
    assert bundle.types == ("B cell", "CD4-positive, alpha-beta T cell", "NK", "my CD8")
    assert bundle.provenance["cells_by_type"]["NK"] == 40
    assert bundle.term_ids == ("CL:0000236", "CL:0000624", "CL:0000623", "CL:0000625")
    assert bundle.ontology.joined == {"B-cell": "B cell", "natural killer cell": "NK"}
    assert bundle.ontology.unmapped == ()
    assert "'natural killer cell' becomes 'NK': both are CL:0000623" in said


def test_a_level_of_lineages_stands_above_the_types(in_terms):
    levels = in_terms[0].levels
    assert levels.columns == ("lineage", "cell_type")
    assert levels.types[0] == ("T cell", "lymphocyte of B lineage", "natural killer cell")
    above = [levels.types[0][code] for code in levels.members[0]]
    assert above == ["lymphocyte of B lineage", "T cell", "natural killer cell", "T cell"]
    assert in_terms[0].provenance["labels_key"] == "cell_type"


def test_a_bundle_keeps_its_terms(in_terms, tmp_path):
    in_terms[0].save(tmp_path / "b")
    assert Bundle.load(tmp_path / "b").ontology == in_terms[0].ontology


def test_answers_have_ids_and_sets_back_off(annotated, in_terms):
    obs, ontology = annotated.obs, cell_ontology()
    ids = dict(zip(in_terms[0].types, in_terms[0].term_ids, strict=True))
    assert [ids.get(label, "unknown") for label in obs["peakatlas_label"]] == obs[
        "peakatlas_term_id"
    ].tolist()
    several = obs["peakatlas_set"] == "CD4-positive, alpha-beta T cell|my CD8"
    novel = obs["peakatlas_reason"] == "novel"
    assert (several & ~novel).any()
    assert set(obs["peakatlas_set_term"][several & ~novel]) == {"mature alpha-beta T cell"}
    assert set(obs["peakatlas_set_term"][novel]) <= {"unknown"}
    for held, term in zip(obs["peakatlas_set"], obs["peakatlas_set_term_id"], strict=True):
        if term != "unknown":
            assert all(term in ontology.ancestors(ids[name]) for name in held.split("|"))


def test_the_column_of_the_schema_holds_what_its_validator_takes(annotated, tmp_path):
    annotated.write_h5ad(tmp_path / "a.h5ad")
    column = ad.read_h5ad(tmp_path / "a.h5ad").obs[SCHEMA]
    assert column.dtype == "category" and not column.isna().any()
    for term in column.cat.categories:
        assert term == "unknown" or re.fullmatch(r"CL:\d{7}", term)
        if term != "unknown":
            assert "replaced_by" not in cell_ontology().terms[term] and term not in SAY_NOTHING
    guide = pytest.importorskip("cellxgene_ontology_guide.ontology_parser", reason="not installed")
    parser = guide.OntologyParser()
    for term in set(column.cat.categories) - {"unknown"}:
        assert parser.is_valid_term_id(term, "CL") and not parser.is_term_deprecated(term)


def test_uncertain_cells_back_off_in_the_column_of_the_schema(annotated):
    column = annotated.obs[SCHEMA]
    open_cells = annotated.obs["peakatlas_reason"] == "uncertain"
    backed_off = annotated.obs["peakatlas_set_term_id"][open_cells]
    assert column[open_cells].tolist() == backed_off.tolist()


def test_a_column_of_the_query_stays_and_ones_own_is_replaced(world, in_terms, annotated):
    query = world.cells(types_of(15, (0, 1)), seed=4)
    query.obs[SCHEMA] = "CL:0000084"
    assert set(peakatlas.annotate(query, in_terms[0]).obs[SCHEMA]) == {"CL:0000084"}
    again = peakatlas.annotate(
        annotated, in_terms[0], options=AnnotateOptions(reject=False, seed=1)
    )
    assert "unknown" not in set(again.obs[SCHEMA]) and list(again.obs).count(SCHEMA) == 1


def test_without_the_ontology_no_term_is_written(world, bundle, annotated):
    plain = peakatlas.annotate(world.cells(types_of(15), seed=4), bundle)
    assert not [name for name in plain.obs if "term" in name]
    assert json.loads(plain.uns["peakatlas"]["record"])["ontology"] is None
    over = peakatlas.annotate(annotated, bundle)
    assert not [name for name in over.obs if "term" in name]


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ({"Mono": "CL:0000576"}, "the table names 'Mono', a label of no cell. Labels are: B cell"),
        ({"NK": "CL:0"}, "'CL:0' is not a term"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(world, table, text):
    options = TrainOptions(ontology=True, label_terms=table)
    with pytest.raises(LabelsError, match=text):
        peakatlas.train(labelled(world, FIRST, 1), "cell_type", options=options)


def test_lineages_need_two_and_a_free_name(world):
    t_cells = dict.fromkeys(FIRST, "T cell") | {"type0": "CD4-positive, alpha-beta T cell"}
    options = TrainOptions(ontology=True, lineages=True)
    with pytest.raises(LabelsError, match=r"all types are of one lineage \(T cell\)"):
        peakatlas.train(labelled(world, t_cells, 1), "cell_type", options=options)
    with pytest.raises(LabelsError, match="is called 'lineage' already"):
        peakatlas.train(labelled(world, FIRST, 1, "lineage"), "lineage", options=options)
    with pytest.raises(ValueError, match="need ontology=True"):
        TrainOptions(lineages=True)


def test_types_of_one_term_in_one_reference_stay_apart(world):
    names = FIRST | {"type3": "B cells of mine"}
    options = TrainOptions(
        ontology=True, label_terms={"my CD8": "CL:0000625", "B cells of mine": "CL:0000236"}
    )
    said: list[str] = []
    bundle = peakatlas.train(
        labelled(world, names, 1), "cell_type", options=options, progress=said.append
    )
    assert np.array(bundle.term_ids).tolist().count("CL:0000236") == 2
    assert "'B cell', 'B cells of mine' are all CL:0000236 and stay apart" in str(said)
