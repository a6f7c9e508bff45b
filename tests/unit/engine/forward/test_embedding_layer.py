"""Filters over letters equal a plain convolution, within a sequence and on both strands."""

import numpy as np
import torch
from torch.nn import functional

from peakatlas.engine.dna.sequences import Sequences
from peakatlas.engine.forward.embedding_layer import (
    FILTER_WIDTH,
    LetterFilters,
    both_strands,
    one_hot_tokens,
    scan_matrix,
)
from peakatlas.engine.forward.linear import PlainLinear
from peakatlas.engine.tokens.letters import LetterTokenizer

CPU = torch.device("cpu")


def drawn_filters(n=3):
    return torch.randn(n, 4, FILTER_WIDTH, generator=torch.Generator().manual_seed(0))


def make_filters(filters):
    """A layer whose mix hands on what the filters found."""
    n = 6 * len(filters)
    return LetterFilters(
        one_hot=one_hot_tokens(CPU, torch.float32),
        scan=PlainLinear(scan_matrix(filters), torch.zeros(n)),
        mix=PlainLinear(torch.eye(n), None),
    )


def convolved(dna, filters):
    """Gelu of a plain convolution over one-hot letters, shape (bases, n_filters)."""
    codes = torch.tensor(["ACGTN".index(letter) for letter in dna])
    letters = functional.one_hot(codes, 5)[:, :4].T.float()
    found = functional.conv1d(letters[None], filters, padding=FILTER_WIDTH // 2)
    return functional.gelu(found[0].T)


def scanned(strings, filters):
    tokens = LetterTokenizer().encode(Sequences.from_strings(strings))
    position = np.concatenate([np.arange(n) for n in tokens.lengths])
    return make_filters(filters)(torch.from_numpy(tokens.ids), torch.from_numpy(position))


def test_filters_are_a_convolution_that_stays_within_its_sequence():
    rng = np.random.default_rng(0)
    strings = ["".join(rng.choice(list("ACGTN"), n)) for n in (24, 6, 60)]
    filters = drawn_filters()
    together = scanned(strings, filters)
    expected = torch.cat([convolved(dna, filters).reshape(-1, 18) for dna in strings])
    torch.testing.assert_close(together, expected, atol=1e-5, rtol=1e-5)


def test_the_second_half_of_the_filters_reads_the_other_strand():
    dna = "ACGTTGCAACCGGTATATCGGGAT"
    other = Sequences.from_strings([dna]).reverse_complement()[0]
    filters, bias = both_strands(drawn_filters(), torch.arange(3.0))
    assert bias.tolist() == [0, 1, 2, 0, 1, 2]
    here, there = convolved(dna, filters), convolved(other, filters)
    torch.testing.assert_close(here[:, :3], there.flip(0)[:, 3:], atol=1e-5, rtol=1e-5)
