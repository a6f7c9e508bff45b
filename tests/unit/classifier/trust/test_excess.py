"""More cells than expected: most of them, and not by chance."""

import numpy as np
import pytest

from peakatlas.classifier.trust.excess import CHANCE, exceeds


@pytest.mark.parametrize(
    ("n", "n_cells", "share", "n_held", "expected"),
    [
        (59, 400, 0.01, 600, True),  # 4 expected
        (7, 400, 0.01, 600, False),  # so many are seen by chance now and then
        (900, 50_000, 0.01, 20_000, False),  # not by chance, but fewer than twice the expected
        (1_100, 50_000, 0.01, 20_000, True),
        (1_100, 50_000, 0.01, 100, False),  # 100 cells do not say what 1 % is
        (0, 400, 0.0, 600, False),
        (30, 400, 0.0, 600, True),
        (400, 400, 0.6, 600, False),
    ],
)
def test_most_of_the_cells_must_be_beyond_what_is_expected_and_chance(
    n, n_cells, share, n_held, expected
):
    assert exceeds(n, n_cells, share, n_held) is expected


def test_more_may_be_asked_for():
    assert exceeds(115, 1_200, 0.04, 1_200)
    assert not exceeds(115, 1_200, 0.04, 1_200, times=4)
    assert exceeds(200, 1_200, 0.04, 1_200, times=4)


def test_queries_like_the_held_out_cells_are_seldom_alerted():
    rng = np.random.default_rng(0)
    n_held, n_cells, alerts = 500, 300, 0
    for _ in range(2_000):
        limit = np.quantile(rng.random(n_held), 0.01)
        alerts += exceeds(int((rng.random(n_cells) < limit).sum()), n_cells, 0.01, n_held)
    assert alerts <= 3 * CHANCE * 2_000
