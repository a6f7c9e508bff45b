"""Peaks get the gene whose transcription starts nearest."""

import gzip

import numpy as np
import pandas as pd
import pytest

from peakatlas.classifier.explain.genes import nearest_genes, read_genes
from peakatlas.engine.errors import IntervalError

GTF = """#!genome-build made up
1\thavana\tgene\t101\t200\t.\t+\t.\tgene_id "G1"; gene_name "FIRST"; gene_type "x";
1\thavana\texon\t101\t120\t.\t+\t.\tgene_id "G1"; gene_name "FIRST";
1\thavana\tgene\t301\t400\t.\t-\t.\tgene_id "G2";
"""
GFF = "chr1\tx\tgene\t101\t200\t.\t+\t.\tID=gene:1;Name=FIRST\n"
BED = "chr1\t100\t200\tFIRST\nchr1\t300\t400\tSECOND\t0\t-\n"


def written(path, text):
    path.write_text(text)
    return path


def test_genes_of_a_gtf_start_by_their_strand(tmp_path):
    packed = tmp_path / "g.gtf.gz"
    packed.write_bytes(gzip.compress(GTF.encode()))
    for path in (written(tmp_path / "g.gtf", GTF), packed):
        assert read_genes(path).values.tolist() == [["1", 100, "FIRST"], ["1", 399, "G2"]]


def test_gff3_and_bed_are_read(tmp_path):
    assert read_genes(written(tmp_path / "g.gff3", GFF)).values.tolist() == [["chr1", 100, "FIRST"]]
    assert read_genes(written(tmp_path / "g.bed", BED)).values.tolist() == [
        ["chr1", 100, "FIRST"],
        ["chr1", 399, "SECOND"],
    ]


def test_the_nearest_gene_is_named_whatever_the_style(tmp_path):
    genes = read_genes(written(tmp_path / "g.gtf", GTF))
    peaks = pd.DataFrame(
        {"chrom": ["chr1", "chr2", "chr1"], "start": [370, 5, 90], "end": [390, 9, 130]},
        index=[7, 3, 5],
    )
    found = nearest_genes(peaks, genes)
    assert found.index.tolist() == [7, 3, 5]
    assert found["gene"].tolist() == ["G2", "", "FIRST"]
    np.testing.assert_array_equal(found["tss_distance"], [19, np.nan, 10])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nothing\n", "g.x holds no gene. Give a GTF or GFF3"),
        ("chr1\tx\tgene\tone\t9\t.\t+\t.\tID=a\n", "g.x line 1: .* is no gene"),
        ("chr1\t9\t5\tA\n", "g.x line 1"),
    ],
)
def test_what_holds_no_gene_is_refused(tmp_path, text, message):
    with pytest.raises(IntervalError, match=message):
        read_genes(written(tmp_path / "g.x", text))


def test_a_cut_gzip_is_refused(tmp_path):
    path = tmp_path / "g.gtf.gz"
    path.write_bytes(gzip.compress(GTF.encode())[:60])
    with pytest.raises(IntervalError, match=r"g\.gtf\.gz"):
        read_genes(path)
