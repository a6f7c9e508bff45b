"""Conformal sets hold a cell's own type as often as they say, type by type."""

import numpy as np
import pytest
from scipy.special import log_softmax

from peakatlas.classifier.trust.sets import ConformalSets


def drawn(n, seed):
    rng = np.random.default_rng(seed)
    codes = rng.choice(3, n, p=[0.6, 0.3, 0.1])
    return log_softmax(2 * np.eye(3)[codes] + rng.normal(0, 1, (n, 3)), axis=1), codes


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.3])
def test_coverage_of_every_type(alpha):
    sets = ConformalSets.fit(*drawn(3000, 0))
    logs, codes = drawn(6000, 1)
    held = sets.sets(logs, alpha)[np.arange(6000), codes]
    for code in range(3):
        assert held[codes == code].mean() == pytest.approx(1 - alpha, abs=0.03)


def test_a_type_with_few_cells_has_the_limit_of_all():
    logs, codes = drawn(300, 0)
    codes[codes == 2] = 1
    codes[:3] = 2
    limits = ConformalSets.fit(logs, codes).limits
    assert limits[2, 100] == pytest.approx(np.sort(logs[np.arange(300), codes])[29], rel=1e-5)


def test_alpha_out_of_range():
    with pytest.raises(ValueError, match=r"alpha must lie in \[0.001, 0.5\], not 0.6"):
        ConformalSets.fit(*drawn(50, 0)).sets(np.zeros((1, 3)), 0.6)
