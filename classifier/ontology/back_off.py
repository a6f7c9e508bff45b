"""Sets of types as one term: the nearest above all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .cell_ontology import cell_ontology
from .mapping import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def set_terms(sets: NDArray[np.bool_], ids: Sequence[str]) -> NDArray[np.str_]:
    """Id of the narrowest term that is at or above all types of each set.

    A set that holds a cell's own type with a given error rate has a term that is right with no
    more errors.

    Parameters
    ----------
    sets : bool, shape (n_cells, n_types)
    ids : sequence of str
        Id of each type, or "unknown".

    Returns
    -------
    str, shape (n_cells,)
        "unknown" for an empty set, one with a type that has no id, and one whose types have only
        "cell" in common.

    Examples
    --------
    >>> ids = ["CL:0000624", "CL:0000625", "unknown"]  # CD4 T, CD8 T
    >>> sets = np.array([[True, False, False], [True, True, False], [True, False, True]])
    >>> set_terms(sets, ids).tolist()
    ['CL:0000624', 'CL:0000791', 'unknown']
    """
    kinds, place = np.unique(sets, axis=0, return_inverse=True)
    named = [_above([ids[code] for code in np.flatnonzero(kind).tolist()]) for kind in kinds]
    return np.asarray(named, np.str_)[place.ravel()]


def term_names(ids: Sequence[str] | NDArray[np.str_]) -> list[str]:
    """Label of each id; what is none stays as it is."""
    terms = cell_ontology().terms
    return [str(terms[term]["label"]) if term in terms else term for term in map(str, ids)]


def _above(ids: Sequence[str]) -> str:
    known = cell_ontology().terms
    if not ids or any(term not in known for term in ids):
        return UNKNOWN
    return cell_ontology().common_ancestor(ids) or UNKNOWN
