"""Terms of elements are those of the peaks that overlap them."""

import numpy as np
import pytest
import scipy.sparse as sp

from peakatlas import Intervals
from peakatlas.atlas.search.terms import ElementTable
from peakatlas.engine.errors import AtlasError

ELEMENTS = Intervals.from_columns(["chr1", "chr1", "chr2"], [0, 150, 0], [100, 300, 50])


def table(carries, terms):
    return ElementTable(
        intervals=ELEMENTS, terms=terms, carries=carries, source="test", build="hg38"
    )


def test_a_peak_has_the_terms_of_all_elements_that_it_overlaps():
    carries = sp.csr_matrix(np.array([[1, 0], [1, 1], [0, 1]], np.float32))
    peaks = Intervals.from_columns(
        ["chr1", "chr1", "chr1", "chr2", "chr9"], [99, 100, 0, 10, 0], [120, 150, 500, 20, 10]
    )
    found = table(carries, ("CL:1", "CL:2")).terms_of(peaks)
    assert found.toarray().tolist() == [[1, 0], [0, 0], [1, 1], [0, 1], [0, 0]]


def test_shapes_must_fit():
    with pytest.raises(AtlasError, match=r"have shape \(2, 2\), not \(3, 1\)"):
        table(sp.csr_matrix((2, 2)), ("CL:1",))
