"""The limit that the library names is the one that the committed measurement gives."""

import json
from pathlib import Path

import numpy as np
import pytest
from benchmark_scripts import benchmark_script

from peakatlas.atlas import RECOMMENDED_MAX_OFFSET
from peakatlas.engine.intervals.table import Intervals

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture(scope="module")
def fidelity():
    return benchmark_script("fidelity")


def test_the_recommended_limit_follows_from_the_table(fidelity):
    result = json.loads((BENCHMARKS / "results" / "fidelity.json").read_text())
    assert fidelity.recommended(result["table"]) == RECOMMENDED_MAX_OFFSET
    assert result["recommended_max_offset"] == RECOMMENDED_MAX_OFFSET
    assert result["peaks"] >= 2000


def test_tiles_are_those_that_a_loop_finds(fidelity):
    start = np.array([0, 1, 127, 128, 509, 510, 5001]) + 5120
    peaks = Intervals(("c",), np.zeros(len(start), np.int32), start, start + fidelity.WIDTH)
    owner, tile = fidelity.tiles_of(peaks)
    grid = np.arange(0, 20_000, fidelity.TILE_STEP)
    expected = [
        (i, int(g))
        for i, s in enumerate(start)
        for g in grid
        if g < s + fidelity.WIDTH and s < g + fidelity.WIDTH
    ]
    assert list(zip(owner.tolist(), tile.tolist(), strict=True)) == expected


def test_judging_equals_a_loop(fidelity):
    rng = np.random.default_rng(0)
    own = rng.standard_normal((40, 5)).astype(np.float32) + 3
    other = own + rng.standard_normal((40, 5)).astype(np.float32)
    a, b = own - own.mean(axis=0), other - own.mean(axis=0)
    cosine = [[x @ y / np.sqrt((x @ x) * (y @ y)) for y in a] for x in b]
    found = fidelity.judged(own, other)
    assert found["centred_cosine"] == pytest.approx(np.diag(cosine).mean(), abs=1e-3)
    hits = [int(np.argmax(row)) == i for i, row in enumerate(cosine)]
    assert found["own_peak_top1"] == pytest.approx(np.mean(hits), abs=1e-4)
    assert 0 < np.mean(hits) < 1
