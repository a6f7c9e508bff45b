"""The index of sequences finds the lowest row of each, whatever bits digests share."""

import numpy as np
import pytest

from peakatlas.atlas.format.digests import DigestIndex


@pytest.mark.parametrize("shared", [0, 5, 8, 12, 16])
@pytest.mark.parametrize("n", [0, 1, 2, 1000])
def test_rows_are_found_by_all_bits(n, shared):
    rng = np.random.default_rng(n + shared)
    digests = rng.integers(0, 256, (n, 16)).astype(np.uint8)
    digests[:, :shared] = 7
    digests[::3] = digests[::3][: len(digests[::3])][::-1]
    digests[n // 2 :] = np.where(rng.random((n - n // 2, 1)) < 0.5, digests[: n - n // 2], 9)
    rows = np.sort(rng.choice(5 * n + 1, n, replace=False))
    lowest = {}
    for digest, row in zip(digests, rows.tolist(), strict=True):
        lowest.setdefault(digest.tobytes(), row)
    asked = np.concatenate([digests, rng.integers(0, 256, (50, 16)).astype(np.uint8)])
    wanted = [lowest.get(digest.tobytes(), -1) for digest in asked]
    assert DigestIndex(digests, rows).find(asked).tolist() == wanted
