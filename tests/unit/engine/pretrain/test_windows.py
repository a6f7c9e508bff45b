"""What is sampled of a genome, and what is set aside."""

from pathlib import Path

import numpy as np
import pytest

from peakatlas.engine.dna.sequences import Sequences
from peakatlas.engine.errors import GenomeError
from peakatlas.engine.intervals.readers import parse_names
from peakatlas.engine.pretrain.windows import WindowSampler, inputs_digests, split_genomes


def random_dna(n: int, seed: int = 0) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), size=n))


def test_windows_stay_within_a_stretch_hold_no_n_and_come_from_both_strands() -> None:
    stretches = Sequences.from_strings(["A" * 30 + "N" + "A" * 30, "C" * 25, "AC"])
    windows = WindowSampler(stretches, 20).draw(400, np.random.default_rng(0))
    drawn = {bytes(window).decode() for window in windows}
    assert drawn == {"A" * 20, "T" * 20, "C" * 20, "G" * 20}


def test_too_short_dna_is_refused() -> None:
    with pytest.raises(GenomeError, match="no stretch of DNA is 20 bp long"):
        WindowSampler(Sequences.from_strings(["ACGT"]), 20)


def test_held_out_stretch_is_cut_out_of_training(tmp_path: Path) -> None:
    dna = random_dna(4000)
    (tmp_path / "g.fa").write_text(f">c\n{dna}\n")
    train, held_out = split_genomes([tmp_path / "g.fa"], parse_names(["c:1500-2600"]))
    assert [train[0], train[1]] == [dna[:1500], dna[2600:]]
    assert held_out[0] == dna[1500:2600]


def test_held_out_stretch_of_an_absent_contig_is_refused(tmp_path: Path) -> None:
    (tmp_path / "g.fa").write_text(f">c\n{random_dna(2000)}\n")
    with pytest.raises(GenomeError, match="0 of 1 held-out stretches found"):
        split_genomes([tmp_path / "g.fa"], parse_names(["d:0-100"]))


def test_held_out_stretches_that_overlap_do_not_leak(tmp_path: Path) -> None:
    dna = random_dna(60, seed=3)
    (tmp_path / "g.fa").write_text(f">c\n{dna}\n")
    holdout = parse_names(["c:30-40", "c:20-50", "c:10-22", "c:50-55"])
    train, held_out = split_genomes([tmp_path / "g.fa"], holdout, min_width=1)
    assert [held_out[i] for i in range(len(held_out))] == [dna[10:55]]
    assert [train[i] for i in range(len(train))] == [dna[:10], dna[55:]]
    with pytest.raises(GenomeError, match=r"held-out c:50-61 ends past c \(60 bp"):
        split_genomes([tmp_path / "g.fa"], parse_names(["c:50-61"]), min_width=1)


def test_dna_of_n_is_refused_and_does_not_hang() -> None:
    sampler = WindowSampler(Sequences.from_strings(["N" * 500]), 20)
    with pytest.raises(GenomeError, match="random windows of 20 bp all hold N"):
        sampler.draw(4, np.random.default_rng(0))


def test_digests_tell_every_input_apart() -> None:
    a, b = Sequences.from_strings(["ACGT", "GG"]), Sequences.from_strings(["ACG", "TGG"])
    motifs = {"m": np.ones((4, 3))}
    first = inputs_digests(a, b, motifs)
    assert first == inputs_digests(a, b, {"m": np.ones((4, 3))})
    for other, name in (
        (inputs_digests(b, b, motifs), "genome"),
        (inputs_digests(a, a, motifs), "holdout"),
        (inputs_digests(a, b, None), "motifs"),
        (inputs_digests(a, b, {"m": np.full((4, 3), 2.0)}), "motifs"),
    ):
        assert [key for key in first if first[key] != other[key]] == [name]
