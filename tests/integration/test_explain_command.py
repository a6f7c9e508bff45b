"""`peakatlas explain` writes tables and says what it found, on the simulated demo cells."""

import json

import pandas as pd
import pytest

from peakatlas.classifier.explain.elements import marker_elements
from peakatlas.classifier.train import train
from peakatlas.demo.elements import DATA
from peakatlas.demo.simulate import REFERENCE_FILE


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    made = train(DATA / REFERENCE_FILE, "cell_type")
    made.save(tmp_path_factory.mktemp("explain") / "bundle")
    return made, tmp_path_factory.getbasetemp()


def test_tables_and_bed(run, bundle, tmp_path):
    made, base = bundle
    folder = next(base.glob("explain*/bundle"))
    table, bed, dna = (tmp_path / name for name in ("m.tsv", "m.bed", "dna.tsv"))
    genome = DATA / "slice.fa.gz"
    done = run(
        "explain", folder, "-o", table, "--bed", bed, "--genome", genome, "--dna", dna,
        "--top", "100", "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    facts = json.loads(done.out)
    markers = pd.read_csv(table, sep="\t")
    expected = marker_elements(made, top=100)
    assert markers["start"].tolist() == expected["start"].tolist()
    assert markers["type"].tolist() == expected["type"].tolist()
    lines = pd.read_csv(bed, sep="\t", header=None)
    assert len(lines) == len(markers) == facts["markers"]
    assert lines[4].groupby(lines[3]).max().eq(1000).all() and lines[1].is_monotonic_increasing
    found = pd.read_csv(dna, sep="\t")
    assert "EBF1" in facts["motifs"]["B"] and "TCF7" in facts["motifs"]["T"]
    assert facts["patterns"] == len(found) and set(found["kind"]) == {"motif", "kmer"}


def test_genome_and_table_go_together(run, bundle, tmp_path):
    folder = next(bundle[1].glob("explain*/bundle"))
    done = run("explain", folder, "-o", tmp_path / "m.tsv", "--dna", tmp_path / "d.tsv")
    assert done.code == 2 and "--genome and --dna go together" in done.err
