"""Pseudo-queries whose own peaks their reference lacks, as the query's own peaks do."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from .pseudo_queries import thinned_to

if TYPE_CHECKING:
    from peakatlas.classifier.models.protocol import DnaInput

    from .pseudo_queries import Rows


def pseudo_dna(
    reference: DnaInput, query: DnaInput, train: Rows, test: Rows, rng: np.random.Generator
) -> tuple[DnaInput, DnaInput]:
    """DNA input of a pseudo-reference and of a pseudo-query.

    As many of the reference's peaks as the query has of its own, half of them at most, are hidden
    from the pseudo-reference and are the pseudo-query's own; those first that the query lacks.
    Reads are thinned to the query's depth a peak.

    Parameters
    ----------
    reference, query : DnaInput
        Reads.
    train, test : int64
        Rows of the reference.
    rng : Generator

    Returns
    -------
    DnaInput
        Of the pseudo-reference, without the hidden peaks.
    DnaInput
        Of the pseudo-query, on the peaks that the query has and the hidden ones.
    """
    shared = np.isin(reference.column, query.column[query.column >= 0])
    order = rng.permutation(len(shared))
    order = order[np.argsort(shared[order], kind="stable")]
    hidden = np.zeros(len(shared), np.bool_)
    hidden[order[: min(int((query.column < 0).sum()), len(shared) // 2)]] = True
    pseudo = replace(reference, column=np.where(hidden, -1, reference.column)).take(test)
    pseudo = pseudo.take_peaks(hidden | shared)
    depth = np.asarray(query.counts.sum(axis=1), np.float64).ravel()
    depth *= len(pseudo.column) / max(len(query.column), 1)
    pseudo = replace(pseudo, counts=thinned_to(pseudo.counts, depth, rng)[0])
    return reference.take(train).take_peaks(~hidden), pseudo
