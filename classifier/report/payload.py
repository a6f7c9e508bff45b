"""Numbers of a report as packed columns: small in the page, typed arrays in the browser."""

from __future__ import annotations

import base64
import gzip
import json
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

ALIGN = 8
MISSING = 65_535
"""Code of NaN."""
STEP = 0.001
"""Of numbers that have no more than three digits to show."""


class Payload:
    """Arrays behind one another, each named by where it lies; JSON in front.

    Layout: length of the JSON (uint32, little-endian), the JSON padded with blanks to a multiple
    of 8 bytes behind that length, then the arrays, each padded to a multiple of 8 bytes.
    """

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, values: NDArray[Any]) -> dict[str, Any]:
        """Keep an array of uint8, uint16 or uint32.

        Returns
        -------
        dict
            ``type``, ``at`` (byte offset behind the JSON) and ``n``, by which the page finds it.
        """
        raw = np.ascontiguousarray(values.astype(values.dtype.newbyteorder("<"))).tobytes()
        place = {"type": values.dtype.name, "at": self._size, "n": len(values)}
        self._parts.append(raw + bytes(-len(raw) % ALIGN))
        self._size += len(self._parts[-1])
        return place

    def categories(self, values: pd.Series[Any], order: Sequence[str] = ()) -> dict[str, Any]:
        """Keep a column of texts as codes.

        Parameters
        ----------
        values : Series
        order : sequence of str
            Categories that come first, whether they occur or not; the others follow by name.
        """
        text = values.astype(str).to_numpy()
        names = [*order, *sorted(set(text.tolist()) - set(order))]
        codes = {name: code for code, name in enumerate(names)}
        found = np.fromiter((codes[name] for name in text), np.uint32, len(text))
        return {"kind": "category", "categories": names, "data": self.add(_narrow(found))}

    def numbers(self, values: ArrayLike) -> dict[str, Any]:
        """Keep a column of numbers as 65,535 steps or fewer.

        Whole numbers up to 65,534 are exact, others below 65 have three digits.
        """
        wide = np.asarray(values, np.float64)
        low, step = _scale(wide[np.isfinite(wide)])
        codes = np.full(len(wide), MISSING, np.uint16)
        good = np.isfinite(wide)
        codes[good] = np.rint((wide[good] - low) / step).astype(np.uint16)
        return {"kind": "number", "low": low, "step": step, "data": self.add(codes)}

    def text(self, lines: Sequence[str]) -> dict[str, Any]:
        """Keep lines of text."""
        joined = "\n".join(line.replace("\n", " ") for line in lines)
        return self.add(np.frombuffer(joined.encode(), np.uint8))

    def packed(self, facts: dict[str, Any]) -> str:
        """Everything, with `facts` as the JSON in front; base64 of gzip.

        Raises
        ------
        ValueError
            If a number is NaN or infinite.
        """
        head = json.dumps(facts, allow_nan=False, separators=(",", ":")).encode()
        head += b" " * (-(len(head) + 4) % ALIGN)
        return packed(len(head).to_bytes(4, "little") + head + b"".join(self._parts))


def packed(raw: bytes) -> str:
    """Base64 of gzip, which the browser unpacks."""
    return base64.b64encode(gzip.compress(raw, 9, mtime=0)).decode("ascii")


def _narrow(codes: NDArray[np.uint32]) -> NDArray[Any]:
    return codes.astype(np.min_scalar_type(codes.max(initial=0)))


def _scale(values: NDArray[np.float64]) -> tuple[float, float]:
    """Lowest value and step that fit the values into 65,535 codes."""
    if len(values) == 0:
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    if low >= 0 and high < MISSING and bool((values == np.rint(values)).all()):
        return 0.0, 1.0
    if low >= 0 and high < MISSING * STEP:
        return 0.0, STEP
    return low, (high - low) / (MISSING - 1) or 1.0
