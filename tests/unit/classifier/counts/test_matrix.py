"""Counts are checked, and every refusal says what, where and the remedy."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from peakatlas.classifier.counts.matrix import column_of, read_counts
from peakatlas.engine.errors import CountsError, IntervalError, LabelsError

NAMES = ["chr1:0-10", "chr1:20-30", "chr2:5-9"]


def adata(values, *, names=NAMES, cells=None, **obs) -> ad.AnnData:
    values = sp.csr_matrix(np.asarray(values, np.float64))
    frame = pd.DataFrame(obs, index=cells or [f"c{i}" for i in range(values.shape[0])])
    return ad.AnnData(values, obs=frame, var=pd.DataFrame(index=names[: values.shape[1]]))


def refusal(values, **options) -> str:
    with pytest.raises(CountsError) as caught:
        read_counts(adata(values, **options))
    return str(caught.value)


def test_reads_counts_peaks_and_depth():
    counts = read_counts(adata([[1, 0, 2], [0, 0, 0]]))
    assert counts.matrix.toarray().tolist() == [[1, 0, 2], [0, 0, 0]]
    assert counts.matrix.dtype == np.float32
    assert counts.peaks.names() == NAMES
    assert counts.depth.tolist() == [3, 0]
    assert (counts.n_cells, counts.n_peaks) == (2, 3)


def test_columns_of_var_come_before_names():
    given = adata([[1, 2]], names=["p1", "p2"])
    given.var["chr"], given.var["start"], given.var["end"] = ["chr1", "2"], [1, 2], [5, 9]
    assert read_counts(given).peaks.names() == ["chr1:1-5", "2:2-9"]


def test_dense_integer_matrix_and_file(tmp_path):
    given = ad.AnnData(np.array([[1, 0], [3, 4]], np.int16), var=pd.DataFrame(index=NAMES[:2]))
    given.write_h5ad(tmp_path / "q.h5ad")
    counts = read_counts(tmp_path / "q.h5ad")
    assert counts.matrix.toarray().tolist() == [[1, 0], [3, 4]]
    assert counts.source == "q.h5ad"


def test_does_not_change_what_it_was_given():
    given = adata([[1, 0, 2]])
    given.X.data = np.array([1.0, 0.0])  # an explicit zero
    read_counts(given)
    assert given.X.nnz == 2


def test_nan():
    text = "AnnData: 1 NaN count(s) in X: cell 1 peak 2 (nan). Replace them by 0"
    assert refusal([[1, 0, 2], [0, 0, np.nan]]).startswith(text)


def test_infinite():
    assert "1 infinite count(s) in X: cell 0 peak 1 (inf)" in refusal([[1, np.inf]])


def test_negative_shows_the_first_five_and_the_count():
    text = refusal([[-1, -2, -3], [-4, -5, -6]])
    assert "6 negative count(s) in X: cell 0 peak 0 (-1)" in text
    assert "cell 1 peak 1 (-5)." in text and "-6" not in text
    assert text.endswith("Give raw counts, not scaled values.")


def test_float_matrix():
    text = refusal([[0.5, 1, 2]])
    assert "1 fractional count(s) in X: cell 0 peak 0 (0.5)" in text
    assert "not TF-IDF or normalised values" in text


def test_duplicate_peaks():
    text = refusal([[1, 2, 3]], names=["chr1:0-10", "chr1-0-10", "chr1:20-30"])
    assert text == (
        "AnnData: 1 peak(s) occur more than once: chr1:0-10. Sum their counts into one column."
    )


def test_duplicate_cells():
    text = refusal([[1], [2]], cells=["a", "a"])
    assert "1 cell name(s) occur more than once: a." in text


@pytest.mark.parametrize("shape", [(0, 3), (2, 0)])
def test_empty(shape):
    assert f"the matrix is empty ({shape[0]} cells × {shape[1]} peaks)" in refusal(np.zeros(shape))


def test_no_matrix():
    with pytest.raises(CountsError, match=r"X is empty. Put the counts into X"):
        read_counts(ad.AnnData(var=pd.DataFrame(index=NAMES), obs=pd.DataFrame(index=["c"])))


def test_unparsable_names():
    with pytest.raises(IntervalError, match="AnnData"):
        read_counts(adata([[1, 2, 3]], names=["gene1", "gene2", "gene3"]))


def test_no_such_file(tmp_path):
    with pytest.raises(CountsError, match="no such file"):
        read_counts(tmp_path / "absent.h5ad")


def test_not_an_h5ad(tmp_path):
    path = tmp_path / "text.h5ad"
    path.write_text("no")
    with pytest.raises(CountsError, match="not a count matrix of a known kind; it begins with"):
        read_counts(path)


def test_a_column_as_text():
    counts = read_counts(adata(np.ones((6, 1)), cell_type=list("aaabbb")))
    assert column_of(counts, "cell_type", "--labels").tolist() == list("aaabbb")


def test_no_labels_column_names_those_there_are():
    counts = read_counts(adata(np.ones((6, 1)), cell_type=list("aaabbb"), donor="d"))
    with pytest.raises(LabelsError) as caught:
        column_of(counts, "celltype", "--labels")
    assert str(caught.value) == (
        "AnnData: obs has no column 'celltype'; columns there are: cell_type, donor "
        "('cell_type' is like it). Name one of them with --labels."
    )


def test_unlabelled_cells():
    counts = read_counts(adata(np.ones((6, 1)), cell_type=["a", None, "a", "b", "b", "b"]))
    with pytest.raises(LabelsError, match=r"obs\['cell_type'\]: 1 cell\(s\) have no label: c1\."):
        column_of(counts, "cell_type", "--labels")
    counts = read_counts(adata(np.ones((6, 1)), cell_type=["a", " ", "<NA>", "b", "b", "b"]))
    with pytest.raises(LabelsError, match=r"2 cell\(s\) have no label: c1, c2\."):
        column_of(counts, "cell_type", "--labels")


def test_columns_of_one_name():
    given = adata(np.ones((6, 1)), cell_type=list("aaabbb"))
    given.obs = pd.concat([given.obs, given.obs], axis=1)
    with pytest.raises(LabelsError, match="2 columns of obs are called 'cell_type'"):
        column_of(read_counts(given), "cell_type", "--labels")


def layered() -> ad.AnnData:
    given = adata([[0.5, 1, 2], [0, 0.1, 3]])
    given.layers["counts"] = sp.csr_matrix(np.array([[1, 0, 2], [0, 3, 0]]))
    raw = adata(np.array([[5, 6]] * 2), names=["chr3:0-4", "chr3:6-9"])
    given.raw = raw
    return given


def test_counts_of_a_layer():
    counts = read_counts(layered(), layer="counts")
    assert counts.matrix.toarray().tolist() == [[1, 0, 2], [0, 3, 0]]
    assert counts.adata.X.toarray()[0, 0] == 0.5


def test_counts_and_peaks_of_raw():
    counts = read_counts(layered(), use_raw=True)
    assert counts.matrix.toarray().tolist() == [[5, 6], [5, 6]]
    assert counts.peaks.names() == ["chr3:0-4", "chr3:6-9"]
    assert counts.adata.n_vars == 2


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"layer": "count"}, "there is no layer 'count'; layers there are: counts."),
        ({"layer": "counts", "use_raw": True}, "counts are either in a layer or in raw"),
        ({}, "There are whole numbers in layers['counts'] (--layer counts), in raw.X (--use-raw)."),
    ],
)
def test_a_place_without_counts_is_refused_and_others_are_named(options, says):
    with pytest.raises(CountsError) as caught:
        read_counts(layered(), **options)
    assert says in str(caught.value)


def test_no_raw():
    with pytest.raises(CountsError, match="there is no raw"):
        read_counts(adata([[1]]), use_raw=True)


def test_genes_of_an_object_in_memory_are_left_out():
    given = adata([[7, 0, 2], [0, 8, 0]], names=["GENE", *NAMES[1:]])
    given.var["feature_types"] = ["Gene Expression", "Peaks", "Peaks"]
    given.layers["counts"] = given.X.copy()
    for counts in (read_counts(given), read_counts(given, layer="counts")):
        assert counts.matrix.toarray().tolist() == [[0, 2], [8, 0]]
        assert counts.peaks.names() == NAMES[1:]
    assert given.n_vars == 3


def test_counts_that_were_read_stay_as_they_are():
    counts = read_counts(adata([[1, 2, 3]]))
    assert read_counts(counts) is counts


def test_too_large():
    assert "1 too large count(s) in X: cell 0 peak 0" in refusal([[2**24 + 1, 1]])


@pytest.mark.parametrize("kind", [sp.csr_matrix, sp.csc_matrix])
def test_indices_outside_of_a_matrix_in_memory(kind):
    given = adata([[1, 0, 2], [0, 0, 3]])
    bad = kind(np.array([[1, 0, 2], [0, 0, 3]]))
    bad.indices[1] = 1_000_000
    given.layers["bad"] = bad
    with pytest.raises(CountsError, match=r"AnnData: layers\['bad'\]: not a whole sparse matrix"):
        read_counts(given, layer="bad")


def test_a_matrix_of_texts_is_refused():
    given = adata(np.ones((2, 1)))
    given.layers["texts"] = np.array([["1"], ["2"]], dtype=object)
    with pytest.raises(CountsError, match=r"layers\['texts'\] holds object, not numbers"):
        read_counts(given, layer="texts")
