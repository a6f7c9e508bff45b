import numpy as np
import pytest

from peakatlas.atlas.format.float16 import widen

EVERY = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
FINITE = EVERY[np.isfinite(EVERY)]


def widened(rows):
    out = np.full(rows.shape, 7, np.float32)
    widen(rows, out)
    return out


@pytest.mark.parametrize("dim", [1, 8, 512])
def test_every_finite_value_in_every_dimension_is_exact_to_the_bit(dim):
    rows = FINITE[: len(FINITE) // dim * dim].reshape(-1, dim)
    expected = rows.astype(np.float32)
    np.testing.assert_array_equal(widened(rows).view(np.uint32), expected.view(np.uint32))


def test_rows_of_nan_stay_nan_and_others_are_untouched():
    rows = np.random.default_rng(0).standard_normal((3000, 96)).astype(np.float16)
    rows[[0, 1000, 2999]] = np.nan
    np.testing.assert_array_equal(widened(rows), rows.astype(np.float32))


def test_no_rows():
    assert widened(np.empty((0, 8), np.float16)).shape == (0, 8)
