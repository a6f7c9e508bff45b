"""`peakatlas train`: several files, batches, levels, methods and what it says of them."""

import json

import anndata as ad
import numpy as np
import pytest

from tests.atlas_tools import tree_bytes


@pytest.fixture(scope="module")
def two_files(world, tmp_path_factory):
    """The reference cut in two files of other peaks and kinds, with a donor and two levels."""
    folder = tmp_path_factory.mktemp("two")
    cells = ad.read_h5ad(world / "reference.h5ad")
    kinds = {"alpha": "round", "beta": "round", "gamma": "square"}
    cells.obs["kind"] = cells.obs["cell_type"].astype(str).map(kinds)
    cells.obs["donor"] = np.where(np.arange(120) % 4 < 3, "d1", "d2")
    even = np.arange(120) % 2 == 0
    cells[even, :45].copy().write_h5ad(folder / "a.h5ad")
    cells[~even, 15:].copy().write_zarr(folder / "b.zarr")
    return folder / "a.h5ad", folder / "b.zarr"


@pytest.fixture(scope="module")
def words(two_files, built):
    return ("train", *two_files, "--labels", "cell_type,kind", "--batch-key", "donor",
            "--atlas", built)  # fmt: skip


def test_two_files_with_batches_and_levels(run, world, words, built, tmp_path):
    done = run(*words, "-o", tmp_path / "bundle")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert any(line.startswith("held-out accuracy, kind") for line in lines)
    assert any(line.startswith("held-out accuracy, a.h5ad: d1") for line in lines)
    head = next(line.split() for line in lines if line.startswith("type "))
    assert head[:2] == ["type", "cells"] and head[-2:] == ["mistaken", "for"]
    shown = {line.split()[0] for line in lines if line.startswith(("alpha", "beta", "gamma"))}
    assert shown == {"alpha", "beta", "gamma"}
    assert "peaks: 60 exact" in done.err
    out = tmp_path / "o.h5ad"
    done = run("annotate", world / "query.h5ad", "--bundle", tmp_path / "bundle", "--atlas",
               built, "-o", out)  # fmt: skip
    assert done.code == 0, done.err
    obs = ad.read_h5ad(out).obs
    assert set(obs["peakatlas_label_kind"].cat.categories) == {"round", "square", "Unassigned"}


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (("--labels", "cell_type,cell_type"), "name each column once"),
        (("--batch-key", "lab"), "a.h5ad: obs has no column 'lab'; columns there are: "),
        (("--labels", "cell_type,donor"), "cell_type 'alpha' lies under 'd1' (30 cells) and 'd2'"),
    ],
)
def test_what_cannot_be_is_one_line(run, words, tmp_path, extra, said):
    done = run(*words, *extra, "-o", tmp_path / "b")
    assert done.code in (1, 2)
    assert said in done.err.splitlines()[-1]
    assert not (tmp_path / "b").exists()


def test_a_bundle_that_is_there_is_replaced_by_force_only(run, words, tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "bundle.json").write_text('{"format": "peakatlas-bundle"}')
    done = run(*words, "-o", tmp_path / "b")
    assert done.code == 1
    assert "holds a bundle. Give --force to replace it, or another folder." in done.err
    assert "peakatlas-bundle" in (tmp_path / "b" / "bundle.json").read_text()


def test_the_same_training_writes_the_same_bytes(run, words, tmp_path):
    for name in ("one", "two"):
        done = run(*words, "-o", tmp_path / name, "--json")
        assert done.code == 0, done.err
    _check_facts(json.loads(done.out))
    assert tree_bytes(tmp_path / "one") == tree_bytes(tmp_path / "two")


def test_cells_without_counts_and_blanks_are_named(run, world, tmp_path):
    cells = ad.read_h5ad(world / "reference.h5ad")
    cells.X[:2] = 0
    labels = cells.obs["cell_type"].astype(str).to_numpy(object)
    labels[5] += " "
    cells.obs["cell_type"] = labels
    cells.write_h5ad(tmp_path / "r.h5ad")
    done = run("train", tmp_path / "r.h5ad", "--labels", "cell_type", "-o", tmp_path / "b")
    assert done.code == 0, done.err
    assert "r.h5ad: 2 cells without counts left out" in done.err
    assert "r.h5ad: blanks taken off 1 labels" in done.err
    assert any(line.split() == ["types", "3"] for line in done.out.splitlines())


