"""Contigs under other names."""

import pytest

from peakatlas.engine.intervals.contig_names import in_other_style
from peakatlas.engine.intervals.table import Intervals


@pytest.mark.parametrize(
    ("given", "known", "styled"),
    [
        (["chr1", "KI1.1"], ["1", "KI1.1"], ["chr1"]),
        (["1", "chrX"], ["chr1", "chrX"], ["1"]),
        (["chr1", "chrM"], ["chr1", "MT"], []),
        (["chrM"], ["MT"], ["chrM"]),
        (["chr1", "7"], ["chr1", "1"], []),
        (["chr9"], ["chr1"], []),
    ],
)
def test_contigs_that_differ_in_style_alone(given, known, styled):
    peaks = Intervals.from_columns(given, [0] * len(given), [9] * len(given))
    assert in_other_style(peaks, known) == styled
