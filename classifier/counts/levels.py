"""Cell types at several levels, coarse to fine, found from the labels and never at odds."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from peakatlas.engine.errors import LabelsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Levels:
    """A tree of types: every fine type lies under one type of each coarser level."""

    columns: tuple[str, ...]
    """Label column of each level, the coarsest first."""
    types: tuple[tuple[str, ...], ...]
    """Types of each level, sorted."""
    members: tuple[tuple[int, ...], ...]
    """For each level, the code of the type that each of the finest types lies under."""

    @classmethod
    def find(cls, columns: Sequence[str], labels: Sequence[NDArray[np.str_]]) -> Levels:
        """Order columns from coarse to fine and find what lies under what.

        Parameters
        ----------
        columns : sequence of str
            In any order.
        labels : sequence of str, shape (n_cells,)
            Of the same cells, one a column.

        Raises
        ------
        LabelsError
            If a type lies under two types of a coarser column.
        """
        coded = [np.unique(each, return_inverse=True) for each in labels]
        order = sorted(range(len(columns)), key=lambda i: len(coded[i][0]))
        finest = coded[order[-1]]
        for upper, lower in pairwise(order):
            _check_nested(columns[upper], labels[upper], columns[lower], labels[lower])
        first_cell = np.unique(finest[1], return_index=True)[1]
        return cls(
            columns=tuple(columns[i] for i in order),
            types=tuple(tuple(map(str, coded[i][0])) for i in order),
            members=tuple(tuple(coded[i][1][first_cell].tolist()) for i in order),
        )

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Levels:
        """Inverse of `to_json`."""
        return cls(
            columns=tuple(values["columns"]),
            types=tuple(tuple(each) for each in values["types"]),
            members=tuple(tuple(each) for each in values["members"]),
        )

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON types."""
        return asdict(self)

    @property
    def finest(self) -> tuple[str, ...]:
        """Types that the classifier tells apart."""
        return self.types[-1]

    def parents(self, level: int) -> NDArray[np.int64]:
        """Type of a level that each of the finest types lies under, shape (n_finest,)."""
        return np.asarray(self.members[level], np.int64)

    def sums(
        self, probabilities: NDArray[np.float32] | NDArray[np.float64], level: int
    ) -> NDArray[np.float32]:
        """Probability of each type of a level: the sum over what lies under it.

        Parameters
        ----------
        probabilities : float, shape (n_cells, n_finest)
        level : int

        Returns
        -------
        float32, shape (n_cells, n_types of the level)
        """
        under = np.zeros((len(self.finest), len(self.types[level])), np.float32)
        under[np.arange(len(self.finest)), self.parents(level)] = 1
        return np.asarray(probabilities @ under, np.float32)


def _check_nested(upper: str, coarse: NDArray[np.str_], lower: str, fine: NDArray[np.str_]) -> None:
    pairs, sizes = np.unique(np.stack([fine, coarse]), axis=1, return_counts=True)
    names, times = np.unique(pairs[0], return_counts=True)
    torn = names[times > 1]
    if not len(torn):
        return
    under = pairs[0] == torn[0]
    parents = " and ".join(
        f"{str(parent)!r} ({size:,} cells)"
        for parent, size in zip(pairs[1][under], sizes[under], strict=True)
    )
    more = f" (and {len(torn) - 1} more such types)" if len(torn) > 1 else ""
    raise LabelsError(
        f"{lower} {str(torn[0])!r} lies under {parents} of {upper}{more}: levels must be nested. "
        f"Relabel these cells, give the types of {lower} a name for each, or train with one of "
        "the columns."
    )
