"""The embedding's targets: sums over bases, alike on both strands, of k-mers and motifs."""

import numpy as np
import pytest
import torch

from peakatlas.engine.errors import ModelError
from peakatlas.engine.pretrain.motif_bank import MotifBank, log_odds, read_motifs
from peakatlas.engine.pretrain.spectrum import (
    by_composition,
    canonical_columns,
    canonical_shares,
    cpg_counts,
    fit_spectrum,
    kmer_at,
)

JASPAR = """>MA1 GATA
A [ 0 9 0 9 ]
C [ 0 0 0 0 ]
G [ 9 0 0 0 ]
T [ 0 0 9 0 ]
>MA2 E-box  x
A [ 0 9 0 0 0 0 ]
C [ 9 0 9 0 0 0 ]
G [ 0 0 0 9 0 9 ]
T [ 0 0 0 0 9 0 ]
"""


def drawn(n, bp, seed=0):
    return np.random.default_rng(seed).integers(0, 4, (n, bp)).astype(np.uint8)


def codes_of(dna):
    return np.array([["ACGTN".index(letter) for letter in dna]], np.uint8)


@pytest.fixture
def motifs(tmp_path):
    (tmp_path / "motifs.txt").write_text(JASPAR)
    return read_motifs(tmp_path / "motifs.txt")


@pytest.fixture
def bank(motifs):
    return MotifBank.build(motifs, drawn(200, 120))


def test_motifs_are_read_by_name(motifs):
    assert list(motifs) == ["MA1 GATA", "MA2 E-box x"]
    assert motifs["MA1 GATA"].shape == (4, 4)
    assert motifs["MA2 E-box x"][3].tolist() == [0, 0, 0, 0, 9, 0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no motif here", "no motif found. Give a file in JASPAR format"),
        (">m x\nA [ 1 2 ]\nC [ 1 ]\nG [ 1 2 ]\nT [ 1 2 ]\n", "motif 'm x' has not four rows"),
        (">m x\nA [ 1 2 ]\nC [ 1 2 ]\nT [ 1 2 ]\n", "motif 'm x' has not four rows"),
    ],
)
def test_what_is_no_motif_is_refused(tmp_path, text, said):
    (tmp_path / "bad.txt").write_text(text)
    with pytest.raises(ModelError, match=said):
        read_motifs(tmp_path / "bad.txt")


def test_a_site_scores_at_its_centre_on_either_strand(motifs, bank):
    share = np.full(4, 0.25)
    site = float(log_odds(motifs["MA1 GATA"], share).max(axis=0).sum())
    for dna, strand, centre in (("TTTTTTTGATATTTTTT", 0, 9), ("TTTTTTTATCTTTTTT", 1, 7)):
        scores = bank.scores(codes_of(dna))[0, :, 2 * strand]
        assert int(scores.argmax()) == centre
        assert float(scores.max()) == pytest.approx(site, rel=0.05)


def test_one_in_a_thousand_places_passes_a_threshold(bank):
    found = bank.scores(drawn(400, 200, seed=9))[:, 10:-10]
    passed = (found >= bank.thresholds).float().mean((0, 1))
    assert ((passed > 2e-4) & (passed < 6e-3)).all()


def test_unknown_bases_hold_no_motif(bank):
    assert float(bank.occupancy(np.full((1, 30), 4, np.uint8)).max()) < 0.01


def test_kmers_are_centred_and_broken_by_unknown_bases():
    index = kmer_at(codes_of("ACGTAN"))[0]
    assert index.tolist() == [1024, 1024, int("01230", 4), 1024, 1024, 1024]


def test_shares_count_a_kmer_and_its_reverse_complement_as_one():
    codes = drawn(5, 60)
    np.testing.assert_array_equal(canonical_shares(codes), canonical_shares(3 - codes[:, ::-1]))
    assert canonical_columns()[1] == 512
    np.testing.assert_allclose(canonical_shares(codes).sum(axis=1), 56 / 60)


@pytest.mark.parametrize("with_motifs", [False, True])
def test_targets_are_the_same_on_both_strands_and_tell_what_they_were_fitted_to(bank, with_motifs):
    codes = drawn(600, 120)
    spectrum = fit_spectrum(codes, bank if with_motifs else None, 16, np.random.default_rng(1))
    here = spectrum.targets(codes)
    there = spectrum.targets(np.ascontiguousarray(3 - codes[:, ::-1]))
    torch.testing.assert_close(here.mean(1), there.mean(1), atol=2e-3, rtol=1e-3)
    assert here.shape == (600, 20, 16)
    assert float(here.mean(1).var(0).sum()) == pytest.approx(spectrum.variance, rel=0.01)
    assert float(here.mean((0, 1)).abs().max()) < 1e-4
    # linear in the shares of 5-mers and the occupancies
    shares = canonical_shares(codes)
    if with_motifs:
        shares = np.hstack([shares, bank.occupancy(codes).mean(1).numpy()])
    design = np.hstack([shares, np.ones((600, 1))])
    values = here.mean(1).double().numpy()
    left = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
    assert left.var() < 1e-4 * values.var()


def test_windows_rich_in_cg_are_drawn_as_often_as_poor_ones():
    rng = np.random.default_rng(0)
    poor, rich = drawn(2000, 60), np.tile([1, 2], (20, 30)).astype(np.uint8)
    chosen = by_composition(np.concatenate([poor, rich]), 100, rng)
    assert (cpg_counts(chosen) >= 29).sum() >= 8
