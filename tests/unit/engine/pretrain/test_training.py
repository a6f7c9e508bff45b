"""Pretraining: what is hidden, that it learns, and that a stopped run continues exactly."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from peakatlas.engine.dna.sequences import Sequences
from peakatlas.engine.embedder import Embedder
from peakatlas.engine.errors import ModelError
from peakatlas.engine.intervals.readers import parse_names
from peakatlas.engine.models.letter_network import LetterConfig, LetterModel
from peakatlas.engine.models.peaklm import read_model
from peakatlas.engine.pretrain.evaluation import HoldoutWindows
from peakatlas.engine.pretrain.masking import HIDDEN_ID, hide_tokens
from peakatlas.engine.pretrain.recipe import Recipe
from peakatlas.engine.pretrain.training import Pretraining, pretrain, sum_over_ranks
from peakatlas.engine.run.distributed import RankState
from peakatlas.engine.tokens.letters import token_letters

TINY = Recipe(
    context_tokens=8,
    network=LetterConfig(
        hidden_size=16, embedding_size=8, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, n_filters=4,
    ),
    minibatch=8,
    clean_windows=2,
    steps=6,
    warmup=2,
    spectrum_windows=64,
    eval_windows=8,
    eval_every=3,
)  # fmt: skip

TWO_RANKS = """
import sys
from dataclasses import replace
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from test_training import TINY
from peakatlas.engine.run.distributed import rank_state
from peakatlas.engine.intervals.readers import parse_names
from peakatlas.engine.pretrain.training import pretrain
pretrain([Path(sys.argv[1])], parse_names(["c:0-1000"]), Path(sys.argv[2]), TINY,
         state=rank_state(2))
