"""Labels become terms by name or table; what has none is named, never guessed."""

import pytest

from peakatlas.classifier.ontology.mapping import map_labels, read_label_table
from peakatlas.engine.errors import LabelsError


def test_labels_are_mapped_by_name_and_table():
    mapped = map_labels(["NK cell", "my cells", "B cell", "C7"], {"my cells": "CL:0000576"})
    assert mapped.terms == {
        "NK cell": "CL:0000623",
        "my cells": "CL:0000576",
        "B cell": "CL:0000236",
    }
    assert mapped.unmapped == ("C7",)
    assert "3 of 4 labels" in mapped.describe()
    assert "not found: C7" in mapped.describe()


def test_an_id_that_there_is_not_is_refused():
    with pytest.raises(LabelsError, match="CL:1 "):
        map_labels(["a"], {"a": "CL:1 "})


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
