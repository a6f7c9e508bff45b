"""Simulated cells whose types open peaks by the DNA in them, on two lists of peaks."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from peakatlas.classifier.alignment.members import make_pair
from peakatlas.classifier.counts.sparse import binary
from peakatlas.classifier.models.protocol import Cells, DnaInput

DIM, N_PEAKS, N_TYPES = 6, 300, 3


@dataclass(frozen=True)
class Sides:
    """Reference and query that share the first `n_shared` of their peaks, and the query's types."""

    reference: Cells
    query: Cells
    truth: np.ndarray

    @property
    def pair(self):
        """As members are fitted."""
        types, codes = np.unique(self.reference.labels, return_inverse=True)
        assert len(types) == N_TYPES
        return make_pair(self.reference, self.query, codes)


def simulated_sides(n_shared=0, *, permuted=False, n_query=90, seed=0):
    """Openness is logistic in embeddings, with slopes of each type."""
    rng = np.random.default_rng(seed)
    n_all = 2 * N_PEAKS - n_shared
    vectors = rng.normal(size=(n_all, DIM))
    slopes = rng.normal(size=(N_TYPES, DIM)) * 0.6
    chance = 1 / (1 + np.exp(1.2 - vectors @ slopes.T - 0.5 * rng.normal(size=(n_all, 1))))
    codes = np.repeat(np.arange(N_TYPES), [40, 50, 60])
    truth = np.arange(n_query) % N_TYPES
    first, second = (rng.random((len(c), n_all)) < chance.T[c] for c in (codes, truth))
    if permuted:
        vectors = vectors[rng.permutation(n_all)]
    here = np.arange(N_PEAKS)
    there = np.concatenate([np.arange(n_shared), np.arange(N_PEAKS, n_all)])
    column = np.where(there < n_shared, there, -1)
    measured = here < n_shared
    return Sides(
        Cells(
            counts=_counts(first[:, here]),
            labels=np.char.add("T", codes.astype(str)),
            dna=DnaInput(
                counts=_counts(first[:, here]), embeddings=_f32(vectors[here]), column=here
            ),
        ),
        Cells(
            counts=_counts(second[:, here] * measured),
            measured=measured,
            dna=DnaInput(
                counts=_counts(second[:, there]), embeddings=_f32(vectors[there]), column=column
            ),
        ),
        truth,
    )


def _f32(values):
    return values.astype(np.float32)


def _counts(opened):
    return binary(sp.csr_matrix(opened.astype(np.float32)))
