"""What is learnt from a query does not depend on the blocks that it is read in."""

import numpy as np
from simulated_cells import simulated, unlabelled

from peakatlas.classifier.training.query_statistics import (
    QueryStatistics,
    StatisticsBuilder,
    query_statistics,
)


def test_blocks_do_not_matter():
    cells = unlabelled(simulated((100, 100)))
    whole = query_statistics(cells, 50, 0)
    builder = StatisticsBuilder(50, 0)
    for start in range(0, 200, 7):
        builder.add(cells.take(np.arange(start, min(200, start + 7))))
    found = builder.finish()
    assert (found.sample.counts != whole.sample.counts).nnz == 0
    assert found.n_cells == whole.n_cells == 200
    assert whole.sample.n_cells == 50


def test_arrays_round_trip():
    cells = unlabelled(simulated((10, 10)))
    made = query_statistics(cells, 100, 0)
    found = QueryStatistics.from_arrays(made.arrays())
    assert (found.sample.counts != cells.counts).nnz == 0
    assert found.n_cells == 20
