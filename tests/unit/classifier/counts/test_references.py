"""Several references with other peaks and types become one classifier; levels go with it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import scipy.sparse as sp
from cell_tools import types_of

from peakatlas.classifier.annotate import annotate
from peakatlas.classifier.counts.references import LabelledSet, join
from peakatlas.classifier.counts.registry import Sources
from peakatlas.classifier.train import train
from peakatlas.engine.errors import ContigError, CountsError, LabelsError

PARENTS = {"type0": "left", "type1": "left", "type2": "right", "type3": "right"}


def joined(data, atlas=None, **options):
    labelled = LabelledSet.read(data, ["cell_type"], None)
    named = labelled.named(Sources(**options), atlas)
    return labelled, join(labelled, named, np.arange(labelled.n_cells))


@pytest.fixture(scope="module")
def halves(world):
    """Two references: type 0 only in the first, type 3 only in the second, 80 peaks in common."""
    order = np.random.default_rng(0).permutation(240)
    first = world.cells(types_of(50, (0, 1, 2)), seed=1, peaks=np.sort(order[:160]))
    second = world.cells(types_of(50, (1, 2, 3)), seed=2, peaks=order[80:])
    for cells in (first, second):
        cells.obs["side"] = cells.obs["cell_type"].map(PARENTS)
    return first, second


@pytest.fixture(scope="module")
def both(halves, atlas):
    return train(list(halves), ["cell_type", "side"], atlas)


def test_references_keep_their_counts_over_the_union_of_peaks(halves):
    labelled, cells = joined(list(halves))
    assert cells.matrix.shape == (300, 240) and len(cells.peaks) == 240
    assert labelled.batch_names == ("AnnData (1)", "AnnData (2)")
    dense = cells.matrix.toarray()
    names = cells.peaks.names()
    for part, rows in ((halves[0], slice(0, 150)), (halves[1], slice(150, 300))):
        own = [names.index(name) for name in part.var_names]
        np.testing.assert_array_equal(dense[rows][:, own], part.X.toarray())
        assert dense[rows].sum() == part.X.sum()
    assert labelled.cells_by_batch()["AnnData (2)"] == {"type1": 50, "type2": 50, "type3": 50}


def test_the_same_peaks_in_another_order_are_all_measured(world):
    first = world.cells(types_of(10), seed=1)
    second = world.cells(types_of(10), seed=2)[:, ::-1].copy()
    _, cells = joined([first, second])
    assert cells.measured is None and cells.matrix.shape == (80, 240)
    np.testing.assert_array_equal(cells.matrix.toarray()[40:], second.X.toarray()[:, ::-1])


def test_peaks_that_overlap_meet(world):
    pair = [world.cells(types_of(10), seed=1), world.cells(types_of(10), seed=2, shift=30)]
    _, cells = joined(pair)
    assert cells.matrix.shape == (80, 240) and cells.measured is None
    np.testing.assert_array_equal(cells.matrix.toarray()[40:], pair[1].X.toarray())


def test_peaks_of_some_references_are_left_out_unless_they_hold_most_counts(world):
    def pair(n_shared):
        first = world.cells(types_of(10), seed=1, peaks=np.arange(120 + n_shared // 2))
        second = world.cells(types_of(10), seed=2, peaks=np.arange(120 - n_shared // 2, 240))
        return joined([first, second])[1]

    assert np.flatnonzero(pair(160).measured).tolist() == list(range(40, 200))
    assert pair(20).measured is None


def test_cells_without_counts_are_left_out_and_counted(world):
    cells = world.cells(types_of(10), seed=1)
    cells.X[[3, 17]] = 0
    labelled, found = joined(cells)
    assert labelled.n_cells == 38 and labelled.parts[0].empty == 2
    assert labelled.record()[0]["empty_cells"] == 2
    np.testing.assert_array_equal(
        found.matrix.toarray(), np.delete(cells.X.toarray(), [3, 17], axis=0)
    )
    cells.X[np.flatnonzero(cells.obs["cell_type"] == "type2")] = 0
    assert LabelledSet.read(cells, ["cell_type"], None).levels.finest == (
        "type0", "type1", "type3",
    )  # fmt: skip
    cells.X = sp.csr_matrix(cells.shape, dtype=np.float32)
    with pytest.raises(CountsError, match=r"no cell has a count\. Give the raw counts"):
        LabelledSet.read(cells, ["cell_type"], None)


def test_a_sample_is_in_proportion_but_keeps_rare_types(world):
    types = np.repeat([0, 1, 2], [700, 250, 50])
    labelled = LabelledSet.read(world.cells(types, seed=1), ["cell_type"], None)
    rows = labelled.sample(200, seed=3)
    sizes = np.bincount(labelled.types[rows])
    assert sizes.tolist() == [97, 53, 33] or sizes.sum() <= 200
    assert sizes[2] >= 33 and sizes[0] > sizes[1] > sizes[2]
    assert (np.diff(rows) > 0).all() and labelled.sample(200, seed=3).tolist() == rows.tolist()
    assert labelled.sample(1000, seed=3).tolist() == list(range(1000))


def test_contigs_of_another_style_meet_when_asked_to(world):
    first, second = world.cells(types_of(10), seed=1), world.cells(types_of(10), seed=2)
    second.var["chrom"] = "1"
    with pytest.raises(ContigError, match="Only the naming style differs"):
        joined([first, second])
    assert len(joined([first, second], match_contigs=True)[1].peaks) == 240


def test_types_of_one_reference_alone_are_found_in_a_query(both, halves, world, atlas):
    assert both.types == ("type0", "type1", "type2", "type3")
    query = world.cells(types_of(40), seed=9)
    found = annotate(query, both, atlas)
    best = found.obs["peakatlas_best"].astype(str).to_numpy()
    truth = query.obs["cell_type"].to_numpy()
    for name in both.types:
        assert (best[truth == name] == name).mean() > 0.8, name
    known = both.provenance
    assert known["cells"] == 300 and known["peaks"] == 240
    assert [each["peaks"] for each in known["references"]] == [160, 160]
    assert known["tiers"]["exact"] == 240
    held = both.held_out
    assert set(held["by_batch"]) == {"AnnData (1)", "AnnData (2)"}
    assert set(held["by_level"]) == {"side", "cell_type"}
    assert held["by_level"]["side"]["accuracy"] >= held["by_level"]["cell_type"]["accuracy"]
    assert held["by_type"]["type1"]["cells"] == 100
    assert "type0" not in held["by_type"]  # no other batch has it


def test_levels_agree_with_each_other(both, world, atlas):
    query = world.cells(types_of(40), seed=9, depth=25)
    obs = annotate(query, both, atlas).obs
    assert obs["peakatlas_label_cell_type"].tolist() == obs["peakatlas_label"].tolist()
    fine, coarse = (obs[f"peakatlas_label_{name}"].astype(str) for name in ("cell_type", "side"))
    given = fine != "Unassigned"
    assert (fine[given].map(PARENTS) == coarse[given]).all()
    assert (coarse != "Unassigned").sum() >= given.sum()
    sums = obs["peakatlas_confidence_side"] - obs["peakatlas_confidence_cell_type"]
    assert (sums > -1e-6).all()


def test_batches_by_column_and_by_file(halves):
    first, second = (cells.copy() for cells in halves)
    for cells in (first, second):
        cells.obs["donor"] = np.tile(["y", "x", " y", "x\u00a0"], 38)[:150]
    one = LabelledSet.read(first, ["cell_type"], "donor")
    assert one.batch_names == ("x", "y") and np.bincount(one.batches).tolist() == [75, 75]
    two = LabelledSet.read([first, second], ["cell_type"], "donor")
    assert two.batch_names == tuple(f"AnnData ({i}): {v}" for i in (1, 2) for v in "xy")


def test_a_file_without_the_column_is_named(halves, tmp_path):
    first, second = halves[0], halves[1].copy()
    second.obs = second.obs.rename(columns={"cell_type": "Cell type"})
    first.write_h5ad(tmp_path / "a.h5ad")
    second.write_h5ad(tmp_path / "b.h5ad")
    files = [tmp_path / "a.h5ad", tmp_path / "b.h5ad"]
    with pytest.raises(LabelsError) as caught:
        train(files, "cell_type")
    assert str(caught.value) == (
        "b.h5ad: obs has no column 'cell_type'; columns there are: Cell type, side "
        "('Cell type' is like it). Name one of them with --labels."
    )
    with pytest.raises(LabelsError, match=r"a.h5ad: obs has no column 'donor'.* with --batch-key"):
        train(files[:1], "cell_type", batch_key="donor")
    with pytest.raises(LabelsError, match="no reference was given"):
        train([], "cell_type")


def test_a_reference_of_one_type_is_fine_beside_others(world):
    pair = [world.cells(np.full(20, t), seed=t) for t in (0, 1)]
    labelled = LabelledSet.read(pair, ["cell_type"], None)
    assert labelled.levels.finest == ("type0", "type1")
    with pytest.raises(LabelsError, match="only one label"):
        LabelledSet.read(pair[:1], ["cell_type"], None)


def test_the_record_of_an_annotation_has_the_levels(both, world, atlas):
    found = annotate(world.cells(types_of(10), seed=9), both, atlas)
    record = json.loads(found.uns["peakatlas"]["record"])
    assert record["levels"]["columns"] == ["side", "cell_type"]
    assert sum(record["labels_by_level"]["side"].values()) == 40
