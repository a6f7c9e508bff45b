"""The embedding's targets: sums over bases, alike on both strands, of k-mers and motifs."""

import numpy as np
import pytest
import torch

from peakatlas.engine.errors import ModelError
from peakatlas.engine.pretrain.motif_bank import MotifBank, log_odds, read_motifs
from peakatlas.engine.pretrain.spectrum import (
    canonical_shares,
    find_axes,
    fit_spectrum,
    kmer_at,
    mean_sites,
    sparing,
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


def test_a_best_site_has_affinity_one_and_the_bits_above_the_threshold(bank):
    excess, affinity = bank.sites(codes_of("TTTTTTTGATATTTTTT"))
    assert float(affinity[0, :, 0].max()) == pytest.approx(1, abs=0.05)
    above = float((bank.best - bank.thresholds)[0])
    assert float(excess[0, 9, 0]) == pytest.approx(np.log1p(np.exp(above)), rel=0.05)
    assert float(excess[0, :7, 0].max()) < 0.01 * float(excess[0, 9, 0])


def test_affinity_is_the_root_of_relative_likelihood(motifs, bank):
    odds = log_odds(motifs["MA1 GATA"], np.full(4, 0.25))
    lost = float(odds[:, 3].max() - odds[1, 3])  # GATC for GATA
    affinity = bank.sites(codes_of("TTTTTTTGATCTTTTTT"))[1][0, :, 0]
    assert float(affinity[9]) == pytest.approx(2 ** (-lost / 2), rel=0.2)


def test_unknown_bases_hold_no_motif(bank):
    excess, affinity = bank.sites(np.full((1, 30), 4, np.uint8))
    assert float(excess.max()) < 0.01
    assert float(affinity.max()) < 0.1


def test_kmers_are_centred_and_broken_by_unknown_bases():
    index = kmer_at(codes_of("ACGTAN"))[0]
    assert index.tolist() == [1024, 1024, int("01230", 4), 1024, 1024, 1024]


def test_shares_count_a_kmer_and_its_reverse_complement_as_one():
    codes = drawn(5, 60)
    np.testing.assert_array_equal(canonical_shares(codes), canonical_shares(3 - codes[:, ::-1]))
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
    # linear in the shares of 5-mers and the means of the sites
    shares = canonical_shares(codes)
    if with_motifs:
        shares = np.hstack([shares, *mean_sites(bank, codes)])
    design = np.hstack([shares, np.ones((600, 1))])
    values = here.mean(1).double().numpy()
    left = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
    assert left.var() < 1e-4 * values.var()


def test_what_goes_together_weighs_by_the_cube_root_of_how_many_there_are():
    one, other = np.linalg.qr(np.random.default_rng(0).normal(size=(200, 2)))[0].T * 200**0.5
    weights = sparing(np.stack([one] * 8 + [other], axis=1))
    np.testing.assert_allclose(weights[-1] / weights[:8], 2)
    assert np.sum(weights**2) == pytest.approx(1)


def test_the_first_axis_is_what_varies_most_beside_composition():
    rng = np.random.default_rng(0)
    at_rich = rng.choice(4, (400, 120), p=[0.4, 0.1, 0.1, 0.4])
    codes = np.concatenate([drawn(400, 120), at_rich]).astype(np.uint8)
    gc = ((codes == 1) | (codes == 2)).mean(axis=1)
    latent = rng.normal(size=800)
    by_gc, by_latent = np.linalg.qr(rng.normal(size=(30, 2)))[0].T
    noise = 0.05 * rng.normal(size=(800, 30))
    block = 50 * np.outer(gc, by_gc) + np.outer(latent, by_latent) + noise
    axis = find_axes([block], codes, 1)[:, 0]
    told = (block - 50 * np.outer(gc, by_gc)) @ axis
    assert abs(np.corrcoef(told, latent)[0, 1]) > 0.95
