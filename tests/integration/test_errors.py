"""What the command line says when it cannot go on: one line, exit 1, the fault and a remedy."""

import gzip
import subprocess
import sys

import anndata as ad
import numpy as np
import pytest
from scipy import sparse

from peakatlas.cli.terminal import error_line

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
    assert "peaklm-v3" in said


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


GENOME, PEAKS, ATLAS, BUNDLE, QUERY = "genome.fa", "peaks.bed", "atlas.zarr", "bundle", "query.h5ad"
ANNOTATE = ("annotate", QUERY, "--bundle", BUNDLE, "--atlas", ATLAS)
MIX_UPS = {
    "genome and peaks swapped": (
        ("atlas", "build", PEAKS, GENOME, "o.zarr"),
        "peaks.bed is a table of intervals (such as BED); a FASTA file is expected there.",
    ),
    "cells for peaks": (
        ("atlas", "build", GENOME, QUERY, "o.zarr"),
        "query.h5ad is an HDF5 file (such as h5ad); a BED or narrowPeak file is expected there.",
    ),
    "cells for an atlas": (("atlas", "lookup", QUERY, PEAKS), "an atlas (the folder that"),
    "bundle for an atlas": (
        ("atlas", "lookup", BUNDLE, PEAKS),
        "bundle is a trained bundle; an atlas (the folder that `peakatlas atlas build` makes)",
    ),
    "bundle among atlases": (("atlas", "merge", ATLAS, BUNDLE, "-o", "m.zarr"), "trained bundle"),
    "model for an atlas": (("atlas", "info", "toy"), "the folder of a language model; an atlas"),
    "atlas for a bundle": (
        ("annotate", QUERY, "--bundle", ATLAS, "--atlas", BUNDLE),
        "atlas.zarr is an atlas; a trained bundle (the folder that `peakatlas train` makes, "
        "or a name that `peakatlas bundles list` shows) is expected there",
    ),
    "model name for a bundle": (
        ("annotate", QUERY, "--model", "peaklm-v3", "--atlas", ATLAS),
        "peaklm-v3 does not exist; a trained bundle",
    ),
    "atlas for cells": (
        ("train", ATLAS, "--labels", "cell_type", "--atlas", ATLAS, "-o", "b"),
        "atlas.zarr is an atlas; a file or folder of cells x peaks",
    ),
    "bed for the genome": ((*ANNOTATE, "--genome", PEAKS), "a FASTA file is expected there"),
    "absent atlas": (("atlas", "verify", "none.zarr"), "none.zarr does not exist; an atlas"),
    "absent folder of a file": (
        ("atlas", "lookup", ATLAS, PEAKS, "-o", "none/t.tsv"), "there is no folder ",
    ),
    "folder for a file": ((*ANNOTATE, "-o", BUNDLE), "bundle is a folder; a file is expected"),
    "another kind of output": (
        (*ANNOTATE, "-o", "out.zarr"), "out.zarr is not the name of what is written",
    ),
    "output that is the input": ((*ANNOTATE, "-o", QUERY), "it would be overwritten"),
    "output in the bundle": ((*ANNOTATE, "-o", f"{BUNDLE}/o.h5ad"), "there is no folder"),
    "one path for two outputs": (
        (*ANNOTATE, "-o", "o", "--report", "o"), "o is named for two outputs",
    ),
    "bundle over other things": (
        ("train", QUERY, "--labels", "cell_type", "--atlas", ATLAS, "-o", ATLAS),
        "atlas.zarr exists and is not a bundle",
    ),
    "bundle over a file": (
        ("train", QUERY, "--labels", "cell_type", "--atlas", ATLAS, "-o", QUERY),
        "query.h5ad exists and is not a bundle",
    ),
    "contig that the atlas lacks": (
        ("atlas", "neighbours", ATLAS, "chr1:1000-1500", "--region", "chr9"),
        "'chr9' is not a contig of the atlas (chr1)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("mix_up", MIX_UPS)
def test_mixed_up_files_are_named_before_any_work(run, world, trained, toy_esm, mix_up):
    words, wanted = MIX_UPS[mix_up]
    there = {path.name: path for path in (*world.iterdir(), toy_esm)}
    done = run(*(there.get(word, word) for word in add_out(words)))
    said = the_error(done)
    assert wanted in said
    assert done.out == ""
    assert done.err.count("\n") == 1
    assert {path.name for path in world.iterdir()} == there.keys() - {"toy"}


def add_out(words):
    return words if words[0] != "annotate" or "-o" in words else (*words, "-o", "out.h5ad")


MISUSES = {
    ("bild", "g.fa"): "No such command 'bild'. Did you mean 'atlas build'? See peakatlas --help.",
    ("anotate", "q"): "No such command 'anotate'. Did you mean 'annotate'? See peakatlas --help.",
    ("atlas", "lokup"): "No such command 'lokup'. Did you mean 'lookup'? See peakatlas atlas",
    ("atlas", "build", "--modle", "x"): "No such option: --modle (did you mean --model).",
    ("atlas", "lookup", "a.zarr"): "Missing argument 'PEAKS.bed'. See peakatlas atlas lookup --h",
    ("train", "r.h5ad", "--labels", "x"): "Missing option -o / --out. See peakatlas tra",
    ("benchmark", "--ranks", "two"): "Invalid value for --ranks: 'two' is not a list of numbers",
    ("benchmark", "--precision", "fp16"): "'fp16' is not one of 'bf16', 'fp32'. See peakatlas be",
}


@pytest.mark.parametrize("words", MISUSES, ids=" ".join)
def test_misuse_is_one_line_with_a_hint_and_exits_2(run, words):
    done = run(*words)
    assert done.code == 2
    assert done.out == ""
    assert done.err.startswith("error: ")
    assert MISUSES[words] in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (["--append"], "--append: without --genome no peak is embedded"),
        (["--labels", "cell_type"], "--labels: only --report reads it"),
        (["--assign-all", "--rule", "sets"], "--rule: --assign-all leaves no cell open"),
    ],
)
def test_options_without_effect_are_misuse(run, world, built, trained, options, wanted):
    done = run("annotate", world / "query.h5ad", "--bundle", trained, "--atlas", built,
               "-o", "out.h5ad", *options)  # fmt: skip
    assert done.code == 2
    assert wanted in done.err


def test_what_cannot_be_told_is_left_to_its_reader(run, built, tmp_path):
    odd = tmp_path / "peaks.txt"
    odd.write_text("hello world\n")
    assert "peaks.txt line 1" in the_error(run("atlas", "lookup", built, odd))
    (tmp_path / "empty").mkdir()
    said = the_error(run("atlas", "info", tmp_path / "empty"))
    assert "is not an atlas (no manifest.json)" in said


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (FileNotFoundError(2, "No such file or directory", "a"), "a: no such file or directory. C"),
        (FileExistsError(17, "File exists", "a"), "a: file exists. Give another path."),
        (PermissionError(13, "Permission denied", "a"), "a: permission denied. Give another path,"),
        (OSError(28, "No space left on device"), "no space left on device."),
        (OSError("odd"), "odd"),
    ],
)
def test_what_the_system_refuses_is_one_line(error, line):
    assert error_line(error).startswith(line)
