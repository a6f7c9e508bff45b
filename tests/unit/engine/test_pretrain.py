"""Pretraining: what is sampled, what is hidden, and that a stopped run continues exactly."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from peakatlas.engine.interval_readers import parse_names
from peakatlas.engine.pretrain import (
    Pretraining,
    Recipe,
    WindowSampler,
    learning_rate,
    mask_tokens,
    split_genomes,
)
from peakatlas.engine.sequences import Sequences
from peakatlas.engine.tokens import KmerTokenizer, kmer_vocabulary

TINY = Recipe(
    k=2,
    context_tokens=8,
    hidden_size=16,
    layers=1,
    heads=2,
    ffn_size=16,
    minibatch=4,
    steps=6,
    warmup=2,
    eval_windows=8,
    eval_every=3,
)


def random_dna(n: int, seed: int = 0) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), size=n))


def test_windows_stay_within_a_stretch_hold_no_n_and_come_from_both_strands() -> None:
    stretches = Sequences.from_strings(["A" * 30 + "N" + "A" * 30, "C" * 25, "AC"])
    windows = WindowSampler(stretches, 20).draw(400, np.random.default_rng(0))
    drawn = {bytes(window).decode() for window in windows}
    assert drawn == {"A" * 20, "T" * 20, "C" * 20, "G" * 20}


def test_too_short_dna_is_refused() -> None:
    with pytest.raises(ValueError, match="no stretch of DNA is 20 bp long"):
        WindowSampler(Sequences.from_strings(["ACGT"]), 20)


def test_masking_follows_the_recipe() -> None:
    tokenizer = KmerTokenizer(kmer_vocabulary(3))
    strings = [random_dna(300, seed) for seed in range(200)]
    tokens = tokenizer.encode(Sequences.from_strings(strings))
    batch = mask_tokens(tokens, tokenizer, 0.15, np.random.default_rng(0))
    assert not batch.predicted[:, :2].any()
    assert abs(batch.predicted[:, 2:].mean() - 0.15) < 0.01
    hidden = batch.inputs[batch.predicted]
    assert abs((hidden == tokenizer.mask_id).mean() - 0.8) < 0.02
    kept = hidden == batch.targets[batch.predicted]
    assert abs(kept.mean() - 0.1) < 0.02
    np.testing.assert_array_equal(batch.inputs[~batch.predicted], batch.targets[~batch.predicted])


def test_evaluation_shows_no_predicted_token() -> None:
    tokenizer = KmerTokenizer(kmer_vocabulary(3))
    tokens = tokenizer.encode(Sequences.from_strings([random_dna(300)] * 20))
    batch = mask_tokens(tokens, tokenizer, 0.15, np.random.default_rng(0), hide_all=True)
    assert (batch.inputs == tokenizer.mask_id).sum() == batch.predicted.sum() > 100


def test_learning_rate_warms_up_then_decays_to_a_twentieth() -> None:
    recipe = Recipe(steps=100, warmup=10, learning_rate=1.0)
    assert learning_rate(0, recipe) == pytest.approx(0.1)
    assert learning_rate(10, recipe) == pytest.approx(1.0)
    assert learning_rate(55, recipe) == pytest.approx(0.525)
    assert learning_rate(100, recipe) == pytest.approx(0.05)


def test_held_out_stretch_is_cut_out_of_training(tmp_path: Path) -> None:
    dna = random_dna(4000)
    (tmp_path / "g.fa").write_text(f">c\n{dna}\n")
    train, held_out = split_genomes([tmp_path / "g.fa"], parse_names(["c:1500-2600"]))
    assert [train[0], train[1]] == [dna[:1500], dna[2600:]]
    assert held_out[0] == dna[1500:2600]


def test_held_out_stretch_of_an_absent_contig_is_refused(tmp_path: Path) -> None:
    (tmp_path / "g.fa").write_text(f">c\n{random_dna(2000)}\n")
    with pytest.raises(ValueError, match="0 of 1 held-out stretches found"):
        split_genomes([tmp_path / "g.fa"], parse_names(["d:0-100"]))


class StoppedError(Exception):
    """Stands for a kill between two steps."""


def test_a_stopped_run_continues_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = Sequences.from_strings([random_dna(3000)])
    holdout = Sequences.from_strings([random_dna(1000, 1)])
    Pretraining(train, holdout, tmp_path / "whole", TINY).run()

    stopped = Pretraining(train, holdout, tmp_path / "stopped", TINY)
    step = stopped._train_step

    def stop_at_four() -> float:
        if stopped.step == 4:
            raise StoppedError
        return step()

    monkeypatch.setattr(stopped, "_train_step", stop_at_four)
    with pytest.raises(StoppedError):
        stopped.run()
    continued = Pretraining(train, holdout, tmp_path / "stopped", TINY)
    assert continued.step == 3
    continued.run()

    whole = load_file(tmp_path / "whole" / "model.safetensors")
    again = load_file(tmp_path / "stopped" / "model.safetensors")
    assert whole.keys() == again.keys()
    for name, weight in whole.items():
        np.testing.assert_array_equal(weight, again[name])
    summary = json.loads((tmp_path / "whole" / "pretraining.json").read_text())
    assert 1.5 < summary["bits_per_base"] < 2.6
    assert summary["markov5_bits_per_base"] > 1.9
