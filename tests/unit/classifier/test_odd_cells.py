"""References and queries at the edge of what can be labelled: right, or refused with the remedy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from cell_tools import types_of

from peakatlas.classifier.annotate import annotate
from peakatlas.classifier.train import train
from peakatlas.engine.errors import CountsError, LabelsError


@pytest.fixture(scope="module")
def plain(reference):
    return train(reference, "cell_type")


@pytest.fixture
def query(world):
    return world.cells(types_of(15), seed=2)


def with_counts(cells, counts):
    cells = cells.copy()
    cells.X = sp.csr_matrix(counts, dtype=np.float32)
    return cells


def right(found) -> np.ndarray:
    best = found.obs["peakatlas_best"].astype(str).to_numpy()
    assert np.isfinite(found.obsm["X_peakatlas"]).all()
    for name in ("confidence", "novelty", "novelty_p", "uncertainty"):
        assert np.isfinite(found.obs[f"peakatlas_{name}"]).all()
    return best == found.obs["cell_type"].to_numpy()


def test_one_peak_tells_no_type(reference, plain, query):
    one = np.zeros(reference.shape)
    one[:, 0] = 1
    with pytest.raises(CountsError, match="AnnData: cells have counts in 1 peak alone"):
        train(with_counts(reference, one), "cell_type")
    with pytest.raises(CountsError, match=r"no cell has counts in peaks .* \(two or more\)"):
        annotate(query[:, :1].copy(), plain)


def test_one_cell_is_labelled(plain, query):
    assert right(annotate(query[20:21].copy(), plain)).all()


def test_blocks_of_empty_cells_are_open_and_the_others_as_before(plain, query):
    counts = query.X.toarray()
    counts[30:] = 0
    found = annotate(with_counts(query, counts), plain)
    assert right(found)[:30].mean() > 0.9
    assert (found.obs["peakatlas_reason"][30:] == "empty").all()
    assert (found.obs["peakatlas_confidence"][30:] == 0).all()
    with pytest.raises(CountsError, match="no cell has counts in peaks"):
        annotate(with_counts(query, np.zeros(query.shape)), plain)


def test_a_type_without_counts_is_no_type_of_the_bundle(reference, query):
    counts = reference.X.toarray()
    counts[(reference.obs["cell_type"] == "type3").to_numpy()] = 0
    model = train(with_counts(reference, counts), "cell_type")
    assert model.types == ("type0", "type1", "type2")
    assert model.provenance["empty_cells"] == 60
    assert right(annotate(query, model))[:45].mean() > 0.9


def test_one_type_is_refused(reference):
    with pytest.raises(LabelsError, match=r"only one label \(type1\)"):
        train(reference[reference.obs["cell_type"] == "type1"].copy(), "cell_type")


def test_three_cells_of_each_type_are_enough(reference, query):
    few = reference[np.concatenate([np.arange(3) + 60 * i for i in range(4)])].copy()
    assert right(annotate(query, train(few, "cell_type"))).mean() > 0.6


@pytest.mark.parametrize("kind", ["each type", "each cell", "one cell"])
def test_batches_of_any_kind(reference, query, kind):
    cells, n = reference.copy(), reference.n_obs
    cells.obs["donor"] = {
        "each type": cells.obs["cell_type"].to_numpy(),
        "each cell": np.arange(n).astype(str),
        "one cell": np.where(np.arange(n) == 5, "a", "b"),
    }[kind]
    model = train(cells, "cell_type", batch_key="donor")
    assert right(annotate(query, model)).mean() > 0.9


def test_names_that_cannot_be_used_are_refused(reference):
    cells = reference.copy()
    for name, text in (("Unassigned", "own word"), ("T|NK", "stands between the types")):
        cells.obs["cell_type"] = cells.obs["cell_type"].astype(str).replace({"type0": name})
        with pytest.raises(LabelsError, match=text):
            train(cells, "cell_type")
        cells.obs["cell_type"] = cells.obs["cell_type"].replace({name: "type0"})
