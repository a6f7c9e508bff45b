"""From reference to annotated query: bundles, rejection, and labels that stay unread."""

from __future__ import annotations

import json
from dataclasses import replace

import anndata as ad
import numpy as np
import pytest
from atlas_tools import ToyEmbedder, tree_bytes, write_toy_genome
from cell_tools import types_of
from sklearn.metrics import roc_auc_score

from peakatlas.classifier.annotate import AnnotateOptions, annotate
from peakatlas.classifier.bundle.bundle import Bundle
from peakatlas.classifier.bundle.folder import SETTINGS_FILE, arrays_path
from peakatlas.classifier.train import TrainOptions, train
from peakatlas.classifier.trust.metrics import score
from peakatlas.engine.errors import BundleError, CountsError, LabelsError, SpecMismatchError

COLUMNS = ("label", "best", "confidence", "novelty", "reason")


def said(annotated) -> dict[str, list]:
    return {name: annotated.obs[f"peakatlas_{name}"].tolist() for name in COLUMNS}


def record_of(annotated) -> dict:
    return json.loads(annotated.uns["peakatlas"]["record"])


@pytest.fixture(scope="module")
def query(world):
    return world.cells(types_of(40), seed=7, depth=45)


@pytest.fixture(scope="module")
def annotated(query, bundle, atlas):
    return annotate(query, bundle, atlas)


def test_labels_are_right_and_the_query_is_not_changed(annotated, query):
    found = score(
        query.obs["cell_type"],
        annotated.obs["peakatlas_label"].astype(str),
        annotated.obs["peakatlas_confidence"],
    )
    assert found.accuracy > 0.9 and found.macro_f1 > 0.9 and found.ece < 0.1
    assert list(query.obs.columns) == ["cell_type"] and not query.uns
    assert len(annotated.obsm["X_peakatlas"]) == 160
    chance = annotated.obsm["peakatlas_probabilities"]
    assert chance.shape == (160, 4) and np.allclose(chance.sum(axis=1), 1, atol=1e-5)
    assert record_of(annotated)["tiers"]["exact"] == 240
    assert record_of(annotated)["shared_counts"] == 1


def test_each_label_has_a_verdict_and_each_type_its_figures(annotated, bundle):
    table = annotated.uns["peakatlas"]["verdicts"].set_index("type")
    assert list(table.index) == list(bundle.types) and list(table["verdict"]) == ["trust"] * 4
    assert (table["f1"] > 0.9).all() and (table["cells"] > 10).all()
    labels = annotated.obs["peakatlas_label"].astype(str)
    expected = ["" if label == "Unassigned" else table["verdict"][label] for label in labels]
    assert annotated.obs["peakatlas_verdict"].tolist() == expected
    assert record_of(annotated)["verdicts"][1]["reason"].startswith("held-out F1 ")
    assert [each["words"] for each in bundle.held_out["verdicts"]] == ["trust"] * 4


def test_query_labels_are_not_read(annotated, query, bundle, atlas):
    shuffled = query.copy()
    shuffled.obs["cell_type"] = np.random.default_rng(0).permutation(query.obs["cell_type"])
    again = annotate(shuffled, bundle, atlas)
    del shuffled.obs["cell_type"]
    without = annotate(shuffled, bundle, atlas)
    for other in (again, without):
        assert said(other) == said(annotated)
        assert other.obsm["X_peakatlas"].tobytes() == annotated.obsm["X_peakatlas"].tobytes()
        assert other.uns["peakatlas"]["record"] == annotated.uns["peakatlas"]["record"]


def test_training_is_repeatable_and_saved_bundles_say_the_same(
    reference, annotated, query, bundle, atlas, tmp_path
):
    bundle.save(tmp_path / "first")
    train(reference, "cell_type", atlas, seed=0).save(tmp_path / "second")
    assert tree_bytes(tmp_path / "first") == tree_bytes(tmp_path / "second")
    loaded = annotate(query, tmp_path / "first", atlas)
    assert said(loaded) == said(annotated)
    assert loaded.obsm["X_peakatlas"].tobytes() == annotated.obsm["X_peakatlas"].tobytes()
    assert loaded.uns["peakatlas"]["record"] == annotated.uns["peakatlas"]["record"]
    paths = {"query": None, "bundle": str(tmp_path / "first"), "atlas": atlas.name, "genome": None}
    assert json.loads(loaded.uns["peakatlas"]["inputs"]) == paths


def test_a_type_that_the_reference_lacks_is_left_open(world, bundle, atlas):
    types = np.concatenate([types_of(60), np.full(60, 4)])
    query = world.cells(types, seed=11)
    found = annotate(query, bundle, atlas)
    scores = score(
        query.obs["cell_type"], found.obs["peakatlas_label"].astype(str), known=bundle.types
    )
    assert scores.rejected_unknown > 0.8
    assert scores.accuracy > 0.85
    open_cells = found.obs["peakatlas_label"] == "Unassigned"
    assert set(found.obs["peakatlas_reason"][open_cells]) <= {"novel", "uncertain"}
    everything = annotate(query, bundle, atlas, options=AnnotateOptions(reject=False))
    assert not (everything.obs["peakatlas_label"] == "Unassigned").any()


