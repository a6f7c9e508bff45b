"""`peakatlas count`: fragments become an h5ad that the other commands take."""

from __future__ import annotations

import gzip
import json

import anndata as ad
import numpy as np
import pytest

from peakatlas.engine.intervals.readers import read_bed


@pytest.fixture(scope="module")
def fragments(world, tmp_path_factory):
    """Each cell of the reference: a fragment within a peak for every two of its counts there."""
    given = ad.read_h5ad(world / "reference.h5ad")
    peaks, counts = read_bed(world / "peaks.bed"), given.X.tocoo()
    rows = sorted(
        (int(peaks.start[peak]) + 10, given.obs_names[cell])
        for cell, peak, n in zip(counts.row, counts.col, counts.data, strict=True)
        for _ in range(n)
    )
    lines = [f"chr1\t{start}\t{start + 100}\t{cell}\t1\n" for start, cell in rows]
    path = tmp_path_factory.mktemp("fragments") / "fragments.tsv.gz"
    path.write_bytes(gzip.compress("".join(["# made up\n", *lines]).encode()))
    return path


def test_counts_on_a_bed_and_on_an_atlas_are_the_same(run, world, built, fragments, tmp_path):
    reference = ad.read_h5ad(world / "reference.h5ad")
    deep = np.flatnonzero(np.asarray(reference.X.sum(axis=1)).ravel() >= 9)
    for name, peaks in (("bed", world / "peaks.bed"), ("atlas", built)):
        out = tmp_path / f"{name}.h5ad"
        ran = run("count", fragments, peaks, "-o", out, "--min-fragments", 9, "--json")
        assert ran.code == 0, ran.err
        facts, found = json.loads(ran.out), ad.read_h5ad(out)
        assert facts["cells"] == len(deep) == found.n_obs
        assert (facts["fragments"], facts["counting"]) == (int(reference.X.sum()), "insertions")
        expected = 2 * reference[found.obs_names].X.toarray()
        assert found.X.toarray().tolist() == expected.tolist()
        assert set(found.obs_names) == set(reference.obs_names[deep])


def test_a_list_of_cells_and_paired_counting(run, world, fragments, tmp_path):
    (tmp_path / "list.txt").write_text("cell5\ncell3\n")
    out = tmp_path / "c.h5ad"
    ran = run("count", fragments, world / "peaks.bed", "-o", out, "--counting", "paired",
              "--barcodes", tmp_path / "list.txt")  # fmt: skip
    assert ran.code == 0, ran.err
    found, reference = ad.read_h5ad(out), ad.read_h5ad(world / "reference.h5ad")
    assert found.obs_names.tolist() == ["cell5", "cell3"]
    assert found.X.toarray().tolist() == reference[["cell5", "cell3"]].X.toarray().tolist()
    assert "min_fragments" in ran.out and "paired" in ran.out


def test_what_was_counted_trains(run, world, built, fragments, tmp_path):
    counted = tmp_path / "counts.h5ad"
    run("count", fragments, built, "-o", counted, "--min-fragments", 1)
    labelled, reference = ad.read_h5ad(counted), ad.read_h5ad(world / "reference.h5ad")
    labelled.obs["cell_type"] = reference.obs["cell_type"]
    labelled.write_zarr(tmp_path / "labelled.zarr")
    ran = run("train", tmp_path / "labelled.zarr", "--labels", "cell_type", "--atlas", built,
              "-o", tmp_path / "bundle")  # fmt: skip
    assert ran.code == 0, ran.err
    assert (tmp_path / "bundle" / "bundle.json").exists()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("peaks.bed", "reference.h5ad"), "reference.h5ad is an HDF5 file (such as h5ad); a BED"),
        (("none.tsv", "peaks.bed"), "none.tsv: no such file"),
        (("peaks.bed", "none.bed"), "none.bed does not exist; a BED file or an atlas is expected"),
        (("peaks.bed", "peaks.bed"), "peaks.bed line 1: has 3 column(s), at least 4 are needed."),
    ],
)
def test_mistakes_are_named(run, world, tmp_path, arguments, text):
    ran = run("count", *(world / name for name in arguments), "-o", tmp_path / "x.h5ad")
    assert ran.code == 1
    assert text in ran.err and ran.err.count("\n") == 1
    assert not (tmp_path / "x.h5ad").exists()


def test_the_default_depth_is_named(run, world, fragments, tmp_path):
    ran = run("count", fragments, world / "peaks.bed", "-o", tmp_path / "x.h5ad")
    assert ran.code == 1
    assert "barcodes has 1,000 fragments; the deepest has" in ran.err
    assert "Lower --min-fragments." in ran.err


def test_fragments_given_to_annotate_name_the_remedy(run, trained, built, fragments, tmp_path):
    ran = run("annotate", fragments, "--bundle", trained, "--atlas", built,
              "-o", tmp_path / "x.h5ad")  # fmt: skip
    assert ran.code == 1
    assert "these are fragments, not counts. Count them first: peakatlas count" in ran.err
