"""Notebook tools write in place or copy, and objects say what they are."""

from __future__ import annotations

import numpy as np
import pytest
from cell_tools import types_of

import peakatlas
from peakatlas.classifier.counts.matrix import read_counts
from peakatlas.classifier.counts.written import result_columns
from peakatlas.engine.errors import CountsError
from peakatlas.engine.intervals.table import Intervals
from peakatlas.engine.summary import as_html, as_text
from peakatlas.notebook.steps import steps_shown


@pytest.fixture
def query(world):
    return world.cells(types_of(15), seed=5)


def test_annotate_writes_in_place_what_the_function_returns(query, bundle, atlas):
    expected = peakatlas.annotate(query, bundle, atlas)
    assert peakatlas.tl.annotate(query, bundle, atlas) is None
    for column in result_columns(expected):
        assert query.obs[column].tolist() == expected.obs[column].tolist(), column
    np.testing.assert_array_equal(query.obsm["X_peakatlas"], expected.obsm["X_peakatlas"])
    assert query.var["peakatlas_tier"].tolist() == expected.var["peakatlas_tier"].tolist()
    assert query.uns["peakatlas"]["record"] == expected.uns["peakatlas"]["record"]


def test_a_copy_leaves_the_query_alone(query, bundle, atlas):
    before = query.copy()
    labelled = peakatlas.tl.annotate(query, bundle, atlas, copy=True)
    assert list(query.obs) == list(before.obs) and not query.uns and not query.obsm
    mapped = peakatlas.tl.cell_map(labelled, copy=True)
    assert mapped.obsm["X_peakatlas_tsne"].shape == (60, 2)
    assert "X_peakatlas_tsne" not in labelled.obsm
    assert "reference_map" not in labelled.uns["peakatlas"]


def test_annotations_by_several_bundles_lie_side_by_side(query, bundle, atlas):
    peakatlas.tl.annotate(query, bundle, atlas)
    expected = query.copy()
    peakatlas.tl.annotate(query, bundle, key_added="plain")
    peakatlas.tl.cell_map(query, key="plain")
    for name in result_columns(expected):
        assert query.obs[name].tolist() == expected.obs[name].tolist()
        assert name.replace("peakatlas", "plain") in query.obs
    assert {"X_plain", "plain_probabilities", "X_plain_tsne"} <= set(query.obsm)
    assert query.obsm["plain_probabilities"].max() <= 1
    assert list(query.uns["plain"]["types"]) == list(bundle.types)
    assert "plain_tier" in query.var and "X_peakatlas_tsne" not in query.obsm
    with pytest.raises(ValueError, match=r"key_added must be a name without /, not 'a/b'"):
        peakatlas.tl.annotate(query, bundle, key_added="a/b")


class MuDataLike:
    """What is used of a MuData."""

    isbacked = False

    def __init__(self, **modalities):
        self.mod, self.obs = modalities, next(iter(modalities.values())).obs.iloc[:, :0]

    def copy(self):
        return MuDataLike(**{name: each.copy() for name, each in self.mod.items()})


def test_the_peaks_of_a_mudata_are_annotated_in_place(query, bundle, atlas, caplog):
    expected = peakatlas.annotate(query, bundle, atlas)
    whole = MuDataLike(rna=query[:, :2].copy(), peaks=query.copy())
    with caplog.at_level("INFO", logger="peakatlas"):
        labelled = peakatlas.tl.annotate(whole, bundle, atlas, copy=True, progress=False)
    assert "labelling its cells" in caplog.messages
    assert "peakatlas" not in whole.mod["peaks"].uns
    assert peakatlas.tl.annotate(whole, bundle, atlas, progress=False) is None
    for found in (labelled.mod["peaks"], whole.mod["peaks"]):
        assert found.obs["peakatlas_label"].tolist() == expected.obs["peakatlas_label"].tolist()
    assert "peakatlas_label" not in whole.mod["rna"].obs


def test_steps_are_shown_as_one_bar(capsys):
    with steps_shown(True) as begin:
        begin("reading")
        begin.count(3, 3)
    assert "reading: 3 of 3" in capsys.readouterr().err
    with steps_shown(False) as begin:
        begin("reading")
    assert capsys.readouterr().err == ""


def test_a_second_annotation_replaces_the_first(query, bundle, atlas):
    query.obs["peakatlas_mine"] = "x"
    query.obsm["X_peakatlas_tsne"] = np.zeros((60, 2))
    peakatlas.tl.annotate(query, bundle, atlas)
    columns = list(query.obs)
    peakatlas.tl.annotate(query, bundle, atlas)
    assert sorted(query.obs) == sorted(columns) and "peakatlas_mine" in query.obs
    assert "X_peakatlas_tsne" not in query.obsm


def test_the_map_holds_query_and_reference(query, bundle, atlas):
    peakatlas.tl.annotate(query, bundle, atlas)
    peakatlas.tl.cell_map(query, seed=3)
    first = query.obsm["X_peakatlas_tsne"].copy()
    behind = query.uns["peakatlas"]["reference_map"]
    assert behind.shape == (len(query.uns["peakatlas"]["reference_types"]), 2)
    peakatlas.tl.cell_map(query, seed=3)
    np.testing.assert_array_equal(query.obsm["X_peakatlas_tsne"], first)


def test_what_was_not_annotated_is_refused(query):
    with pytest.raises(CountsError, match=r"holds no annotation\. Run peakatlas\.tl\.annotate"):
        peakatlas.tl.cell_map(query)


def test_text_and_html_of_a_bundle_and_an_atlas(bundle, atlas):
    text = repr(bundle)
    assert text.startswith("Bundle of 4 cell types\n")
    assert "type0, type1, type2, type3" in text and f"({atlas.spec.digest[:12]})" in text
    assert f"held-out accuracy  {bundle.held_out['accuracy']:.3f}" in text
    assert repr(atlas).splitlines()[0] == f"Atlas {atlas.name!r}"
    assert f"rows        {len(atlas):,}" in repr(atlas)
    assert f">{len(atlas):,}</td>" in atlas._repr_html_()


def test_text_of_tables_and_results(query, atlas):
    counts = read_counts(query)
    assert repr(counts).splitlines()[1:3] == ["    cells  60", f"    peaks  {query.n_vars}"]
    found = atlas.lookup(counts.peaks)
    assert f"exact     {found.counts()['exact']}" in repr(found)
    assert repr(counts.peaks.take([0, 1])).splitlines()[0] == "Intervals (2, 0-based half-open)"
    assert repr(Intervals.from_columns([], [], [])) == "Intervals (0, 0-based half-open)"
    near = atlas.neighbours(counts.peaks.take([0, 1]), k=3)
    assert repr(near).startswith("Neighbours (6 rows)\n    queries         2\n")


def test_html_is_escaped_and_empty_facts_are_left_out():
    facts = {"<a>": "<script>", "none": None, "empty": "", "zero": 0}
    page = as_html("<b>", facts)
    assert "<script>" not in page and "&lt;script&gt;" in page and "&lt;a&gt;" in page
    assert "<strong>&lt;b&gt;</strong>" in page and page.count("<tr>") == 2
    assert as_text("t", facts) == "t\n    <a>   <script>\n    zero  0"
