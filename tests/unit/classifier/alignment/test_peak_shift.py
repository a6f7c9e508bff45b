"""Peak ratios are found where the query's experiment differs, and are 1 where it does not."""

import numpy as np
from simulated_cells import simulated, simulated_pair

from peakatlas.classifier.alignment.members import make_pair
from peakatlas.classifier.alignment.peak_shift import peak_ratio, shifted_posterior
from peakatlas.classifier.counts.sparse import binary
from peakatlas.classifier.models.protocol import Cells


def test_no_shift():
    pair, truth = simulated_pair()
    posterior = shifted_posterior(pair)
    assert (posterior.argmax(axis=1) == truth).mean() > 0.9
    np.testing.assert_allclose(peak_ratio(pair, posterior), 1, atol=0.15)


def test_shift():
    ratio = np.exp(np.random.default_rng(3).normal(0, 0.8, 120))
    reference = simulated((60, 60, 60))
    query = simulated((60, 60, 60), seed=9, ratio=ratio)
    codes = np.repeat(np.arange(3), 60)
    pair = make_pair(
        Cells(counts=binary(reference.counts)), Cells(counts=binary(query.counts)), codes
    )
    posterior = shifted_posterior(pair)
    assert (posterior.argmax(axis=1) == codes).mean() > 0.85
    found = np.log(peak_ratio(pair, posterior))
    assert np.corrcoef(found, np.log(ratio))[0, 1] > 0.8
