"""Elements that carry a type: the planted ones come first, and the weights are the model's."""

from dataclasses import replace

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy.special import log_softmax

from peakatlas.classifier.annotate import annotate
from peakatlas.classifier.counts.sparse import binary
from peakatlas.classifier.explain.elements import element_scores, marker_elements
from peakatlas.engine.errors import BundleError


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
    route = bundle.routes["shared"]
    rng = np.random.default_rng(0)
    mixed = replace(
        route,
        linear=replace(route.linear, coefficients=rng.permutation(route.linear.coefficients)),
        sample_types=rng.permutation(route.sample_types),
    )
    table = marker_elements(replace(bundle, routes={"shared": mixed}), top=20)
    codes = table["type"].cat.codes.to_numpy()
    assert np.mean(world.group[peaks_of(table, world)] == codes) < 0.45


def test_weight_is_what_opening_an_element_adds(bundle):
    """To the log-odds against the others, by the linear member itself, at fixed depth."""
    route = bundle.routes["shared"]
    route = replace(route, linear=replace(route.linear, unit=False))
    scores = element_scores(replace(bundle, routes={"shared": route}))
    depth = np.median(np.diff(route.sample_open.indptr))
    element, code = int(scores.best(0, 1)[0]), 0
    features = np.zeros((2, len(route.encoder.rows)), np.float32)
    features[1, element] = route.encoder.idf[element] / route.encoder.tfidf_scale / depth
    logs = log_softmax(route.linear.log_probabilities(features).astype(np.float64), axis=1)
    odds = logs[:, code] - np.delete(logs, code, axis=1).mean(axis=1)
    assert scores.weight[element, code] == pytest.approx(odds[1] - odds[0], rel=1e-4)


def test_weight_in_a_discriminant_is_the_share_of_a_unit_row(bundle):
    route = bundle.routes["shared"]
    route = replace(route, linear=replace(route.linear, unit=True))
    scores = element_scores(replace(bundle, routes={"shared": route}))
    rows = route.sample_open.toarray() * route.encoder.idf
    length = np.median(np.linalg.norm(rows, axis=1))
    coefficients = route.linear.coefficients
    gap = coefficients[:, 0] - np.delete(coefficients, 0, axis=1).mean(axis=1)
    np.testing.assert_allclose(
        scores.weight[:, 0], gap * route.encoder.idf / length, rtol=1e-3, atol=1e-5
    )


def test_shares_are_those_of_the_sample(bundle, reference):
    route, scores = bundle.routes["shared"], element_scores(bundle)
    element = int(scores.best(1, 1)[0])
    opened = binary(route.sample_open).toarray()[:, element]
    means = [opened[route.sample_types == code].mean() for code in range(4)]
    assert scores.open_in_type[element].tolist() == pytest.approx(means)
    assert scores.open_elsewhere[element, 1] == pytest.approx(np.mean(np.delete(means, 1)))
    assert scores.contribution[element, 1] == pytest.approx(
        scores.weight[element, 1] * (means[1] - np.mean(np.delete(means, 1)))
    )


def test_a_bundle_of_dna_alone_has_no_elements(bundle):
    alone = replace(bundle, routes={"sequence": bundle.routes["sequence"]})
    with pytest.raises(BundleError, match=r"reads only the DNA.*Train with"):
        marker_elements(alone)


def test_top_below_one_is_refused(bundle):
    with pytest.raises(ValueError, match="top must be 1 or more, not 0"):
        marker_elements(bundle, top=0)


def test_annotated_query_keeps_the_markers_in_its_file(bundle, atlas, world, tmp_path):
    annotated = annotate(world.cells([0, 1, 2, 3] * 3, seed=5), bundle, atlas)
    annotated.write_h5ad(tmp_path / "out.h5ad")
    kept = ad.read_h5ad(tmp_path / "out.h5ad").uns["peakatlas"]["markers"]
    pd.testing.assert_frame_equal(kept.reset_index(drop=True), marker_elements(bundle))
