"""`peakatlas pretrain` from a genome to a model that builds an atlas."""

import json

import pytest

from peakatlas.engine.models.letter_network import LetterConfig
from peakatlas.engine.pretrain import recipe as recipes


@pytest.fixture
def small(monkeypatch):
    """The command with a small model and few windows."""
    network = LetterConfig(
        hidden_size=32, embedding_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, n_filters=4,
    )  # fmt: skip
    values = {"network": network, "minibatch": 8, "clean_windows": 2, "spectrum_windows": 64,
              "eval_windows": 16, "warmup": 2}  # fmt: skip
    real = recipes.Recipe
    monkeypatch.setattr(recipes, "Recipe", lambda **given: real(**(values | given)))


def test_pretrain_build_and_go_on(run, world, tmp_path, small):
    genome, model = world / "genome.fa", tmp_path / "model"
    line = ("pretrain", genome, "--holdout", "chr1:0-1200", "-o", model, "--steps", "4")
    done = run(*line, "--json")
    assert done.code == 0, done.err
    summary = json.loads(done.out.splitlines()[-1])
    assert 1.5 < summary["bits_per_base"] < 2.5
    assert summary["recipe"]["steps"] == 4
    assert "bits a base held out" in done.err
    built = run(
        "atlas", "build", genome, world / "peaks.bed", tmp_path / "a.zarr", "--model", model
    )
    assert built.code == 0, built.err
    again = run(*line)
    assert again.code == 0
    assert f"{summary['bits_per_base']}" in again.out
    other = run(*line, "--seed", "1")
    assert other.code == 1
    assert "was made by another recipe" in other.err


def test_what_cannot_be_held_out_is_named(run, world, tmp_path, small):
    done = run("pretrain", world / "genome.fa", "--holdout", "chrQ:0-1000", "-o", tmp_path / "m")
    assert done.code == 1
    assert "0 of 1 held-out stretches found" in done.err


def test_motifs_in_another_format_are_refused(run, world, tmp_path, small):
    (tmp_path / "motifs.meme").write_text("MEME version 4\n")
    done = run("pretrain", world / "genome.fa", "--holdout", "chr1:0-1200", "-o", tmp_path / "m",
               "--motifs", tmp_path / "motifs.meme")  # fmt: skip
    assert done.code == 1
    assert "no motif found. Give a file in JASPAR format" in done.err
