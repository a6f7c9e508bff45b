"""Which features are peaks, and where these lie, however a table says it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from peakatlas.classifier.counts.features import peak_rows, peaks_of
from peakatlas.engine.errors import CountsError, IntervalError

NAMES = ["chr1:0-10", "chr1:20-30", "chr2:5-9"]


def table(index=NAMES, **columns) -> pd.DataFrame:
    return pd.DataFrame(columns, index=index)


@pytest.mark.parametrize("word", ["Peaks", "peaks", "ATAC"])
def test_types_say_which_are_peaks(word):
    types = pd.Categorical(["Gene Expression", word, word])
    assert peak_rows(table(feature_types=types), "f").tolist() == [1, 2]
    assert peak_rows(table(feature_types=[word] * 3), "f") is None
    assert peak_rows(table(), "f") is None


def test_names_say_it_where_types_know_of_no_peak():
    assert peak_rows(table(feature_types="Gene Expression"), "f") is None
    with pytest.raises(CountsError, match="types there are: Gene Expression"):
        peak_rows(table(["A", "B", "chr1:1-2"], feature_types="Gene Expression"), "f")
    genes = table(["A", "B", "C"], feature_types="Gene Expression", interval=NAMES)
    with pytest.raises(CountsError, match="no feature has the type"):
        peak_rows(genes, "f")


@pytest.mark.parametrize(
    "given",
    [
        table(),
        table([name.replace(":", "-") for name in NAMES]),
        table([f"b'{name}'" for name in NAMES]),
        table([name.encode() for name in NAMES]),
        table(["0", "1", "2"], interval=NAMES),
        table(["p", "q", "r"], gene_ids=pd.Categorical(NAMES)),
        table(["p", "q", "r"], peak=pd.array(NAMES, dtype="string")),
        table(["p", "q", "r"], chrom=["chr1", "chr1", "chr2"], start=[0, 20, 5], end=[10, 30, 9]),
        table(
            ["p", "q", "r"],
            chr=pd.Categorical(["b'chr1'", "b'chr1'", "b'chr2'"]),
            start=pd.Categorical(["0", "20", "5"]),
            end=pd.Categorical([10, 30, 9]),
        ),
    ],
)
def test_places_are_found_wherever_they_stand(given):
    assert peaks_of(given, "f").names() == NAMES


def test_contigs_of_refseq_keep_their_names():
    assert peaks_of(table(["NC_000001.11:5-9"]), "f").names() == ["NC_000001.11:5-9"]


@pytest.mark.parametrize("absent", [None, np.nan, pd.NA])
def test_a_peak_without_a_contig_is_refused(absent):
    given = table(chrom=["chr1", absent, "chr2"], start=[0, 20, 5], end=[10, 30, 9])
    with pytest.raises(IntervalError, match="row 1"):
        peaks_of(given, "f")


def test_names_that_say_nothing_are_refused():
    with pytest.raises(IntervalError, match="3 of 3 are not peak names"):
        peaks_of(table(["a", "b", "c"], gene_ids=["d", "e", "f"]), "f")


@pytest.mark.parametrize("nothing", [np.nan, None, "", " ", "nan"])
def test_peaks_that_lack_a_type_are_kept_by_their_names(nothing):
    joined = table(
        ["G", "chr1:0-10", "chr1_20_30", "H"], feature_types=["RNA", "Peaks"] + [nothing] * 2
    )
    assert peak_rows(joined, "f").tolist() == [1, 2]
    assert peak_rows(table(feature_types=["Peaks ", nothing, "Peaks"]), "f") is None
    assert peak_rows(table(feature_types=[b"Peaks", b"Peaks", b"RNA"]), "f").tolist() == [0, 1]
