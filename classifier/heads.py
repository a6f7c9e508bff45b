"""Linear members that the reference may choose from, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import scipy.sparse as sp

from .discriminant import fit_discriminant
from .linear import fit_linear

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .linear import Features, LinearHead


class Head(NamedTuple):
    """A kind of linear model and how strongly it is held back."""

    kind: Literal["logistic", "discriminant"]
    setting: float
    """Inverse ridge penalty of a logistic regression, ridge of a discriminant."""

    def fit(
        self,
        views: Sequence[Features],
        types: NDArray[np.int64],
        n_types: int,
        weights: NDArray[np.float32] | None = None,
    ) -> LinearHead:
        """Fit it; see `fit_linear` and `fit_discriminant`.

        A discriminant learns from every view how depth changes cells; a logistic regression, whose
        features carry depth in their length, from the first alone.

        Parameters
        ----------
        views : sequence of csr_matrix or float32, shape (n_cells, n_features)
            The same cells at several depths, the first at full depth; sparse for a discriminant.
        types : int64, shape (n_cells,)
        n_types : int
        weights : float32, shape (n_cells,), optional
        """
        if self.kind == "logistic":
            return fit_linear(views[0], types, n_types, strength=self.setting, weights=weights)
        return fit_discriminant(
            sp.csr_matrix(sp.vstack([sp.csr_matrix(view) for view in views])),
            np.tile(types, len(views)),
            n_types,
            ridge=self.setting,
            weights=None if weights is None else np.tile(weights, len(views)),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.setting:g}"
