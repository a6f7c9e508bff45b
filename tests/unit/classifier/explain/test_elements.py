"""Elements that carry a type: planted ones come first, and weights are shrunken log-odds."""

from dataclasses import replace
from types import SimpleNamespace

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.special import logit

from peakatlas.classifier.annotate import annotate
from peakatlas.classifier.explain.elements import element_scores, marker_elements
from peakatlas.classifier.models.protocol import Cells


def peaks_of(table, world):
    """Peaks of the world that rows of a table are."""
    return (table["start"].to_numpy() - world.start[0]) // 1000


def test_planted_elements_come_first(bundle, world):
    table = marker_elements(bundle, top=20)
    assert table.groupby("type", observed=True).size().tolist() == [20, 20, 20, 20]
    for code, name in enumerate(bundle.types):
        part = table[table["type"] == name]
        groups = world.group[peaks_of(part, world)]
        assert np.mean(groups == code) >= 0.95  # one in five by chance
        assert part["rank"].tolist() == list(range(1, 21))
        assert part["contribution"].is_monotonic_decreasing
        assert (part["open_in_type"] > part["open_elsewhere"]).all()


def test_permuted_labels_have_no_planted_elements(bundle, world):
    labels = np.random.default_rng(0).permutation(bundle.reference.labels)
    mixed = replace(bundle, reference=replace(bundle.reference, labels=labels))
    table = marker_elements(mixed, top=20)
    codes = table["type"].cat.codes.to_numpy()
    assert np.mean(world.group[peaks_of(table, world)] == codes) < 0.45


def test_scores_equal_a_formula(bundle):
    scores = element_scores(bundle)
    element = int(scores.best(1, 1)[0])
    opened = bundle.reference.counts.toarray()[:, element] > 0
    labels = bundle.reference.labels
    means = np.array([opened[labels == name].mean() for name in bundle.types])
    cells = np.array([(labels == name).sum() for name in bundle.types])
    assert scores.open_in_type[element].tolist() == pytest.approx(means)
    elsewhere = np.mean(np.delete(means, 1))
    assert scores.open_elsewhere[element, 1] == pytest.approx(elsewhere)
    shrunk = (means * cells + 10 * means.mean()) / (cells + 10)
    weight = logit(shrunk[1]) - logit(np.mean(np.delete(shrunk, 1)))
    assert scores.weight[element, 1] == pytest.approx(weight, rel=1e-5)
    assert scores.contribution[element, 1] == pytest.approx(
        weight * (means[1] - elsewhere), rel=1e-5
    )


def test_a_peak_open_in_few_cells_weighs_little():
    def weight(n_cells):
        counts = sp.csr_matrix(np.r_[np.ones((n_cells, 1)), np.zeros((n_cells, 1))])
        labels = np.repeat(["a", "b"], n_cells)
        one = SimpleNamespace(reference=Cells(counts=counts, labels=labels), types=("a", "b"))
        return element_scores(one).weight[0, 0]

    assert 0 < weight(2) < 1.5
    assert weight(500) > 4


def test_top_below_one_is_refused(bundle):
    with pytest.raises(ValueError, match="top must be 1 or more, not 0"):
        marker_elements(bundle, top=0)


def test_annotated_query_keeps_the_markers_in_its_file(bundle, atlas, world, tmp_path):
    annotated = annotate(world.cells([0, 1, 2, 3] * 3, seed=5), bundle, atlas)
    annotated.write_h5ad(tmp_path / "out.h5ad")
    kept = ad.read_h5ad(tmp_path / "out.h5ad").uns["peakatlas"]["markers"]
    pd.testing.assert_frame_equal(kept.reset_index(drop=True), marker_elements(bundle))
