"""Types by the annotated elements that a cell opens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .profiles import TypeProfiles, embedded

if TYPE_CHECKING:
    import scipy.sparse as sp
    from numpy.typing import NDArray

    from .protocol import DnaInput


@dataclass(frozen=True)
class TermProfiles(TypeProfiles):
    """How much more each type opens a peak, predicted from the terms of the peak's elements.

    As `TypeProfiles`, with terms in the place of embeddings, and over all peaks of the query: what
    a few labelled cells say of a type is spread to all peaks with like terms.
    """

    @property
    def name(self) -> str:
        """Short name."""
        return "terms"

    def reads(self, query: DnaInput) -> NDArray[np.int64]:
        """Peaks of a query that are read: all with a term."""
        return embedded(query)


def term_vectors(peak_terms: sp.csr_matrix) -> NDArray[np.float32]:
    """Vectors of peaks by their terms: each over the root of the peak's number of terms.

    Parameters
    ----------
    peak_terms : csr_matrix
        Binary, shape (n_peaks, n_terms).

    Returns
    -------
    float32, shape (n_peaks, n_terms)
        NaN for peaks without a term.
    """
    dense = peak_terms.toarray().astype(np.float32)
    number = dense.sum(axis=1, keepdims=True)
    return np.asarray(np.where(number > 0, dense / np.sqrt(np.maximum(number, 1)), np.nan))
