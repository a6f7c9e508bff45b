"""Every command end to end, on a small world and a toy model."""

import json
import shutil
import subprocess
import sys
import time

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import typer

from peakatlas.cli.main import app
from peakatlas.cli.terminal import error_line, print_table, show_licence
from peakatlas.engine.models.table import MODELS


def test_help_is_quick_and_lists_the_commands():
    command = [sys.executable, "-m", "peakatlas", "--help"]
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds.append(time.perf_counter() - began)
    for name in ("atlas", "count", "train", "annotate", "models", "benchmark", "demo"):
        assert name in done.stdout
    assert min(seconds) < 1.0  # 0.2 s on a quiet machine


def test_command_names_are_those_of_the_documentation():
    assert set(typer.main.get_command(app).commands) == {
        "atlas", "count", "train", "annotate", "report", "demo", "models", "benchmark",
        "doctor", "explain", "name", "pretrain", "bundles",
    }  # fmt: skip


def test_version(run):
    assert run("--version").out.startswith("peakatlas 0.")


def test_models_shows_size_context_and_licence(run):
    table = run("models").out
    shipped = next(line for line in table.splitlines() if line.startswith("peaklm-v3"))
    assert f"{MODELS['peaklm-v3'].context_tokens}" in shipped
    assert "MIT" in shipped
    assert "CC-BY-NC-SA-4.0 (non-commercial)" in table


def test_models_as_json(run):
    cards = json.loads(run("models", "--json").out)
    assert cards["peaklm-v3"]["dim"] == 64


def test_non_commercial_licence_is_shown_before_a_build(capsys):
    show_licence("nucleotide-transformer-v2-50m-multi-species")
    show_licence("peaklm-v3")
    said = capsys.readouterr().err
    assert said.count("note:") == 1
    assert "CC-BY-NC-SA-4.0: non-commercial use only" in said


