"""What is sampled of a genome, and what is set aside."""

from pathlib import Path

import numpy as np
import pytest

from peakatlas.engine.dna.sequences import Sequences
from peakatlas.engine.errors import GenomeError
from peakatlas.engine.intervals.readers import parse_names
from peakatlas.engine.pretrain.windows import WindowSampler, split_genomes


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
