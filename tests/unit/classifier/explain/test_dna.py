"""Words and motifs of marker elements are those that were planted."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import fisher_exact

import peakatlas
from peakatlas.classifier.explain.dna import (
    DNA_COLUMNS,
    _Elements,
    _enriched,
    _fits,
    _matched,
    _named,
    enriched_kmers,
)
from peakatlas.classifier.train import train
from peakatlas.demo.elements import DATA
from peakatlas.demo.simulate import REFERENCE_FILE
from peakatlas.engine.dna.genome import open_genome
from peakatlas.engine.dna.sequences import Sequences
from peakatlas.engine.errors import GenomeError

GENOME = DATA / "slice.fa.gz"
DEFINES = {
    "B": {"EBF1", "PAX5"},
    "NK": {"TBX21"},
    "T": {"TCF7"},
    "dendritic": {"IRF8"},
    "monocyte": {"CEBPA", "SPI1"},
}
"""Regulators that are fully active in a type, and in it most, in the simulation of the demo."""


@pytest.fixture(scope="module")
def demo_bundle():
    return train(DATA / REFERENCE_FILE, "cell_type")


def test_the_motifs_that_made_the_demos_types_come_first(demo_bundle):
    table = enriched_kmers(demo_bundle, GENOME, top=150)
    assert tuple(table.columns) == DNA_COLUMNS
    motifs = table[table["kind"] == "motif"]
    for name, regulators in DEFINES.items():
        found = motifs.loc[motifs["type"] == name, "motif"].tolist()
        assert found[0] in regulators, (name, found)
        assert regulators <= set(found), (name, found)
    assert (table["fdr"] <= 0.05).all() and (table["fold"] > 1).all()
    b_words = table[(table["type"] == "T") & (table["kind"] == "kmer")]
    assert "TCF7" in ",".join(b_words["motif"].head(5))


def test_a_fasta_of_some_peaks_serves_these(demo_bundle, tmp_path):
    held = demo_bundle.peaks.take(np.arange(0, len(demo_bundle.peaks), 2))
    dna = open_genome(GENOME).fetch(held)
    records = (f">{name}\n{dna[i]}\n" for i, name in enumerate(held.names()))
    path = tmp_path / "some.fa"
    path.write_text("".join(records))
    table = enriched_kmers(demo_bundle, path, top=150)
    best = table[(table["type"] == "T") & (table["kind"] == "motif")].iloc[0]
    assert best["motif"] in DEFINES["T"] and best["markers"] < 150
    path.write_text(">chr20:1-9\nACGTACGT\n")
    with pytest.raises(GenomeError, match=r"lie within no record of some\.fa"):
        enriched_kmers(demo_bundle, path, top=150)


def test_markers_of_permuted_elements_have_no_motif(demo_bundle):
    order = np.random.default_rng(0).permutation(len(demo_bundle.peaks))
    cells = replace(demo_bundle.reference, counts=demo_bundle.reference.counts[:, order])
    table = enriched_kmers(replace(demo_bundle, reference=cells), GENOME, top=150)
    assert len(table) <= 3


def test_words_are_counted_on_both_strands_within_an_element():
    has = _Elements(Sequences.from_strings(["AAAC", "GTTT", "AANAC", "AA", "AC"])).words(4)
    assert has[:, 1].tolist() == [True, True, False, False, False]  # AAAC is word 1
    assert has.sum() == 2


def test_sites_are_found_in_their_element():
    rng = np.random.default_rng(0)
    plain = ["".join(rng.choice(list("ACGT"), 200)) for _ in range(40)]
    planted = [text[:90] + "TGACTCAT" + text[98:] for text in plain[:5]]
    from peakatlas.engine.dna.motifs import MOTIFS  # noqa: PLC0415 - used here alone

    column = [motif.name for motif in MOTIFS].index("AP1")
    has = _Elements(Sequences.from_strings([*planted, *plain[5:]])).sites()[:, column]
    assert has[:5].all() and has[5:].mean() < 0.2


def test_the_test_is_fishers():
    rng = np.random.default_rng(1)
    inside, outside = rng.random((30, 4)) < 0.5, rng.random((90, 4)) < 0.3
    table = _enriched(inside, outside)
    for column in range(4):
        a, b = inside[:, column].sum(), outside[:, column].sum()
        expected = fisher_exact([[a, 30 - a], [b, 90 - b]], alternative="greater").pvalue
        assert table["p_value"][column] == pytest.approx(expected)
    assert table["fdr"].min() == pytest.approx(min(np.sort(table["p_value"]) * 4 / np.arange(1, 5)))


def test_others_have_the_gc_of_the_markers():
    rng = np.random.default_rng(2)
    stratum = rng.integers(0, 4, 2000)
    inside = np.flatnonzero(stratum == 3)[:40]
    inside = np.concatenate([inside, np.flatnonzero(stratum == 0)[:10]])
    chosen = _matched(stratum, inside, np.setdiff1d(np.arange(2000), inside), rng)
    assert pd.Series(stratum[chosen]).value_counts().to_dict() == {3: 200, 0: 50}


def test_words_take_the_names_of_motifs_that_allow_them():
    assert _fits("AGATAA", "WGATAAR") and not _fits("CGATAA", "WGATAAR")
    assert "GATA1" in _named("TTATCT") and _named("AAAAAA") == ""


@pytest.mark.parametrize(
    ("options", "fault"), [({"k": 9}, "k must be 4 to 8"), ({"top": 0}, "top must")]
)
def test_numbers_out_of_range_are_refused(demo_bundle, options, fault):
    with pytest.raises(ValueError, match=fault):
        peakatlas.enriched_kmers(demo_bundle, GENOME, **options)
