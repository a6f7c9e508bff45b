"""Motif scores against a letter-by-letter sum, and sites on both strands."""

import numpy as np
import pytest

from peakatlas.engine.dna.motifs import MOTIFS, reverse_complement, score, strongest_sites, weights
from peakatlas.engine.tokens.letters import letter_codes


def dna(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 4, n).astype(np.uint8)


@pytest.mark.parametrize("motif", MOTIFS, ids=lambda motif: motif.name)
def test_score_is_the_sum_of_the_letters_weights(motif):
    codes, matrix = dna(300), weights(motif.consensus, np.full(4, 0.25))
    naive = [
        sum(matrix[j, codes[i + j]] for j in range(len(matrix)))
        for i in range(len(codes) - len(matrix) + 1)
    ]
    np.testing.assert_allclose(score(codes, matrix), naive, rtol=1e-4, atol=1e-4)


def test_weights_are_log_odds():
    matrix = weights("RN", np.array([0.3, 0.2, 0.2, 0.3]))
    np.testing.assert_allclose(2 ** matrix[0] @ [0.3, 0.2, 0.2, 0.3], 1)
    assert matrix[0, 0] < matrix[0, 2]  # A is commoner than G, so says less
    np.testing.assert_allclose(matrix[1], 0)


def test_unknown_letters_score_nothing():
    codes = letter_codes(np.frombuffer(b"AGATAANAGATAAG", np.uint8))
    found = score(codes, weights("WGATAAR", np.full(4, 0.25)))
    assert np.isneginf(found[:7]).all()
    assert np.isfinite(found[7])


def test_sites_are_found_on_both_strands():
    codes = dna(5000)
    for place, word in ((1000, b"AGATAAG"), (3000, b"CTTATCT")):
        codes[place : place + 7] = letter_codes(np.frombuffer(word, np.uint8))
    sites = strongest_sites(codes, "WGATAAR", bp_per_site=500)
    assert {1003, 3003} <= set(sites.tolist())
    assert len(sites) <= 10


def test_too_rare_a_rate_still_gives_the_best_sites():
    assert len(strongest_sites(dna(3000), "WGATAAR", bp_per_site=10**9)) >= 1


def test_reverse_complement_twice_is_the_same():
    matrix = weights("SCTTTGATS", np.full(4, 0.25))
    np.testing.assert_array_equal(reverse_complement(reverse_complement(matrix)), matrix)
