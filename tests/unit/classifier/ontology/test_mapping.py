"""Labels become terms by name or table; what has none is named, never guessed."""

import gzip

import numpy as np
import pytest

from peakatlas.classifier.ontology.mapping import (
    OntologyMapping,
    map_labels,
    read_label_table,
    renamed,
    same_terms,
)
from peakatlas.engine.errors import LabelsError

TERMS = {"B": "CL:0000236", "B cell": "CL:0000236", "NK": "CL:0000623", "B naive": "CL:0000236"}


def test_labels_are_mapped_by_name_and_table():
    mapped = map_labels(["NK cell", "my cells", "B cell", "C7"], {"my cells": "CL:0000576"})
    assert mapped.terms == {
        "NK cell": "CL:0000623",
        "my cells": "CL:0000576",
        "B cell": "CL:0000236",
    }
    assert mapped.unmapped == ("C7",)
    assert mapped.ids(["C7", "my cells"]) == ["unknown", "CL:0000576"]
    assert mapped.describe() == [
        f"3 of 4 labels are terms of the Cell Ontology {mapped.edition}",
    ]
    assert OntologyMapping.from_json(mapped.to_json()) == mapped


def test_what_was_not_found_is_shown_with_a_name_like_it():
    said = map_labels(["NK cells", "C7"]).not_found()
    assert "'C7', 'NK cells' (is it natural killer cell, CL:0000623?)" in said
    assert "--labels-table" in said


@pytest.mark.parametrize(
    ("term", "why"),
    [
        ("CL:1 ", "'CL:1 ' is not a term"),
        ("CL:0000255", r"'a' the term CL:0000255 \(eukaryotic cell\). It is true of every cell"),
    ],
)
def test_an_id_that_cannot_be_used_is_refused(term, why):
    with pytest.raises(LabelsError, match=why):
        map_labels(["a"], {"a": term})


def test_a_retired_id_is_refused_with_what_took_its_place(monkeypatch):
    from peakatlas.classifier.ontology.cell_ontology import cell_ontology  # noqa: PLC0415

    retired, now = next(
        (key, term["replaced_by"])
        for key, term in cell_ontology().terms.items()
        if term.get("replaced_by")
    )
    with pytest.raises(LabelsError, match=f"It is retired. Give {now}"):
        map_labels(["a"], {"a": retired})


def test_labels_of_one_term_are_joined_across_references_only():
    assert same_terms([["B", "NK"], ["B cell"]], TERMS) == ({"B cell": "B"}, ())
    assert same_terms([["B cell"], ["B"], ["B naive"]], TERMS) == (
        {"B": "B cell", "B naive": "B cell"},
        (),
    )
    assert same_terms([["B", "B naive"], ["B cell"]], TERMS) == ({}, ("CL:0000236",))


def test_labels_are_renamed():
    labels = np.array(["a", "b", "a"])
    assert renamed(labels, {"a": "much longer"}).tolist() == ["much longer", "b", "much longer"]


def test_tables_are_read(tmp_path):
    path = tmp_path / "labels.tsv"
    path.write_text("\ufeff# mine\nNK\tCL:0000623\n\n B one \t CL:0000236 \n", "utf-8")
    assert read_label_table(path) == {"NK": "CL:0000623", "B one": "CL:0000236"}


@pytest.mark.parametrize(
    ("line", "why"), [("NK CL:0000623", "is no label"), ("NK\tCL:1\nNK\tCL:2", "is there twice")]
)
def test_bad_lines_are_refused(tmp_path, line, why):
    path = tmp_path / "labels.tsv"
    path.write_text(line)
    with pytest.raises(LabelsError, match=why):
        read_label_table(path)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "labels.tsv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(LabelsError, match=r"labels\.tsv: not a text file .* Give lines of a label"):
        read_label_table(tmp_path / "labels.tsv")


def test_a_table_as_people_have_it(tmp_path):
    text = "# mine\r\nmy\u2028cells\tCL:0000623\r\n"
    (tmp_path / "labels.tsv").write_bytes(gzip.compress(text.encode("utf-16")))
    assert read_label_table(tmp_path / "labels.tsv") == {"my\u2028cells": "CL:0000623"}
