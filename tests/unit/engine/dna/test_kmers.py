"""K-mers as numbers, and those that are one with their reverse complement."""

import numpy as np
import pytest

from peakatlas.engine.dna.kmers import canonical_columns, kmer_index, reverse_complements


def codes_of(dna):
    return np.array(["ACGTN".index(letter) for letter in dna], np.uint8)


def test_kmers_are_numbered_in_base_four_and_broken_by_unknown_bases():
    assert kmer_index(codes_of("ACGTNA"), 3).tolist() == [6, 27, -1, -1]
    assert kmer_index(codes_of("TTTTTTTTTTTTTTT"), 15).tolist() == [4**15 - 1]
    assert kmer_index(np.tile(codes_of("CA"), (2, 3)), 1).tolist() == [[1, 0, 1, 0, 1, 0]] * 2


def test_a_reverse_complement_is_read_on_the_other_strand():
    codes = np.random.default_rng(0).integers(0, 4, (3, 40)).astype(np.uint8)
    here = kmer_index(codes, 7)
    there = kmer_index(3 - codes[:, ::-1], 7)[:, ::-1]
    np.testing.assert_array_equal(reverse_complements(7)[here], there)


@pytest.mark.parametrize(("k", "n"), [(1, 2), (2, 10), (5, 512), (6, 2080)])
def test_a_kmer_and_its_reverse_complement_share_a_column(k, n):
    column, n_columns = canonical_columns(k)
    assert n_columns == n
    np.testing.assert_array_equal(column, column[reverse_complements(k)])
    assert len(np.unique(column)) == n
