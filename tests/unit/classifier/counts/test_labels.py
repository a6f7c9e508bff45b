"""Names of types as people write them: cleaned, or refused with the remedy."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from peakatlas.classifier.counts.labels import (
    check_labels,
    clean_labels,
    n_stripped,
    texts_of,
)
from peakatlas.engine.errors import LabelsError


def test_blanks_around_a_name_do_not_make_another_type():
    labels = np.array(["T ", "T", " B", "B"])
    assert clean_labels(labels, "obs").tolist() == ["T", "T", "B", "B"]
    assert n_stripped(labels) == 2 and n_stripped(labels[[1, 3]]) == 0


def test_the_word_for_no_type_is_no_type():
    with pytest.raises(LabelsError, match=r"a: 2 cells are of type 'Unassigned', .*own word"):
        clean_labels(np.array(["T", "Unassigned ", "Unassigned"]), "a")
    assert clean_labels(np.array(["unassigned"]), "a").tolist() == ["unassigned"]


def test_a_bar_in_a_name_is_refused():
    with pytest.raises(LabelsError, match=r"a: the type 'T\|NK' has a '\|' .* another name"):
        clean_labels(np.array(["T|NK", "B"]), "a")


def test_one_label():
    with pytest.raises(LabelsError, match=r"only one label \(a\)\. Training needs at least two"):
        check_labels(np.array(list("aaa")), "obs")


def test_few_cells():
    with pytest.raises(
        LabelsError,
        match=r"2 label\(s\) have fewer than 3 cells: c \(1\), d \(1\)\. Merge or remove them",
    ):
        check_labels(np.array(list("aaabbbcd")), "obs")


def test_names_that_look_alike_are_one_type():
    labels = np.array(
        ["caf\u00e9 T", "cafe\u0301 T", "caf\u00e9\u00a0 T", "\ufeffcaf\u00e9 T", "B"]
    )
    assert clean_labels(labels, "obs").tolist() == [*["caf\u00e9 T"] * 4, "B"]
    assert n_stripped(labels) == 3


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([1, 20], ["1", "20"]),
        ([1.0, 20.0], ["1", "20"]),
        (pd.Categorical([1.0, 20.0]), ["1", "20"]),
        ([1.0, 2.5], ["1.0", "2.5"]),
        ([b"T", b"B"], ["T", "B"]),
        ([True, False], ["True", "False"]),
        ([1.0, None], ["1", "nan"]),
    ],
)
def test_values_of_a_column_are_texts_alike(values, texts):
    assert texts_of(pd.Series(values)).tolist() == texts
