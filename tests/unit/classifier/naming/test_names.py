"""Cells get the names of the elements that they open, or none."""

import gzip

import anndata as ad
import numpy as np
import pytest

import peakatlas
from peakatlas.classifier.naming.element_files import read_elements
from peakatlas.classifier.ontology.lineages import lineage_of
from peakatlas.engine.errors import CountsError, IntervalError, LabelsError

RIGHT = {"B": "naive B cell", "monocyte": "classical monocyte", "stem": "no term fits"}


@pytest.fixture(scope="module")
def named(simulated, element_table):
    return peakatlas.name(simulated, build="hg19", elements=element_table)


def right_share(named, kind):
    return (named.obs["peakatlas_name"][named.obs["kind"] == kind] == RIGHT[kind]).mean()


def test_cells_are_named_in_the_words_of_the_ontology(named):
    assert right_share(named, "B") > 0.9
    assert right_share(named, "monocyte") > 0.95
    cells = named.obs[named.obs["kind"] == "B"]
    assert (cells["peakatlas_name_id"] == "CL:0000788").mean() > 0.9
    assert (cells["peakatlas_name_lineage"] == "lymphocyte of B lineage").mean() > 0.9
    assert cells["peakatlas_name_confidence"].dropna().between(0, 1).all()


def test_cells_that_no_term_fits_are_left_open(named):
    assert right_share(named, "stem") > 0.9
    left_open = named.obs["peakatlas_name"] == "no term fits"
    assert (named.obs["peakatlas_name_id"][left_open] == "").all()
    assert named.obs["peakatlas_name_confidence"][left_open].isna().all()


def test_with_the_annotation_of_other_peaks_cells_get_no_name(simulated, element_table):
    order = np.random.default_rng(0).permutation(simulated.n_vars)
    shuffled = simulated.copy()
    shuffled.var_names = simulated.var_names[order]
    named = peakatlas.name(shuffled, build="hg19", elements=element_table)
    assert (right_share(named, "B") + right_share(named, "monocyte")) / 2 < 0.5


def test_scores_and_sources_are_kept(named, element_table):
    assert named.obsm["X_peakatlas_terms"].shape == (180, 3)
    record = named.uns["peakatlas_name"]
    assert sorted(record["terms"]) == ["CL:0000623", "CL:0000788", "CL:0000860"]
    assert record["elements"] == element_table.name
    assert record["peaks_with_terms"] == 1350


def test_the_query_is_not_changed(simulated, named):
    assert list(simulated.obs.columns) == ["kind"]


def test_a_sample_of_one_kind_is_named_alike(simulated, element_table):
    only = simulated[simulated.obs["kind"] == "B"].copy()
    assert right_share(peakatlas.name(only, build="hg19", elements=element_table), "B") > 0.9


def test_too_few_cells_and_a_wrong_build_are_refused(simulated, element_table):
    with pytest.raises(CountsError, match="19 cells are too few to name: 20 are needed"):
        peakatlas.name(simulated[:19].copy(), build="hg19", elements=element_table)
    table = read_elements(element_table, "hg38")
    with pytest.raises(CountsError, match=r"hg19ToHg38\.over\.chain\.gz"):
        peakatlas.name(simulated, build="hg19", elements=table)
    moved = simulated.copy()
    moved.var_names = [f"chr9:{name.partition(':')[2]}" for name in simulated.var_names]
    with pytest.raises(LabelsError, match="peaks carry 0 of the terms"):
        peakatlas.name(moved, build="hg19", elements=element_table)


def test_a_tissue_that_is_not_there_is_refused(simulated, element_table):
    with pytest.raises(LabelsError, match=r"'Blod' is not in elements\.tsv\. It has: none"):
        peakatlas.name(simulated, build="hg19", elements=element_table, tissue="Blod")


@pytest.mark.parametrize(
    ("line", "error", "why"),
    [
        ("chr1\t5\t9", IntervalError, "line 1: .* has 3 columns"),
        ("chr1\t5\t9\tCL:1", LabelsError, "'CL:1' is not a term"),
        ("chr1\t9\t5\tCL:0000623", IntervalError, r"elements\.tsv: .* start < end"),
        ("chr1\t5.5\t9\tCL:0000623", IntervalError, r"elements\.tsv: .* not whole numbers"),
        ("# nothing", IntervalError, "no elements in the file"),
    ],
)
def test_bad_tables_are_refused(tmp_path, line, error, why):
    path = tmp_path / "elements.tsv"
    path.write_text(line + "\n")
    with pytest.raises(error, match=why):
        read_elements(path, "hg38")


def test_lineages():
    assert lineage_of("CL:0000860") == "CL:0000763"
    assert lineage_of("CL:0000624") == "CL:0000084"
    assert lineage_of("CL:0000623") == "CL:0000623"
    assert lineage_of("CL:0000000") == "CL:0000000"


def test_tables_as_people_have_them(tmp_path):
    text = "chrom\tstart\tend\tterms\r\nchr1\t5\t9\tCL:0000623;CL:0000788\r\n\r\n# end\r\n"
    for number, data in enumerate((text.encode("utf-8-sig"), gzip.compress(text.encode()))):
        (tmp_path / f"{number}.tsv").write_bytes(data)
        table = read_elements(tmp_path / f"{number}.tsv", "hg38").table
        assert table.intervals.names() == ["chr1:5-9"]
        assert (table.terms, table.carries.toarray().tolist()) == (
            ("CL:0000623", "CL:0000788"),
            [[1, 1]],
        )
    with pytest.raises(IntervalError, match=r"none\.tsv: no such file"):
        read_elements(tmp_path / "none.tsv", "hg38")


def test_counts_in_a_file_or_a_layer_are_named_alike(named, simulated, element_table, tmp_path):
    moved = simulated.copy()
    moved.layers["raw"], moved.X = moved.X, moved.X * 0.5
    moved.write_h5ad(tmp_path / "q.h5ad")
    stored = ad.read_h5ad(tmp_path / "q.h5ad", backed="r")
    found = peakatlas.name(stored, build="hg19", elements=element_table, layer="raw")
    assert found.obs["peakatlas_name"].tolist() == named.obs["peakatlas_name"].tolist()
    assert not found.isbacked and "peakatlas_name" not in stored.obs