def test_a_shallow_cell_is_uncertain_and_one_of_a_new_type_is_novel(world, bundle, atlas):
    deep, shallow = world.cells(types_of(40), seed=11), world.cells(types_of(40), depth=15, seed=12)
    query = ad.concat([deep, shallow, world.cells(np.full(60, 4), seed=13)])
    query.var = deep.var
    obs = annotate(query, bundle, atlas).obs
    parts = np.repeat(["deep", "shallow", "new"], [160, 160, 60])
    novelty, uncertainty = (obs[f"peakatlas_{n}"].to_numpy() for n in ("novelty", "uncertainty"))
    for other in ("deep", "shallow"):
        rows = (parts == "new") | (parts == other)
        assert roc_auc_score(parts[rows] == "new", novelty[rows]) > 0.9
    novel = obs["peakatlas_reason"].to_numpy() == "novel"
    assert novel[parts != "new"].mean() < 0.05
    assert np.median(uncertainty[parts == "shallow"]) > np.median(uncertainty[parts == "deep"])


def test_sets_label_cells_that_may_be_of_one_type_only(query, annotated, bundle, atlas):
    options = AnnotateOptions(rule="sets", alpha=0.02)
    obs = annotate(query, bundle, atlas, options=options).obs
    sets, size = obs["peakatlas_set"].astype(str), obs["peakatlas_set_size"].to_numpy()
    assert np.array_equal(size, [len([t for t in text.split("|") if t]) for text in sets])
    assert size.mean() > annotated.obs["peakatlas_set_size"].mean()
    given = (size == 1) & (obs["peakatlas_reason"] != "novel").to_numpy()
    labels = obs["peakatlas_label"].astype(str)
    assert np.array_equal(labels != "Unassigned", given) and given.any() and not given.all()
    inside = [
        own in text.split("|") for own, text in zip(query.obs["cell_type"], sets, strict=True)
    ]
    assert np.mean(inside) > 0.93


def test_shifted_peak_calls_are_carried_over(world, bundle, atlas):
    query = world.cells(types_of(40), seed=13, shift=30)
    found = annotate(query, bundle, atlas)
    scores = score(query.obs["cell_type"], found.obs["peakatlas_label"].astype(str))
    assert scores.accuracy > 0.85
    assert record_of(found)["tiers"]["missing"] == 240
    assert record_of(found)["shared_counts"] == 1
    assert any("have no embedding" in text for text in record_of(found)["warnings"])
    assert (found.var["peakatlas_tier"] == "missing").all()


def test_peaks_that_miss_the_atlas_are_embedded_when_there_is_a_genome(
    world, bundle, atlas, tmp_path
):
    genome = write_toy_genome(tmp_path / "toy.fa", {"chr1": 250_000})
    embedder = ToyEmbedder(spec=atlas.spec)
    query = world.cells(types_of(20), seed=13, shift=30)
    found = annotate(query, bundle, atlas, genome, embedder=embedder)
    assert record_of(found)["tiers"]["embedded"] == embedder.n_embedded == 240
    assert not record_of(found)["warnings"]


def test_without_an_atlas_peaks_go_by_their_coordinates(reference, query):
    model = train(reference, "cell_type")
    assert model.spec is None and model.reference.dna is None
    found = annotate(query, model)
    assert (found.obs["peakatlas_best"] == query.obs["cell_type"]).mean() > 0.9


def test_without_shared_peaks_and_dna_the_query_is_refused(world, bundle, query):
    other = query.copy()
    other.var["chrom"] = "NC_000001"
    with pytest.raises(CountsError) as caught:
        annotate(other, bundle)
    assert str(caught.value) == (
        "AnnData: no cell has counts in peaks that the reference has counts in (two or more), and "
        "DNA is not read. Its peaks lie on NC_000001; those of the reference on chr1. Check names "
        "of contigs (--match-contigs) and genome builds (--chain), count the query on the "
        "reference's peaks, or train and annotate with an atlas."
    )


def test_the_users_own_columns_stay(query, bundle):
    mine = query.copy()
    mine.obs["peakatlas_truth"] = "mine"
    mine.uns["peakatlas"] = "a note"
    found = annotate(mine, bundle)
    assert (found.obs["peakatlas_truth"] == "mine").all()
    again = annotate(found, bundle)
    assert list(again.obs) == list(found.obs)


def test_columns_of_levels_that_are_gone_are_replaced(world, reference, query, bundle):
    levels = reference.copy()
    levels.obs["side"] = levels.obs["cell_type"].isin(["type0", "type1"]).astype(str)
    both = annotate(query, train(levels, ["cell_type", "side"]))
    assert "peakatlas_label_side" in both.obs
    assert "peakatlas_label_side" not in annotate(both, bundle).obs


def test_a_backed_query_is_annotated_like_one_in_memory(query, bundle, annotated, atlas, tmp_path):
    query.write_h5ad(tmp_path / "q.h5ad")
    backed = ad.read_h5ad(tmp_path / "q.h5ad", backed="r")
    found = annotate(backed, bundle, atlas)
    assert said(found) == said(annotated) and not found.isbacked


