"""Cell types as people write them: blanks taken off, names that cannot be used refused."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Any

import numpy as np

from peakatlas.engine.errors import LabelsError

from .features import plain_texts

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

UNASSIGNED = "Unassigned"
"""What a cell without a type is called."""
BETWEEN = "|"
"""Stands between the types of a set."""
MIN_CELLS = 3
SHOWN = 5
_UNSEEN = dict.fromkeys(map(ord, "\ufeff\u200b"))
"""Characters of no width."""


def texts_of(column: pd.Series[Any]) -> NDArray[np.str_]:
    """Values of a column as strings: 3.0 as 3 where all are whole, bytes as what they spell.

    Parameters
    ----------
    column : Series

    Examples
    --------
    >>> import pandas as pd
    >>> texts_of(pd.Series([3.0, 11.0])).tolist()
    ['3', '11']
    """
    values = np.asarray(column)
    if values.dtype.kind == "f":
        known = values[np.isfinite(values)]
        if (known == np.rint(known)).all():
            values = np.array([f"{value:.0f}" for value in values], object)
    return np.asarray(plain_texts(values), np.str_)


def tidy(labels: NDArray[np.str_]) -> NDArray[np.str_]:
    """Labels without blanks around them, one blank for several, accents spelt in one way.

    Parameters
    ----------
    labels : str, shape (n_cells,)
    """
    names, codes = np.unique(labels, return_inverse=True)
    composed = (unicodedata.normalize("NFC", str(name)) for name in names)
    clean = [" ".join(name.translate(_UNSEEN).split()) for name in composed]
    return np.asarray(clean, np.str_)[codes]


def clean_labels(labels: NDArray[np.str_], where: str) -> NDArray[np.str_]:
    """Labels as `tidy` makes them, names that cannot be used refused.

    Parameters
    ----------
    labels : str, shape (n_cells,)
    where : str
        File and column, for error texts.

    Raises
    ------
    LabelsError
        If a type is called "Unassigned" or has a ``|`` in its name.

    Examples
    --------
    >>> clean_labels(np.array(["T ", "T", "B"]), "obs").tolist()
    ['T', 'T', 'B']
    """
    clean = tidy(labels)
    names, sizes = np.unique(clean, return_counts=True)
    for name, size in zip(names, sizes, strict=True):
        if name == UNASSIGNED:
            raise LabelsError(
                f"{where}: {size:,} cells are of type {str(name)!r}, which is peakatlas's own word "
                "for a cell without a type. Remove these cells, or give the type another name."
            )
        if BETWEEN in name:
            raise LabelsError(
                f"{where}: the type {str(name)!r} has a {BETWEEN!r} in its name, which stands "
                "between the types of a set. Give the type another name."
            )
    return np.asarray(clean, np.str_)


def n_stripped(labels: NDArray[np.str_]) -> int:
    """How many labels `clean_labels` changes."""
    return int((tidy(labels) != labels).sum())


def check_labels(labels: NDArray[np.str_], where: str) -> None:
    """Refuse labels that cannot be learnt.

    Raises
    ------
    LabelsError
        If a label has fewer than 3 cells, or there is only one label.
    """
    names, sizes = np.unique(labels, return_counts=True)
    if len(names) < 2:
        raise LabelsError(f"{where}: only one label ({names[0]}). Training needs at least two.")
    few = sizes < MIN_CELLS
    if few.any():
        shown = ", ".join(
            f"{n} ({s})" for n, s in zip(names[few][:SHOWN], sizes[few], strict=False)
        )
        raise LabelsError(
            f"{where}: {int(few.sum())} label(s) have fewer than {MIN_CELLS} cells: {shown}. "
            "Merge or remove them."
        )
