"""Small simulated cells for tests of the labeller."""

import numpy as np
import scipy.sparse as sp

from peakatlas.classifier.alignment.members import make_pair
from peakatlas.classifier.counts.sparse import binary
from peakatlas.classifier.models.protocol import Cells


def simulated(sizes, n_peaks=120, depth=60, seed=0, profile_seed=0, ratio=None):
    """Cells of types that each open a block of the peaks three times as often as the others.

    Returns cells with labels ``T0``, ``T1``, …
    """
    rng = np.random.default_rng(seed)
    base = np.random.default_rng(profile_seed).gamma(2, 1, n_peaks)
    codes = np.repeat(np.arange(len(sizes)), sizes)
    factor = np.ones((len(sizes), n_peaks))
    for code, block in enumerate(np.array_split(np.arange(n_peaks), len(sizes))):
        factor[code, block] = 4
    profiles = base * factor * (1 if ratio is None else ratio)
    profiles /= profiles.sum(axis=1, keepdims=True)
    depths = rng.poisson(depth, len(codes)) + 1
    counts = rng.poisson(profiles[codes] * depths[:, None]).astype(np.float32)
    labels = np.array([f"T{code}" for code in codes], np.str_)
    return Cells(counts=sp.csr_matrix(counts), labels=labels)


def unlabelled(cells):
    """The same cells as a query."""
    return Cells(counts=cells.counts, measured=cells.measured)


def simulated_pair(sizes=(30, 30, 30), seed=0, **options):
    """A fitted pair's inputs: pair, and the types of its query's cells."""
    reference = simulated(sizes, seed=seed, **options)
    query = simulated(sizes, seed=seed + 100, **options)
    codes = np.unique(reference.labels, return_inverse=True)[1]
    pair = make_pair(
        Cells(counts=binary(reference.counts)), Cells(counts=binary(query.counts)), codes
    )
    return pair, np.unique(query.labels, return_inverse=True)[1]