def test_a_part_is_labelled_as_in_the_whole_with_its_statistics(
    query, bundle, annotated, atlas, tmp_path
):
    path = str(tmp_path / "whole.safetensors")
    whole = annotate(query, bundle, atlas, options=AnnotateOptions(write_statistics=path))
    assert said(whole) == said(annotated)
    part = annotate(query[7:15].copy(), bundle, atlas, options=AnnotateOptions(statistics=path))
    names = ("label", "best", "reason")
    assert {n: said(part)[n] for n in names} == {n: said(whole)[n][7:15] for n in names}
    np.testing.assert_allclose(said(part)["confidence"], said(whole)["confidence"][7:15], rtol=1e-4)
    fewer = query[:, 1:].copy()
    with pytest.raises(CountsError, match="belong to a query with other peaks"):
        annotate(fewer, bundle, atlas, options=AnnotateOptions(statistics=path))
    (tmp_path / "x").write_text("no")
    with pytest.raises(CountsError, match=r"x: no statistics of a query .*--write-statistics"):
        annotate(query, bundle, atlas, options=AnnotateOptions(statistics=str(tmp_path / "x")))


def test_empty_cells_are_open(world, bundle, atlas):
    query = world.cells(types_of(10), seed=3)
    query.X[0] = 0
    found = annotate(query, bundle, atlas).obs.iloc[0]
    assert found["peakatlas_label"] == "Unassigned" and found["peakatlas_reason"] == "empty"
    assert found["peakatlas_confidence"] == 0


def test_an_atlas_of_another_model_is_refused_with_both_names(query, bundle, other_atlas):
    with pytest.raises(SpecMismatchError) as caught:
        annotate(query, bundle, other_atlas)
    text = str(caught.value)
    assert f"trained on embeddings of toy ({bundle.spec.digest[:12]})" in text
    assert f"the atlas holds those of other ({other_atlas.spec.digest[:12]})" in text
    assert "model: toy != other" in text and "Train again on this atlas" in text


def test_without_the_atlas_of_the_bundle_dna_is_not_read(query, bundle):
    found = annotate(query, bundle)
    assert (found.obs["peakatlas_best"] == query.obs["cell_type"]).mean() > 0.9
    assert (found.var["peakatlas_tier"] == "missing").all()


def test_damaged_bundles_are_refused(bundle, tmp_path):
    with pytest.raises(BundleError, match=r"is not a bundle: it has no bundle.json"):
        Bundle.load(tmp_path)
    bundle.save(tmp_path / "b")
    payload = arrays_path(tmp_path / "b").read_bytes()
    arrays_path(tmp_path / "b").write_bytes(payload[:-1] + bytes([payload[-1] ^ 1]))
    with pytest.raises(BundleError, match="SHA-256 differs"):
        Bundle.load(tmp_path / "b")
    settings = json.loads((tmp_path / "b" / SETTINGS_FILE).read_text())
    (tmp_path / "b" / SETTINGS_FILE).write_text(json.dumps(settings | {"format_version": 99}))
    with pytest.raises(
        BundleError, match=r"format version 99, and this peakatlas reads version 5. Train it again"
    ):
        Bundle.load(tmp_path / "b")
    (tmp_path / "b" / SETTINGS_FILE).write_text("{")
    with pytest.raises(BundleError, match=r"bundle.json .*damaged|bundle.json"):
        Bundle.load(tmp_path / "b")


def test_saving_over_something_else_is_refused(bundle, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(BundleError, match="exists and is not a bundle"):
        bundle.save(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_no_pickle_is_written(bundle, tmp_path):
    bundle.save(tmp_path / "b")
    written = sorted(p.name for p in (tmp_path / "b").iterdir())
    assert written == [arrays_path(tmp_path / "b").name, SETTINGS_FILE]
    assert written[0].endswith(".safetensors")


def test_missing_labels_column(reference, atlas):
    with pytest.raises(LabelsError, match="obs has no column 'nope'; columns there are: cell_type"):
        train(reference, "nope", atlas)


def test_arrays_that_do_not_fit_are_damage(bundle, tmp_path):
    wrong = replace(bundle.reference, counts=bundle.reference.counts.copy())
    wrong.counts.indices[0] = 10_000
    replace(bundle, reference=wrong).save(tmp_path / "b")
    with pytest.raises(BundleError, match=r"the bundle is damaged .* Train it again"):
        Bundle.load(tmp_path / "b")


def test_options_are_checked():
    with pytest.raises(ValueError, match="method must be one of default, network, not 'x'"):
        TrainOptions(method="x")
    with pytest.raises(ValueError, match="max_cells must be 100 or more"):
        TrainOptions(max_cells=0)
    with pytest.raises(ValueError, match=r"alpha must be from 0.001 to 0.5, not 0"):
        AnnotateOptions(alpha=0)
    with pytest.raises(ValueError, match="rule must be one of limits, sets, none"):
        AnnotateOptions(rule="x")
