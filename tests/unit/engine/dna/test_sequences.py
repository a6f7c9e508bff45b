"""Flat sequences against python strings."""

import hashlib

import numpy as np
import pytest

from peakatlas.engine.dna.sequences import Sequences

TEXTS = ["ACGTN", "", "acgtrykm", "NNNN"]


@pytest.fixture
def dna():
    return Sequences.from_strings(TEXTS)


def test_strings_come_back_in_upper_case(dna):
    assert [dna[i] for i in range(len(dna))] == [text.upper() for text in TEXTS]
    assert dna[-1] == "NNNN"
    with pytest.raises(IndexError, match="row 4 of 4 sequences"):
        dna[4]


@pytest.mark.parametrize(
    ("rows", "kept"), [([2, 0, 2], [2, 0, 2]), ([True, False, False, True], [0, 3]), ([-1], [3])]
)
def test_take(dna, rows, kept):
    taken = dna.take(rows)
    assert [taken[i] for i in range(len(taken))] == [TEXTS[row].upper() for row in kept]


def test_take_nothing(dna):
    assert len(dna.take(np.empty(0, np.int64))) == 0


def test_reverse_complement_knows_iupac_letters_and_is_its_own_inverse(dna):
    flipped = dna.reverse_complement()
    assert [flipped[i] for i in range(4)] == ["NACGT", "", "KMRYACGT", "NNNN"]
    again = flipped.reverse_complement()
    assert np.array_equal(again.data, dna.data)


def test_digests_are_blake2b_of_the_upper_case_letters(dna):
    expected = [hashlib.blake2b(t.upper().encode(), digest_size=16).digest() for t in TEXTS]
    assert [row.tobytes() for row in dna.digests()] == expected


def test_n_fraction_counts_everything_but_acgt(dna):
    np.testing.assert_allclose(dna.n_fraction(), [0.2, 1.0, 0.5, 1.0])
    assert dna.n_fraction().dtype == np.float32


def test_the_letters_of_rna_are_those_of_dna():
    rna, dna = Sequences.from_strings(["ACGUuu", "GGU"]), Sequences.from_strings(["ACGTTT", "GGT"])
    assert [rna[0], rna[1]] == ["ACGTTT", "GGT"] and rna.n_fraction().tolist() == [0, 0]
    assert (rna.digests() == dna.digests()).all()
    assert rna.reverse_complement()[0] == "AAACGT"
