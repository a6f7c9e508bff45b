"""Joint axes are unbiased in depth and their noise is I / depth."""

import numpy as np
import pytest
import scipy.sparse as sp
from simulated_cells import simulated

from peakatlas.classifier.alignment.joint_space import JointSpace, depth_of, inverse_root
from peakatlas.classifier.counts.sparse import binary


@pytest.fixture(scope="module")
def space():
    cells = simulated((200, 200), n_peaks=400, depth=60)
    counts = binary(cells.counts)
    return JointSpace.fit(counts[::2], counts[1::2], 10, 0), counts


def test_projection_gives_the_rows_of_the_fit(space):
    axes = space[0].axes(8)
    rows, depth = axes.project(space[1][::2])
    np.testing.assert_allclose(rows, axes.reference, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(depth, depth_of(space[1][::2]))


def test_noise_of_the_pooled_profile_is_one_over_depth(space):
    """Cells drawn read by read from the pooled profile scatter by I / depth around 0."""
    joint, counts = space
    rng = np.random.default_rng(1)
    depth = 40
    opened = np.asarray(counts.sum(axis=0), float).ravel()
    drawn = rng.multinomial(depth, opened / opened.sum(), size=1500).astype(np.float32)
    rows, _ = joint.axes(5).project(sp.csr_matrix(drawn))
    np.testing.assert_allclose(rows.mean(axis=0), 0, atol=0.02)
    np.testing.assert_allclose(np.cov(rows.T) * depth, np.eye(5), atol=0.15)


def test_empty_cells_lie_at_finite_axes(space):
    rows, depth = space[0].axes(5).project(sp.csr_matrix((3, 400), dtype=np.float32))
    assert np.isfinite(rows).all()
    assert (depth == 1).all()


def test_inverse_root():
    covariance = np.array([[2.0, 0.5], [0.5, 1.0]])
    root = inverse_root(covariance)
    np.testing.assert_allclose(root.T @ covariance @ root, np.eye(2), atol=1e-6)
