"""The Markov yardstick against counting by hand."""

import numpy as np

from peakatlas.engine.pretrain.markov import MarkovModel


def ascii_of(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), np.uint8)


def test_bits_are_minus_log2_of_counted_frequencies_on_both_strands() -> None:
    dna = "AACGN" + "AAGT" * 3
    model = MarkovModel.fit(ascii_of(dna), order=1)
    complement = dna[::-1].translate(str.maketrans("ACGT", "TGCA"))
    pairs = [s[i : i + 2] for s in (dna, complement) for i in range(len(s) - 1)]

    def naive(context: str, base: str) -> float:
        after = [1 + pairs.count(context + b) for b in "ACGT"]
        return float(-np.log2((1 + pairs.count(context + base)) / sum(after)))

    bits = model.bits(ascii_of("AAGTC")[None])
    expected = [2.0, naive("A", "A"), naive("A", "G"), naive("G", "T"), naive("T", "C")]
    np.testing.assert_allclose(bits[0], expected)


def test_random_dna_costs_two_bits_a_base() -> None:
    rng = np.random.default_rng(1)
    dna = ascii_of("".join(rng.choice(list("ACGT"), size=200_000)))
    bits = MarkovModel.fit(dna, order=2).bits(dna[None, :50_000])
    assert abs(bits.mean() - 2.0) < 0.002
