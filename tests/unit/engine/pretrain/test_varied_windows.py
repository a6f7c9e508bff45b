"""Windows of few repeats and of all densities of CG, and what counts as a repeat."""

import numpy as np
import pytest

from peakatlas.engine.dna.sequences import COMPLEMENT, Sequences
from peakatlas.engine.pretrain.repeats import Repeats
from peakatlas.engine.pretrain.varied_windows import VariedWindows, by_composition, cpg_counts
from peakatlas.engine.pretrain.windows import WindowSampler
from peakatlas.engine.tokens.letters import letter_codes

ACGT = np.frombuffer(b"ACGT", np.uint8)


def drawn(bp, seed=0):
    return ACGT[np.random.default_rng(seed).integers(0, 4, bp)]


@pytest.fixture(scope="module")
def element():
    return drawn(60, seed=7)


@pytest.fixture(scope="module")
def genome(element):
    """300 kb, half of it copies of a mobile element on both strands."""
    parts = []
    for copy in range(2500):
        parts += [drawn(60, seed=100 + copy), element if copy % 2 else COMPLEMENT[element[::-1]]]
    return np.concatenate(parts)


def test_what_has_many_copies_on_either_strand_is_repeated(genome, element):
    repeats = Repeats.count(genome)
    both = letter_codes(np.stack([element, COMPLEMENT[element[::-1]], drawn(60, seed=3)]))
    np.testing.assert_allclose(repeats.share(both), [1, 1, 0])


def test_unknown_bases_are_no_repeat():
    letters = np.concatenate([drawn(500), np.full(5000, ord("N"), np.uint8)])
    assert not Repeats.count(letters).repeated.any()


def test_windows_hold_few_repeats(genome):
    rng = np.random.default_rng(0)
    unique = drawn(200_000, seed=5)
    stretches = Sequences.from_lengths(
        np.concatenate([genome, unique]), np.array([len(genome), len(unique)])
    )
    sampler = WindowSampler(stretches, 180)
    repeats = Repeats.count(stretches.data)
    codes = VariedWindows(sampler).draw(40, rng)
    assert codes.shape == (40, 180)
    assert repeats.share(codes).max() <= 0.1
    assert repeats.share(letter_codes(sampler.draw(200, rng))).mean() > 0.2


def test_a_genome_of_repeats_alone_still_has_windows(genome):
    sampler = WindowSampler(Sequences.from_lengths(genome, np.array([len(genome)])), 180)
    assert VariedWindows(sampler).draw(30, np.random.default_rng(0)).shape == (30, 180)


def test_windows_rich_in_cg_are_drawn_as_often_as_poor_ones():
    rng = np.random.default_rng(0)
    poor = rng.integers(0, 4, (2000, 60)).astype(np.uint8)
    rich = np.tile([1, 2], (20, 30)).astype(np.uint8)
    chosen = by_composition(np.concatenate([poor, rich]), 100, rng)
    assert (cpg_counts(chosen) >= 29).sum() >= 8