def test_non_commercial_licence_of_a_folder_is_shown_and_recorded(run, world, toy_esm, tmp_path):
    model = shutil.copytree(toy_esm, tmp_path / "model")
    (model / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n")
    done = run("atlas", "build", world / "genome.fa", world / "peaks.bed", tmp_path / "a.zarr",
               "--model", model)  # fmt: skip
    assert "note: the weights of model are under cc-by-nc-4.0: non-commercial" in done.err
    facts = json.loads(run("atlas", "info", tmp_path / "a.zarr", "--json").out)
    assert facts["licence"] == "cc-by-nc-4.0"


def test_build_then_info(run, world, toy_esm, tmp_path):
    out = tmp_path / "atlas.zarr"
    command = ("atlas", "build", world / "genome.fa", world / "peaks.bed", out)
    built = run(*command, "--model", toy_esm)
    assert built.code == 0, built.err
    assert "n_intervals" in built.out
    facts = json.loads(run("atlas", "info", out, "--json").out)
    assert facts["n_intervals"] == 60
    assert facts["model"] == "toy"
    assert run(*command, "--model", toy_esm).code == 0  # nothing left to do


def test_build_by_partitions_with_other_rules(run, world, toy_esm, tmp_path):
    out = tmp_path / "atlas.zarr"
    command = ("atlas", "build", world / "genome.fa", world / "peaks.bed", out, "--model", toy_esm,
               "--strand", "both", "--layer", 1, "--max-n-fraction", 0.2, "-v")  # fmt: skip
    done = run(*command, "--partition", "2/2")
    assert done.code == 0, done.err
    assert "partition 2/2 is written; 1 shards of others are missing" in done.err
    assert run("atlas", "info", out).code == 1
    last = run(*command, "--partition", "1/2")
    assert "the atlas is finished" in last.err
    assert json.loads(run("atlas", "info", out, "--json").out)["n_intervals"] == 60
    refused = run(*command[:-3], "--partition", "1/2")
    assert "max_n_fraction: 0.2 != 0.5" in refused.err
    assert "Example: --partition 3/16" in run(*command, "--partition", "3/2").err


def test_progress_is_plain_lines_without_a_terminal(run, world, toy_esm, tmp_path):
    done = run("atlas", "build", world / "genome.fa", world / "peaks.bed", tmp_path / "a.zarr",
               "--model", toy_esm, "-v")  # fmt: skip
    lines = [line for line in done.err.splitlines() if line.startswith("embedding: ")]
    assert lines[-1].startswith("embedding: 60 of 60 (100 %), ")
    for word in ("peaks/s", "tokens/s", "% of machine peak", "0:00:00 left"):
        assert word in lines[-1]
    assert "\x1b" not in done.err


def test_benchmark_as_table_and_json(run, toy_esm):
    command = ("benchmark", "--model", toy_esm, "--window", "centre:120", "--seconds", 0.1)
    table = run(*command, "--million-peaks", 2.5)
    assert table.code == 0, table.err
    for word in ("peaks/s", "share of measured products", "hours for 2.5 M peaks", "1 rank"):
        assert word in table.out
    (found,) = json.loads(run(*command, "--json").out)["runs"]
    assert found["hours"] == pytest.approx(1e6 / found["peaks_per_s"] / 3600)
    assert found["tokens_per_s"] == pytest.approx(21 * found["peaks_per_s"])
    assert run(*command, "--ranks", "one").code == 2
    assert "at least 1 is needed" in run(*command, "--ranks", "0").err


def test_remote_code_is_refused_without_the_flag(run, tmp_path):
    from toy_hub import write_remote  # noqa: PLC0415 (safetensors and tokenizers)

    model = write_remote(tmp_path / "remote")
    assert "give --trust-remote-code" in run("benchmark", "--model", model).err
    done = run("benchmark", "--model", model, "--trust-remote-code", "--seconds", 0.1, "--json")
    assert done.code == 0, done.err


def test_build_of_gzip_peaks_and_peak_fasta(run, world, toy_esm, tmp_path):
    fasta = tmp_path / "peaks.fa"
    fasta.write_text(">chr1:100-160\n" + "ACGTTG" * 10 + "\n>chr1:300-360\n" + "GATTAC" * 10 + "\n")
    (tmp_path / "peaks.bed").write_text("chr1\t100\t160\nchr1\t300\t360\n")
    done = run("atlas", "build", fasta, tmp_path / "peaks.bed", tmp_path / "a.zarr",
               "--model", toy_esm, "--json")  # fmt: skip
    assert done.code == 0, done.err
    assert json.loads(done.out.splitlines()[-1])["n_intervals"] == 2


def test_lookup_keeps_the_input_order(run, built, tmp_path):
    peaks = tmp_path / "query.bed"
    peaks.write_text("chr1\t1910\t2410\nchr1\t1000\t1500\nchr1\t50000\t50010\nchr9\t5\t10\n")
    table = tmp_path / "table.tsv"
    done = run("atlas", "lookup", built, peaks, "-o", table, "--max-offset", 20)
    assert done.code == 0, done.err
    assert "1 exact" in done.err
    found = pd.read_csv(table, sep="\t")
    assert found.tier.tolist() == ["overlap", "exact", "missing", "missing"]
    assert found.row.tolist()[:2] == [1, 0]
    assert found.overlap_bp.tolist()[0] == 490
    assert found.centre_offset_bp.tolist()[0] == 10


def test_lookup_prints_to_the_terminal(run, built, world):
    lines = run("atlas", "lookup", built, world / "peaks.bed").out.splitlines()
    assert lines[0].split("\t")[:4] == ["chrom", "start", "end", "tier"]
    assert len(lines) == 61


def test_lookup_finds_the_same_sequence_with_a_genome(run, built, world, tmp_path):
    peaks = tmp_path / "query.bed"
    peaks.write_text("chr1\t1050\t1450\n")  # the window about its centre is that of row 0
    lines = run("atlas", "lookup", built, peaks, "--genome", world / "genome.fa").out.splitlines()
    assert lines[1].split("\t")[3:5] == ["sequence", "0"]


def test_train_writes_a_bundle(run, world, built, tmp_path):
    out = tmp_path / "bundle"
    done = run("train", world / "reference.h5ad", "--labels", "cell_type", "--atlas", built,
               "-o", out)  # fmt: skip
    assert done.code == 0, done.err
    assert {file.suffix for file in out.iterdir()} == {".safetensors", ".json"}


def test_annotate_labels_the_query(run, world, built, trained, tmp_path):
    out, report = tmp_path / "annotated.h5ad", tmp_path / "report.html"
    done = run("annotate", world / "query.h5ad", "--model", trained, "--atlas", built,
               "-o", out, "--report", report)  # fmt: skip
    assert done.code == 0, done.err
    annotated = ad.read_h5ad(out)
    labels = annotated.obs["peakatlas_label"].astype(str)
    assigned = labels != "Unassigned"
    assert assigned.mean() > 0.5
    assert (labels == annotated.obs["cell_type"])[assigned].mean() > 0.9
    assert annotated.obs["peakatlas_confidence"].between(0, 1).all()
    assert annotated.obsm["X_peakatlas"].shape[0] == annotated.n_obs
    assert np.isfinite(annotated.obsm["X_peakatlas"]).all()
    record = json.loads(annotated.uns["peakatlas"]["record"])
    assert record["tiers"]["exact"] == 30
    assert record["tiers"]["missing"] == 30
    assert "30 exact, 30 missing (chr1:2030-2530, chr1:3830-4330, " in done.err
    assert (annotated.var["peakatlas_tier"] == "missing").sum() == 30
    page = report.read_text("utf-8")
    assert page.lstrip().lower().startswith("<!doctype html>")
    again = tmp_path / "again.html"
    done = run(
        "report", out, "-o", again, "--labels", "cell_type", "--title", "Once more", "--json"
    )
    assert done.code == 0, done.err
    assert json.loads(done.out) == {"path": str(again), "cells": 45}
    assert "<title>Once more</title>" in again.read_text("utf-8")
    assert "obs has no column 'x'" in run("report", out, "-o", again, "--batch", "x").err
    assert "holds no annotation" in run("report", world / "query.h5ad", "-o", again).err
    assert "Once more" in again.read_text("utf-8")


def test_annotate_embeds_misses_and_appends_them(run, world, built, trained, tmp_path):
    atlas = shutil.copytree(built, tmp_path / "atlas.zarr")
    out = tmp_path / "out.h5ad"
    done = run("annotate", world / "query.h5ad", "--model", trained, "--atlas", atlas,
               "--genome", world / "genome.fa", "--append", "-o", out)  # fmt: skip
    assert done.code == 0, done.err
    record = json.loads(ad.read_h5ad(out).uns["peakatlas"]["record"])
    assert record["tiers"]["embedded"] == 30
    assert json.loads(run("atlas", "info", atlas, "--json").out)["n_intervals"] == 90


@pytest.mark.parametrize("arguments", [("atlas", "info"), ("annotate", "x.h5ad"), ("nonsense",)])
def test_usage_errors_exit_2(run, arguments):
    assert run(*arguments).code == 2


def test_debug_shows_the_traceback(run, tmp_path):
    plain = run("atlas", "info", tmp_path / "none.zarr")
    debug = run("atlas", "info", tmp_path / "none.zarr", "--debug")
    assert plain.code == debug.code == 1
    assert "Traceback" not in plain.err
    assert "Traceback" in debug.err
    assert debug.err.splitlines()[-1] == plain.err.splitlines()[-1]


def test_unforeseen_errors_say_so():
    assert error_line(KeyError("x")) == (
        "KeyError: 'x'. Not foreseen; --debug shows where it comes from."
    )
    assert error_line(FileNotFoundError(2, "No such file or directory", "a.bed")) == (
        "a.bed: no such file or directory. Check the path."
    )


def test_table_aligns_numbers_to_the_right(capsys):
    print_table(["name", "n"], [["a", "5"], ["bcd", "1,000"]])
    assert capsys.readouterr().out == "name      n\na         5\nbcd   1,000\n"


def test_a_column_that_is_not_there_is_noticed_before_any_work(
    run, world, built, trained, tmp_path
):
    out = tmp_path / "out.h5ad"
    done = run(
        "annotate", world / "query.h5ad", "--bundle", trained, "--atlas", built, "-o", out,
        "--report", tmp_path / "r.html", "--labels", "nope",
    )  # fmt: skip
    assert done.code == 1
    assert "error: obs has no column 'nope'; columns there are: cell_type." in done.err
    assert "looking up its peaks" not in done.err and not out.exists()
