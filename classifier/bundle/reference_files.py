"""The reference cells of a bundle as arrays: packed small, and checked when they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import scipy.sparse as sp

from peakatlas.classifier.models.protocol import Cells, DnaInput

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Arrays = Mapping[str, NDArray[Any]]


def reference_arrays(
    cells: Cells, types: Sequence[str], batches: Sequence[str]
) -> dict[str, NDArray[Any]]:
    """Arrays that hold reference cells.

    Parameters
    ----------
    cells : Cells
        With labels and batches.
    types, batches : sequence of str
        Sorted names that labels and batches are coded by.
    """
    counts = cells.counts
    most = int(counts.data.max(initial=1))
    found: dict[str, NDArray[Any]] = {
        "counts.indptr": counts.indptr.astype(np.int64),
        "counts.indices": counts.indices.astype(np.uint32),
        "counts.data": counts.data.astype(np.min_scalar_type(most)),
        "types": codes_of(cells.labels, types).astype(np.int32),
        "batches": codes_of(cells.batches, batches).astype(np.int32),
    }
    if cells.measured is not None:
        found["measured"] = cells.measured.astype(np.uint8)
    if cells.dna is not None:
        found["embeddings"] = cells.dna.embeddings.astype(np.float16)
    return found


def reference_cells(
    arrays: Arrays,
    types: Sequence[str],
    batches: Sequence[str],
    n_peaks: int,
    kind: Literal["dna", "terms"] = "dna",
) -> Cells:
    """Inverse of `reference_arrays`; `kind` is that of the embeddings.

    Raises
    ------
    ValueError
        If the arrays do not fit each other.
    """
    labels, donors = arrays["types"], arrays["batches"]
    counts = sp.csr_matrix(
        (
            arrays["counts.data"].astype(np.float32),
            arrays["counts.indices"].astype(np.int32),
            arrays["counts.indptr"].astype(np.int64),  # unsigned, SciPy sees not that they go down
        ),
        shape=(len(labels), n_peaks),
    )
    counts.check_format(full_check=True)
    if len(donors) != len(labels):
        raise ValueError(f"{len(labels)} types and {len(donors)} batches")
    measured = arrays.get("measured")
    if measured is not None and measured.shape != (n_peaks,):
        raise ValueError(f"measured has shape {measured.shape}, there are {n_peaks} peaks")
    embeddings = arrays.get("embeddings")
    return Cells(
        counts=counts,
        measured=None if measured is None else measured.astype(np.bool_),
        labels=named(labels, types),
        batches=named(donors, batches),
        dna=None if embeddings is None else own_dna(counts, embeddings, kind),
    )


def named(codes: NDArray[Any], names: Sequence[str]) -> NDArray[np.str_]:
    """Name of each code.

    Raises
    ------
    ValueError
        If a code has no name.
    """
    if len(codes) and not 0 <= int(codes.min()) <= int(codes.max()) < len(names):
        raise ValueError(f"codes from {codes.min()} to {codes.max()} for {len(names)} names")
    return np.asarray(names, np.str_)[codes.astype(np.int64)]


def codes_of(values: NDArray[np.str_] | None, names: Sequence[str]) -> NDArray[np.int64]:
    """Place of each value among sorted names; no values give no codes."""
    return np.searchsorted(np.asarray(names), [] if values is None else values)


def own_dna(
    counts: sp.csr_matrix, embeddings: NDArray[Any], kind: Literal["dna", "terms"] = "dna"
) -> DnaInput | None:
    """DNA of reference cells: their own peaks are those of the reference.

    Parameters
    ----------
    counts : csr_matrix of float32, shape (n_cells, n_peaks)
    embeddings : float, shape (n_peaks, dim)
        Rounded to what a bundle holds (float16); NaN where there is none.

    Returns
    -------
    DnaInput or None
        None where no peak has an embedding.
    """
    if len(embeddings) != counts.shape[1]:
        raise ValueError(f"{len(embeddings)} embeddings for {counts.shape[1]} peaks")
    values = embeddings.astype(np.float16).astype(np.float32)
    if not np.isfinite(values).any():
        return None
    return DnaInput(counts=counts, embeddings=values, column=np.arange(len(values)), kind=kind)