"""


def random_dna(n: int, seed: int = 0) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), size=n))


def begin(out: Path, recipe: Recipe = TINY) -> Pretraining:
    train = Sequences.from_strings([random_dna(3000)])
    return Pretraining(train, Sequences.from_strings([random_dna(1000, 1)]), out, recipe)


def test_hidden_tokens_show_none_of_their_letters() -> None:
    codes = np.random.default_rng(0).integers(0, 4, (200, 60)).astype(np.uint8)
    batch = hide_tokens(codes, 0.15, np.random.default_rng(0))
    assert abs(batch.hidden.mean() - 0.15) < 0.02
    assert (batch.inputs[batch.hidden] == HIDDEN_ID).all()
    shown = ~batch.hidden
    letters = codes.reshape(200, 10, 6)
    np.testing.assert_array_equal(token_letters()[batch.inputs[shown]], letters[shown])
    np.testing.assert_array_equal(batch.targets, letters.astype(int) @ 4 ** np.arange(5, -1, -1))


def test_learning_rate_warms_up_then_decays_to_a_fiftieth() -> None:
    recipe = Recipe(steps=100, warmup=10)
    assert recipe.share_of_peak(0) == pytest.approx(0.1)
    assert recipe.share_of_peak(10) == pytest.approx(1.0)
    assert recipe.share_of_peak(55) == pytest.approx(0.51)
    assert recipe.share_of_peak(100) == pytest.approx(0.02)


@pytest.mark.parametrize("values", [{"clean_windows": 32}, {"mask_rate": 0.0}, {"steps": 0}])
def test_a_recipe_that_cannot_be_followed_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(ModelError):
        Recipe(**values)


def test_a_model_that_knows_nothing_loses_two_bits_a_base() -> None:
    held_out_windows = HoldoutWindows.draw(Sequences.from_strings([random_dna(5000)]), TINY)
    model = LetterModel(TINY.network)
    torch.nn.init.zeros_(model.kmer_head.weight)
    torch.nn.init.zeros_(model.kmer_head.bias)
    assert held_out_windows.bits_per_base(model) == pytest.approx(2, abs=0.01)
    seen = np.frombuffer(random_dna(50_000, 2).encode(), np.uint8)
    assert held_out_windows.markov_bits_per_base(seen) == pytest.approx(2, abs=0.2)


class StoppedError(Exception):
    """Stands for a kill between two steps."""


def test_a_stopped_run_continues_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(tmp_path / "whole").run()
    stopped = begin(tmp_path / "stopped")
    step = stopped.train_step

    def stop_at_four() -> np.ndarray:
        if stopped.step == 4:
            raise StoppedError
        return step()

    monkeypatch.setattr(stopped, "train_step", stop_at_four)
    with pytest.raises(StoppedError):
        stopped.run()
    continued = begin(tmp_path / "stopped")
    assert continued.step == 3
    continued.run()
    whole = load_file(tmp_path / "whole" / "model.safetensors")
    again = load_file(tmp_path / "stopped" / "model.safetensors")
    assert whole.keys() == again.keys()
    for name, weight in whole.items():
        np.testing.assert_array_equal(weight, again[name])
    log = [json.loads(line) for line in (tmp_path / "whole/training_log.jsonl").open()]
    assert [entry["step"] for entry in log] == [3, 6]


def test_a_run_of_another_recipe_is_refused(tmp_path: Path) -> None:
    begin(tmp_path).run()
    with pytest.raises(ModelError, match="made by another recipe"):
        begin(tmp_path, Recipe(**{**vars(TINY), "seed": 1}))


def test_it_learns_what_follows_what_and_the_spectrum(tmp_path: Path) -> None:
    unit = random_dna(60, 3)  # a repeat: what is hidden can be told
    train = Sequences.from_strings([unit * 60])
    recipe = Recipe(**{**vars(TINY), "steps": 150, "eval_every": 150, "minibatch": 16})
    run = Pretraining(train, Sequences.from_strings([unit * 20]), tmp_path, recipe)
    before = run.holdout.bits_per_base(run.model)
    told: list[dict[str, float]] = []
    run.run(told.append)
    assert before > 1.9
    assert told[-1]["holdout_bits_per_base"] < 1.4
    assert len(told) == 150
    summary = json.loads((tmp_path / "pretraining.json").read_text())
    assert summary["bits_per_base"] == pytest.approx(told[-1]["holdout_bits_per_base"], abs=1e-3)
    values = Embedder.load(str(tmp_path)).embed_sequences(Sequences.from_strings([unit * 5]))
    expected = read_model(tmp_path)
    assert values.shape == (1, expected.config.embedding_size)


def test_two_processes_learn_what_one_does(tmp_path: Path) -> None:
    fasta = tmp_path / "g.fa"
    fasta.write_text(f">c\n{random_dna(5000)}\n")
    pretrain([fasta], parse_names(["c:0-1000"]), tmp_path / "one", TINY)
    (tmp_path / "two.py").write_text(TWO_RANKS)
    subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2",
         "--master_port", "29617", str(tmp_path / "two.py"), str(fasta), str(tmp_path / "two"),
         str(Path(__file__).parent)],
        check=True, capture_output=True, timeout=300,
    )  # fmt: skip
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    for name, weight in one.items():
        # bfloat16 sums in another order; a lone half of the windows would be off by .01 and more
        assert np.abs(two[name].astype(float) - weight).mean() < 0.004, name
    logs = [
        [json.loads(line) for line in (tmp_path / name / "training_log.jsonl").open()]
        for name in ("one", "two")
    ]
    for key in ("holdout_bits_per_base", "train_loss", "embedding_loss"):
        values = [[entry[key] for entry in log] for log in logs]
        np.testing.assert_allclose(values[1], values[0], rtol=0.05)  # half a step is half of it


def test_more_processes_than_windows_are_refused(tmp_path: Path) -> None:
    train = Sequences.from_strings([random_dna(3000)])
    many = RankState(rank=0, world_size=5, device="cpu")
    with pytest.raises(ModelError, match=r"5 processes cannot share the 4 windows .* Start fewer"):
        Pretraining(train, train, tmp_path, TINY, state=many)


def test_a_run_goes_on_with_the_same_inputs_only(tmp_path: Path) -> None:
    begin(tmp_path)._save_checkpoint()
    assert begin(tmp_path).step == 0
    dna = Sequences.from_strings([random_dna(6000, seed=9)])
    first = begin(tmp_path)
    with pytest.raises(ModelError, match=r"was made with another genome and holdout\. Give that"):
        Pretraining(dna, dna, tmp_path, first.recipe)


def test_gradients_of_all_ranks_are_summed_by_one_message(monkeypatch):
    messages = []

    def all_reduce(tensor):
        messages.append(len(tensor))
        tensor *= 2

    monkeypatch.setattr("torch.distributed.all_reduce", all_reduce)
    loss, matrix = torch.tensor([1.0, 2.0]), torch.arange(6.0).view(2, 3).t()
    sum_over_ranks([loss, matrix])
    assert messages == [8]
    assert loss.tolist() == [2.0, 4.0]
    assert matrix.tolist() == [[0.0, 6.0], [2.0, 8.0], [4.0, 10.0]]