def test_a_wide_gap_of_confidence_is_warned_of(run, words, tmp_path, monkeypatch):
    from peakatlas.classifier import train as module  # noqa: PLC0415 - slow to import

    monkeypatch.setattr(module, "WIDE_GAP", -1)
    done = run(*words, "-o", tmp_path / "bundle")
    assert done.code == 0 and "confidence of held-out reference cells is off by 0." in done.err


def _check_facts(facts):
    assert facts["levels"] == {"kind": ["round", "square"], "cell_type": ["alpha", "beta", "gamma"]}
    assert sum(sum(each.values()) for each in facts["cells_by_batch"].values()) == 120
    assert set(facts["held_out"]["by_batch"]) == set(facts["cells_by_batch"])


TABLE = "# mine\nalpha\tCL:0000624\nbeta\tCL:0000625\n"


def test_types_in_the_words_of_the_ontology(run, world, tmp_path):
    (tmp_path / "labels.tsv").write_text(TABLE)
    words = ("train", world / "reference.h5ad", "--labels", "cell_type", "--labels-table",
             tmp_path / "labels.tsv", "-o", tmp_path / "bundle")  # fmt: skip
    done = run(*words)
    assert done.code == 0, done.err
    assert "2 of 3 labels are terms of the Cell Ontology v" in done.err
    assert "no term of the Cell Ontology is called 'gamma'" in done.err
    shown = {line.split()[0]: line.split()[1] for line in done.out.splitlines() if line.split()}
    assert (shown["alpha"], shown["beta"], shown["gamma"]) == (
        "CL:0000624", "CL:0000625", "unknown")  # fmt: skip
    done = run("annotate", world / "query.h5ad", "--bundle", tmp_path / "bundle", "-o",
               tmp_path / "o.h5ad", "--report", tmp_path / "r.html")  # fmt: skip
    assert done.code == 0, done.err
    found = ad.read_h5ad(tmp_path / "o.h5ad").obs["cell_type_ontology_term_id"]
    assert set(found) <= {"CL:0000624", "CL:0000625", "CL:0000791", "unknown"}
    assert (found == "CL:0000624").sum() > 5


def test_peaks_are_described_by_annotated_elements(run, world, tmp_path):
    bed = [line.split("\t")[:3] for line in (world / "peaks.bed").read_text().splitlines()]
    terms = ("CL:0000624", "CL:0000625", "CL:0000236")
    rows = ["\t".join([*row, terms[i % 3]]) for i, row in enumerate(bed)]
    (tmp_path / "elements.tsv").write_text("\n".join(rows) + "\n")
    reads = ("--elements", tmp_path / "elements.tsv", "--build", "hg19")
    done = run("train", world / "reference.h5ad", "--labels", "cell_type", *reads,
               "-o", tmp_path / "bundle")  # fmt: skip
    assert done.code == 0, done.err
    assert "60 peaks have terms of elements.tsv" in done.err
    done = run("annotate", world / "query.h5ad", "--bundle", tmp_path / "bundle", *reads,
               "-o", tmp_path / "o.h5ad", "--report", tmp_path / "r.html")  # fmt: skip
    assert done.code == 0, done.err
    page = (tmp_path / "r.html").read_text("utf-8")
    assert f"--elements {tmp_path / 'elements.tsv'} --build hg19" in page
    found = ad.read_h5ad(tmp_path / "o.h5ad").obs
    assert (found["peakatlas_best"].astype(str) == found["cell_type"]).mean() > 0.8


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--elements", "remo"), "--elements: give --build, the peaks' genome build"),
        (("--build", "hg38"), "only --elements reads it"),
        (
            ("--elements", "remo", "--build", "hg38", "--atlas", "ATLAS"),
            "give them or --atlas, not both",
        ),
    ],
)
def test_options_of_elements_go_together(run, world, built, tmp_path, given, said):
    given = [built if word == "ATLAS" else word for word in given]
    done = run("train", world / "reference.h5ad", "--labels", "cell_type", *given,
               "-o", tmp_path / "bundle")  # fmt: skip
    assert done.code == 2 and said in done.err


def test_a_bad_line_of_the_table_is_named(run, world, tmp_path):
    (tmp_path / "labels.tsv").write_text("alpha CL:0000624\n")
    done = run("train", world / "reference.h5ad", "--labels", "cell_type", "--labels-table",
               tmp_path / "labels.tsv", "-o", tmp_path / "bundle")  # fmt: skip
    assert done.code == 1 and "labels.tsv line 1: 'alpha CL:0000624' is no label" in done.err
