"""What the command line says when it cannot go on: one line, exit 1, the fault and a remedy."""

import gzip
import subprocess
import sys

import anndata as ad
import numpy as np
import pytest
from scipy import sparse

from .conftest import cells


def the_error(ran) -> str:
    """The one error line, without its label."""
    assert ran.code == 1, (ran.out, ran.err)
    lines = [line for line in ran.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert ran.err.splitlines()[-1] == lines[0]
    assert "Not foreseen" not in lines[0]
    return lines[0]


BED_FAULTS = {
    "missing contig": ("chr1\t10\t500\nchr7\t10\t500\n", ["chr7"]),
    "naming style": ("1\t10\t500\n", ["chr1", "--match-contigs"]),
    "past the end": ("chr1\t59900\t60500\n", ["chr1:59900-60500", "60000 bp", "genome.fa"]),
    "start after end": ("chr1\t10\t500\nchr1\t900\t800\n", ["peaks.bed line 2"]),
    "not a number": ("chr1\t10\t500\nchr1\tten\t500\n", ["peaks.bed line 2", "ten"]),
    "empty": ("", ["peaks.bed"]),
}


@pytest.mark.parametrize("fault", BED_FAULTS)
def test_build_names_the_faulty_peaks(run, world, toy_esm, tmp_path, fault):
    text, wanted = BED_FAULTS[fault]
    (tmp_path / "peaks.bed").write_text(text)
    said = the_error(
        run("atlas", "build", world / "genome.fa", tmp_path / "peaks.bed", tmp_path / "out.zarr",
            "--model", toy_esm)
    )  # fmt: skip
    assert all(part in said for part in wanted), said
    assert not (tmp_path / "out.zarr").exists()


def test_match_contigs_is_the_remedy_that_the_error_names(run, world, toy_esm, tmp_path):
    (tmp_path / "peaks.bed").write_text("1\t10\t500\n")
    done = run("atlas", "build", world / "genome.fa", tmp_path / "peaks.bed", tmp_path / "o.zarr",
               "--model", toy_esm, "--match-contigs")  # fmt: skip
    assert done.code == 0, done.err


def test_match_contigs_serves_lookup_train_and_annotate(run, world, built, trained, tmp_path):
    renamed = {}
    for name in ("reference", "query"):
        cells_ = ad.read_h5ad(world / f"{name}.h5ad")
        cells_.var["chrom"] = "1"
        renamed[name] = tmp_path / f"{name}.h5ad"
        cells_.write_h5ad(renamed[name])
    bed = tmp_path / "peaks.bed"
    bed.write_text("1\t1000\t1500\n")
    train = ("train", renamed["reference"], "--labels", "cell_type", "--atlas", built, "-o",
             tmp_path / "bundle")  # fmt: skip
    annotate = ("annotate", renamed["query"], "--model", trained, "--atlas", built, "-o")
    lookup = ("atlas", "lookup", built, bed)
    for command in (lookup, train, (*annotate, tmp_path / "refused.h5ad")):
        assert "--match-contigs" in the_error(run(*command))
    assert "exact" in run(*lookup, "--match-contigs").out
    assert run(*train, "--match-contigs").code == 0
    assert run(*annotate, tmp_path / "renamed.h5ad", "--match-contigs").code == 0
    plain = ("annotate", world / "query.h5ad", "--model", trained, "--atlas", built)
    assert run(*plain, "-o", tmp_path / "plain.h5ad").code == 0
    labels = [
        ad.read_h5ad(tmp_path / f).obs["peakatlas_label"] for f in ("renamed.h5ad", "plain.h5ad")
    ]
    assert labels[0].tolist() == labels[1].tolist()


def test_truncated_gzip_genome(run, world, toy_esm, tmp_path):
    whole = gzip.compress((world / "genome.fa").read_bytes())
    (tmp_path / "cut.fa.gz").write_bytes(whole[: len(whole) // 2])
    said = the_error(
        run("atlas", "build", tmp_path / "cut.fa.gz", world / "peaks.bed", tmp_path / "o.zarr",
            "--model", toy_esm)
    )  # fmt: skip
    assert "cut.fa.gz" in said
    assert "truncated" in said


def test_missing_files_are_named(run, world, tmp_path):
    said = the_error(
        run("atlas", "build", world / "genome.fa", tmp_path / "none.bed", tmp_path / "o.zarr")
    )
    assert "none.bed" in said


def test_unknown_model_lists_the_known(run, world, tmp_path):
    said = the_error(
        run("atlas", "build", world / "genome.fa", world / "peaks.bed", tmp_path / "o.zarr",
            "--model", "no-such-model")
    )  # fmt: skip
    assert "no-such-model" in said
    assert "peaklm-v1" in said


def nan(query):
    query.X = query.X.astype(np.float32)
    query.X.data[3] = np.nan


def negative(query):
    query.X.data[3] = -1


def floats(query):
    query.X = query.X.astype(np.float32) * 0.37


def twice(query):
    for column in ("start", "end"):
        values = query.var[column].to_numpy().copy()
        values[1] = values[0]
        query.var[column] = values


COUNT_FAULTS = {nan: "NaN", negative: "negative", floats: "fractional", twice: "chr1:1000-1500"}


@pytest.mark.parametrize("spoil", COUNT_FAULTS, ids=lambda spoil: spoil.__name__)
def test_train_names_the_faulty_counts(run, built, tmp_path, spoil):
    spoilt = cells(10, 0)
    spoilt.X = sparse.csr_matrix(spoilt.X)
    spoil(spoilt)
    spoilt.write_h5ad(tmp_path / "spoilt.h5ad")
    said = the_error(
        run("train", tmp_path / "spoilt.h5ad", "--labels", "cell_type", "--atlas", built,
            "-o", tmp_path / "bundle")
    )  # fmt: skip
    assert "spoilt.h5ad" in said
    assert COUNT_FAULTS[spoil] in said


def test_train_names_the_columns_there_are(run, world, built, tmp_path):
    said = the_error(
        run("train", world / "reference.h5ad", "--labels", "celltype", "--atlas", built,
            "-o", tmp_path / "bundle")
    )  # fmt: skip
    assert "celltype" in said
    assert "cell_type" in said


def test_annotate_refuses_the_atlas_of_another_model(run, world, trained, toy_absolute, tmp_path):
    other = tmp_path / "other.zarr"
    built = run("atlas", "build", world / "genome.fa", world / "peaks.bed", other,
                "--model", toy_absolute)  # fmt: skip
    assert built.code == 0, built.err
    said = the_error(
        run("annotate", world / "query.h5ad", "--model", trained, "--atlas", other,
            "-o", tmp_path / "out.h5ad")
    )  # fmt: skip
    assert "toy" in said
    assert "absolute" in said


def test_build_refuses_to_mix_models(run, world, toy_absolute, built):
    said = the_error(
        run("atlas", "build", world / "genome.fa", world / "peaks.bed", built,
            "--model", toy_absolute)
    )  # fmt: skip
    assert "toy" in said
    assert "absolute" in said


def test_annotate_refuses_what_is_no_bundle(run, world, built, tmp_path):
    said = the_error(
        run("annotate", world / "query.h5ad", "--model", tmp_path, "--atlas", built,
            "-o", tmp_path / "out.h5ad")
    )  # fmt: skip
    assert str(tmp_path) in said


def test_module_exits_1_from_the_shell(tmp_path):
    command = [sys.executable, "-m", "peakatlas", "atlas", "info", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
