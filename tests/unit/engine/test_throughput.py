"""The user's benchmark: counts worked out by hand, a machine's speed, ranks side by side."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from peakatlas.engine.embedder import Embedder
from peakatlas.engine.errors import PeakAtlasError, WorldSizeError
from peakatlas.engine.run.meter import Meter
from peakatlas.engine.throughput import RandomGenome, _expect, gemm_peak, measure, measure_ranks


def test_work_is_counted_as_worked_out_by_hand(toy_esm):
    embedder = Embedder.load(str(toy_esm), window="centre:120", strand="both")
    source = RandomGenome()
    embedder.embed(source.draw(5, 120), source)
    # 20 six-mers and CLS; two layers of 4 x 32 x 32 + 2 x 32 x 96 weights; both strands
    assert (embedder.peaks_done, embedder.tokens_done) == (5, 2 * 5 * 21)
    a_sequence = 2 * 21 * 2 * (4 * 32 * 32 + 2 * 32 * 96) + 2 * 2 * (2 * 21 * 21 * 32)
    assert embedder.flops_done == 2 * 5 * a_sequence


@pytest.mark.parametrize("name", ["grover", "nt-v2"])
def test_linear_weights_of_every_family_are_those_of_its_layers(tmp_path, name):
    from toy_hub import write_grover, write_nt_v2  # noqa: PLC0415

    path = {"grover": write_grover, "nt-v2": write_nt_v2}[name](tmp_path / name)
    matrices = {"grover": 2, "nt-v2": 3}[name]
    loaded = Embedder.load(str(path))._model
    assert loaded.linear_weights == 2 * (4 * 32 * 32 + matrices * 32 * 48)


def test_random_dna_is_what_its_intervals_say():
    source = RandomGenome(seed=3)
    peaks = source.draw(6, 50, seed=1)
    dna, whole = source.fetch(peaks), source.draw(1, 1 << 19)
    assert dna.lengths.tolist() == [50] * 6
    again = RandomGenome(seed=3).fetch(peaks)
    assert [dna[i] for i in range(6)] == [again[i] for i in range(6)]
    letters = np.bincount(source.fetch(whole).data, minlength=256)[list(b"ACGT")]
    assert letters.sum() == 1 << 19
    assert letters.min() > 0.24 * letters.sum()


def test_measure_gives_consistent_figures(toy_esm):
    done = measure(Embedder.load(str(toy_esm), window="centre:120"), seconds=0.1)
    assert done.n_peaks == pytest.approx(done.peaks_per_s * done.seconds)
    assert done.tokens_per_s == pytest.approx(21 * done.peaks_per_s)
    assert 0 < done.share_of_measured_gemm < 1
    assert done.share_of_datasheet_peak is None
    assert done.hours(3600 * done.peaks_per_s) == pytest.approx(1)
    assert done.memory_bytes > 1e7
    assert done.to_json()["share_of_measured_gemm"] == done.share_of_measured_gemm
    a_card = replace(done, datasheet_flops_per_s=2 * done.flops_per_s)
    assert a_card.share_of_datasheet_peak == 0.5


def test_fp32_products_are_measured_in_fp32():
    fp32 = gemm_peak(torch.device("cpu"), "fp32")
    assert 1e8 < fp32 < 1e14


def test_two_ranks_side_by_side(toy_esm):
    done = measure_ranks({"model": str(toy_esm), "window": "centre:120"}, 2, seconds=0.1)
    assert (done.ranks, done.model) == (2, toy_esm.name)
    assert done.peaks_per_s > 0


def test_a_rank_that_fails_or_dies_is_an_error():
    with pytest.raises(WorldSizeError, match="at least 1 is needed"):
        measure_ranks({}, 0)
    says = "import json; print(json.dumps({'error': 'no such model'}))"
    for code, error in ((says, PeakAtlasError), ("raise SystemExit(3)", WorldSizeError)):
        rank = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        with rank, pytest.raises(error, match=r"no such model|without a result \(exit code 3\)"):
            _expect(rank)


class Counts:
    peaks_done, tokens_done, flops_done = 7, 70, 7e9


def test_peaks_that_were_done_before_bring_the_end_nearer_but_no_speed():
    now, worker = [10.0], Counts()
    meter = Meter(1000, worker, ranks=2, clock=lambda: now[0])
    meter.advance(600)
    assert meter.text() == ""
    now[0], worker.peaks_done, worker.tokens_done = 20.0, 57, 5070
    meter.advance(50)
    assert meter.text() == "5 peaks/s, 500 tokens/s, 0:00:35 left"
