"""Barcodes of lists and tables as the tools of the field write them."""

from __future__ import annotations

import gzip

import pytest

from peakatlas.classifier.counts.barcode_lists import read_barcodes
from peakatlas.engine.errors import CountsError


def read(folder, text: str | bytes) -> list[str]:
    path = folder / "cells.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_barcodes(path)


@pytest.mark.parametrize(
    ("text", "barcodes"),
    [
        ("GATTACA-1\n\n# note\nCATTAGA-1  \r\n", ["GATTACA-1", "CATTAGA-1"]),
        ("GATTACA-1\rCATTAGA-1\r", ["GATTACA-1", "CATTAGA-1"]),
        (gzip.compress(b"GATTACA-1\tB cell\n", mtime=0), ["GATTACA-1"]),
        ("GATTACA-1\n".encode("utf-16"), ["GATTACA-1"]),
        ("barcode\nGATTACA-1\n", ["GATTACA-1"]),
        ("GATTACA-1,12\nCATTAGA,3\n", ["GATTACA-1", "CATTAGA"]),
        ("R1.07,R2.11,P1.02\nR1.07,R2.12,P1.02\n", ["R1.07,R2.11,P1.02", "R1.07,R2.12,P1.02"]),
        ("GATTACAT,CCATTGAC\n", ["GATTACAT,CCATTGAC"]),
        ('"GATTACA-1"\n"R1,R2"\n', ["GATTACA-1", "R1,R2"]),
        ("n,Barcode,x\n1,cell one,2\n", ["cell one"]),
        ('"barcode","reads"\n"R1,R2",5\nNO_BARCODE,7\n', ["R1,R2"]),
        ("barcode,total,is__cell_barcode\nNO_BARCODE,9,0\nA-1,5,1\nC-1,2,0\nG-1,4,1\n",
         ["A-1", "G-1"]),
        ("barcode\tis_cell\nA-1\tTrue\nC-1\tfalse\n", ["A-1"]),
        ('"","x"\n"1","GATTACA-1"\n"2","CATTAGA-1"\n', ["GATTACA-1", "CATTAGA-1"]),
        ('"x"\n"1"\t"GATTACA-1"\n"2"\t"CATTAGA-1"\n', ["GATTACA-1", "CATTAGA-1"]),
        ('"x"\n"1" "GATTACA-1"\n"2" "CATTAGA-1"\n', ["GATTACA-1", "CATTAGA-1"]),
        (',0\n0,"R1,R2"\n1,CATTAGA-1\n', ["R1,R2", "CATTAGA-1"]),
        ("1\tGATTACA-1\n2\tCATTAGA-1\n", ["GATTACA-1", "CATTAGA-1"]),
        ('barcode\tis_cell\n7\tA-1\t1\n9\tC-1\t0\n', ["A-1"]),
        (',n,type\ns1#GATTACA-1,5,"T, CD4"\ns1#CATTAGA-1,6,B\n',
         ["s1#GATTACA-1", "s1#CATTAGA-1"]),
        ("0,12\n1,13\n", ["0,12", "1,13"]),
        ("barcode,is_hg19_cell_barcode,is_mm10_cell_barcode\nA,1,0\nC,0,0\nG,0,1\n", ["A", "G"]),
    ],
)  # fmt: skip
def test_read(tmp_path, text, barcodes):
    assert read(tmp_path, text) == barcodes


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "no barcodes in the file"),
        ("barcode,is_cell\nA-1,0\n", "no barcodes in the file"),
        ("barcode,is_cell\nA-1,0\nC-1,maybe\n", "is_cell is 'maybe'; 1 for a cell"),
        ("barcode,total,is_cell\nA-1,0\n", "a row has 2 of 3 columns (A-1, 0). The file is trun"),
        ("barcode," + "A" * 200_000 + "\nA-1,2\n", "no list of barcodes (field larger than"),
        ('"' + "A" * 200_000, "no list of barcodes (field larger than"),
        (b"A-1\0\n", "not a text file (byte 3)"),
        (gzip.compress(b"GATTACA-1\n", mtime=0)[:-3], "truncated or damaged gzip data"),
    ],
)
def test_refused(tmp_path, text, fault):
    with pytest.raises(CountsError) as caught:
        read(tmp_path, text)
    assert fault in str(caught.value)
