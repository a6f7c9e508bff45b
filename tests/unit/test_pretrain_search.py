"""The search over recipes: what its variants change, and what it takes from an earlier run."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from benchmark_scripts import benchmark_script

from peakatlas.engine.pretrain.masking import HIDDEN_ID, hide_tokens
from peakatlas.engine.pretrain.recipe import Recipe


@pytest.fixture(scope="module")
def search():
    return benchmark_script("pretrain_search")


def test_runs_are_hidden_at_the_rate_of_single_tokens(search):
    codes = np.random.default_rng(0).integers(0, 4, (400, 510)).astype(np.uint8)
    runs = search.hide_runs(codes, 0.15, np.random.default_rng(1), n_shown=2)
    assert not runs.hidden[:2].any()
    assert runs.hidden[2:].mean() == pytest.approx(0.15, abs=0.01)
    np.testing.assert_array_equal(runs.inputs == HIDDEN_ID, runs.hidden)
    single = hide_tokens(codes, 0.15, np.random.default_rng(1))
    np.testing.assert_array_equal(runs.targets, single.targets)
    after = runs.hidden[2:, 1:][runs.hidden[2:, :-1]].mean()
    assert after > 0.7  # of a run of four, three go on


def test_a_variant_changes_one_thing(search):
    base = Recipe(steps=9)
    for name, recipe in search.variants(base).items():
        changed = {
            key
            for key, value in asdict(recipe).items()
            if value != asdict(base)[key] and key != "network"
        }
        assert len(changed) <= (3 if "half as many" in name else 1), name
        assert recipe.steps == 9


def test_an_earlier_run_counts_if_it_had_as_many_steps(search, tmp_path):
    file = tmp_path / "search.json"
    file.write_text(json.dumps({"steps": 500, "variants": {"2 layers": {"bits_per_base": 1.9}}}))
    assert search.measured(file, 500) == {"2 layers": {"bits_per_base": 1.9}}
    assert search.measured(file, 400) == {}
    assert search.measured(None, 500) == {}
