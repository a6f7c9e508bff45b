"""Compressed chunks, which the format allows and this software does not write, made plain."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

COMPRESSORS = ("zstd", "blosc", "numcodecs.zstd", "numcodecs.blosc")
"""Codecs that unpack into a buffer of a length known beforehand, and refuse to fill more."""


def longest(n_bytes: int) -> int:
    """Most bytes that a compressor makes of so many: what does not shrink grows a little."""
    return n_bytes + n_bytes // 128 + 512


def unpacked(data: NDArray[np.uint8], codec: str, n_bytes: int) -> NDArray[np.uint8]:
    """What a compressed chunk holds.

    Parameters
    ----------
    data : uint8, shape (n_compressed,)
    codec : str
        One of `COMPRESSORS`.
    n_bytes : int
        Length of the chunk.

    Raises
    ------
    ValueError, RuntimeError
        If it is damaged, or unpacks to more.
    """
    from numcodecs import Blosc, Zstd  # noqa: PLC0415 - slow, and seldom needed

    out = np.zeros(n_bytes, np.uint8)
    decoder = Zstd() if codec.endswith("zstd") else Blosc()
    decoder.decode(np.ascontiguousarray(data), out)
    return out
