"""Annotated elements: intervals with the terms that each carries, looked up by overlap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from peakatlas.engine.errors import AtlasError
from peakatlas.engine.intervals.overlap import OverlapIndex

if TYPE_CHECKING:
    from peakatlas.engine.intervals.table import Intervals


@dataclass(frozen=True, kw_only=True, eq=False)
class ElementTable:
    """Elements of one genome build and their terms.

    Raises
    ------
    AtlasError
        If the shapes do not fit.
    """

    intervals: Intervals
    """n elements, in any order."""
    terms: tuple[str, ...]
    """Ids of the terms, such as ``CL:0000623``."""
    carries: sp.csr_matrix
    """Which element carries which term, float32 0 or 1, shape (n, number of terms)."""
    source: str
    """Where the annotation comes from, with its version and licence."""
    build: str
    """Genome build of the intervals, such as ``hg38``."""

    def __post_init__(self) -> None:
        wanted = (len(self.intervals), len(self.terms))
        if self.carries.shape != wanted:
            raise AtlasError(f"terms of elements have shape {self.carries.shape}, not {wanted}.")

    def terms_of(self, peaks: Intervals) -> sp.csr_matrix:
        """Terms that any element overlapping a peak carries.

        Parameters
        ----------
        peaks : Intervals
            m peaks of the same build.

        Returns
        -------
        csr_matrix
            Float32 0 or 1, shape (m, number of terms).
        """
        pairs = OverlapIndex(self.intervals).overlap_pairs(peaks)
        ones = np.ones(len(pairs), np.float32)
        shape = (len(peaks), len(self.intervals))
        found = sp.csr_matrix((ones, (pairs.query, pairs.row)), shape=shape) @ self.carries
        found.data[:] = 1
        return sp.csr_matrix(found)
