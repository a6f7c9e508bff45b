"""Does an embedding fit the state of its row?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .int8 import NAN_CODE
from .schema import EMBEDDED, MASKED

if TYPE_CHECKING:
    from numpy.typing import NDArray


def wrong_rows(embedding: NDArray[Any], state: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Rows that do not fit their state.

    Parameters
    ----------
    embedding : float16 or int8, shape (n, dim)
        As stored. An embedded row must be finite, a masked one NaN, in every dimension.
    state : uint8, shape (n,)

    Returns
    -------
    int64, shape (n_wrong,)
        Ascending.
    """
    if embedding.dtype == np.int8:
        some, every = (embedding == NAN_CODE).any(axis=1), (embedding == NAN_CODE).all(axis=1)
    else:
        size = embedding.view(np.uint16) & 0x7FFF  # above 0x7C00, infinity in float16, is NaN
        some, every = size.max(axis=1) >= 0x7C00, size.min(axis=1) > 0x7C00
    return np.flatnonzero(
        ~np.isin(state, (EMBEDDED, MASKED))
        | ((state == EMBEDDED) & some)
        | ((state == MASKED) & ~every)
    )
