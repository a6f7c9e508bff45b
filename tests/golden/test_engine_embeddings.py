"""Embeddings do not drift between versions."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from make_engine_embeddings import GOLDEN, golden_values


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-5), ("bf16", 0.02)])
def test_embeddings_equal_the_committed_ones(tmp_path, precision, tolerance):
    expected = np.load(GOLDEN)["fp32"]
    assert np.isnan(expected).all(1).tolist() == [False] * 5 + [True]
    assert np.nanstd(expected, 0).mean() > 0.05
    np.testing.assert_allclose(golden_values(tmp_path, precision), expected, atol=tolerance)
