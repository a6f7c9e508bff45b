"""Embeddings as int8: one scale and one offset a dimension."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from peakatlas.engine.errors import AtlasError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

NAN_CODE = -128
"""Code of NaN: every value of a masked row, and the fill value."""
LARGEST_CODE = 127


@dataclass(frozen=True, kw_only=True)
class Int8Code:
    """How float values become codes from -127 to 127: ``value = code * scale + offset``.

    Raises
    ------
    AtlasError
        If the two differ in length, a scale is not positive, or a value is not finite.

    Examples
    --------
    >>> code = Int8Code.covering([-1.0, 0.0], [1.0, 0.0])
    >>> codes = code.encode([[1.0, 0.0], [-1.0, 0.0]])
    >>> codes.tolist(), code.decode(codes).tolist()
    ([[127, 0], [-127, 0]], [[1.0, 0.0], [-1.0, 0.0]])
    """

    scale: tuple[float, ...]
    """Step between two codes, float32, one a dimension; above 0."""
    offset: tuple[float, ...]
    """Value of code 0, float32, one a dimension."""

    def __post_init__(self) -> None:
        scale, offset = self._arrays()
        if scale.shape != offset.shape or scale.ndim != 1:
            raise AtlasError(
                f"embedding_scale has shape {scale.shape}, embedding_offset {offset.shape}; "
                "both must have one value a dimension."
            )
        if not (np.isfinite(scale) & np.isfinite(offset) & (scale > 0)).all():
            raise AtlasError("embedding_scale must be above 0 and embedding_offset finite.")

    @classmethod
    def covering(cls, low: ArrayLike, high: ArrayLike) -> Int8Code:
        """The finest code that holds values from `low` to `high`, one pair a dimension.

        Parameters
        ----------
        low, high : float, shape (dim,)
            A dimension in which they are equal is held exactly.
        """
        least, most = np.asarray(low, np.float64), np.asarray(high, np.float64)
        step = (most - least) / (2 * LARGEST_CODE)
        scale = np.where(step > 0, step, 1).astype(np.float32)
        offset = ((least + most) / 2).astype(np.float32)
        return cls(scale=tuple(scale.tolist()), offset=tuple(offset.tolist()))

    def encode(self, values: ArrayLike) -> NDArray[np.int8]:
        """Codes of embeddings; the nearest code each, `NAN_CODE` where a value is NaN.

        Parameters
        ----------
        values : float, shape (n, dim)

        Returns
        -------
        int8, shape (n, dim)
        """
        scale, offset = self._arrays()
        steps = (np.asarray(values, np.float32) - offset) / scale
        nearest = np.clip(np.rint(steps), -LARGEST_CODE, LARGEST_CODE)
        return np.where(np.isnan(nearest), NAN_CODE, nearest).astype(np.int8)

    def decode(self, codes: NDArray[np.int8]) -> NDArray[np.float32]:
        """Embeddings of codes, NaN where the code is `NAN_CODE`.

        Parameters
        ----------
        codes : int8, shape (n, dim)

        Returns
        -------
        float32, shape (n, dim)
        """
        scale, offset = self._arrays()
        values = codes.astype(np.float32)
        values *= scale
        values += offset
        values[codes == NAN_CODE] = np.nan
        return values

    def _arrays(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return np.asarray(self.scale, np.float32), np.asarray(self.offset, np.float32)
