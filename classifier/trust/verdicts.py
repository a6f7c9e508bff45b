"""What may be done with each type's labels, from held-out cells that the same labeller labelled."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Verdict = Literal["trust", "check", "merge", "do not use"]

GOOD_F1 = 0.7
"""Held-out F1 from which labels of a type are trusted."""
POOR_F1 = 0.5
"""Held-out F1 below which they should not be used."""
MERGE_SHARE = 0.5
"""Share of a type's mistakes, in both directions, that one other type must take to merge them."""
FEW_CELLS = 10
"""Held-out cells below which figures of a type are mostly chance."""
RIGHT_SHARE = 0.9
"""Share of right labels that a cut-off gives."""


@dataclass(frozen=True, kw_only=True)
class TypeVerdict:
    """One type, and what its held-out cells say."""

    type: str
    verdict: Verdict
    cells: int
    """Held-out cells of the type."""
    f1: float
    precision: float
    """Share of the cells with this label that are of the type; NaN if none has it."""
    recall: float
    confidence: float
    """Mean confidence of the cells with this label; NaN if none has it."""
    cutoff: float
    """Lowest confidence from which nine in ten of its labels are right; NaN if there is none."""
    mistaken_for: str
    """Type that takes most of its mistakes, in either direction; empty without mistakes."""

    @property
    def words(self) -> str:
        """The verdict as people read it, such as ``merge with CD4 memory``."""
        return f"merge with {self.mistaken_for}" if self.verdict == "merge" else self.verdict

    @property
    def reason(self) -> str:
        """The figures behind it, in a sentence."""
        if not self.cells:
            return "no cell of the type could be held out"
        text = f"held-out F1 {self.f1:.2f} on {self.cells:,} cells"
        if np.isfinite(self.precision) and self.confidence - self.precision > 0.2:
            text += (
                f"; {self.precision:.0%} of its labels are right at a mean confidence of "
                f"{self.confidence:.0%}"
            )
        if self.mistaken_for and self.verdict != "trust":
            text += f"; most often mixed up with {self.mistaken_for}"
        return text

    def to_json(self) -> dict[str, Any]:
        """All fields with `words` and `reason`; None for what is not defined."""
        fields = {**asdict(self), "words": self.words, "reason": self.reason}
        return {name: None if value != value else value for name, value in fields.items()}  # noqa: PLR0124 - NaN


def type_verdicts(
    types: NDArray[np.str_],
    codes: NDArray[np.int64],
    best: NDArray[np.int64],
    confidence: NDArray[np.float64],
) -> list[TypeVerdict]:
    """Verdicts of all types.

    Parameters
    ----------
    types : str, shape (n_types,)
    codes : int64, shape (n_cells,)
        Types of held-out cells.
    best : int64, shape (n_cells,)
        Types that they were given.
    confidence : float64, shape (n_cells,)
        Calibrated.

    Returns
    -------
    list of TypeVerdict
        In the order of `types`.
    """
    n = len(types)
    table = np.zeros((n, n), np.int64)
    np.add.at(table, (codes, best), 1)
    return [
        _verdict(types, table, code, confidence[best == code], codes[best == code] == code)
        for code in range(n)
    ]


def cutoff(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """Lowest confidence from which nine in ten labels are right.

    Parameters
    ----------
    confidence : float64, shape (n_cells,)
        Of cells with one label.
    right : bool, shape (n_cells,)

    Returns
    -------
    float
        NaN if no ten cells of the highest confidence are so often right.

    Examples
    --------
    >>> round(cutoff(np.linspace(0.6, 0.99, 40), np.arange(40) >= 11), 2)
    0.68
    """
    order = np.argsort(-confidence, kind="stable")
    ranked = confidence[order]
    share = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    last_of_its_value = np.append(ranked[1:] < ranked[:-1], True)[: len(order)]
    good = last_of_its_value & (share >= RIGHT_SHARE) & (np.arange(len(order)) + 1 >= FEW_CELLS)
    return float(ranked[np.flatnonzero(good)[-1]]) if good.any() else float("nan")


def _verdict(
    types: NDArray[np.str_],
    table: NDArray[np.int64],
    code: int,
    confidence: NDArray[np.float64],
    right: NDArray[np.bool_],
) -> TypeVerdict:
    hits, cells, given = int(table[code, code]), int(table[code].sum()), int(table[:, code].sum())
    mixed = table[code] + table[:, code]
    mixed[code] = 0
    other = int(mixed.argmax())
    f1 = _f1(table, [code])
    verdict: Verdict = "trust" if f1 >= GOOD_F1 else "check" if f1 >= POOR_F1 else "do not use"
    mergeable = mixed[other] >= MERGE_SHARE * mixed.sum() and _f1(table, [code, other]) >= GOOD_F1
    if cells < FEW_CELLS and verdict == "trust":
        verdict = "check"
    elif verdict != "trust" and mixed.sum() and mergeable:
        verdict = "merge"
    return TypeVerdict(
        type=str(types[code]),
        verdict=verdict,
        cells=cells,
        f1=f1,
        precision=hits / given if given else float("nan"),
        recall=hits / cells if cells else float("nan"),
        confidence=float(confidence.mean()) if len(confidence) else float("nan"),
        cutoff=cutoff(confidence, right),
        mistaken_for=str(types[other]) if mixed[other] else "",
    )


def _f1(table: NDArray[np.int64], together: list[int]) -> float:
    """F1 of some types taken as one; 0 if no cell has or gets any of them."""
    hits = int(table[np.ix_(together, together)].sum())
    total = int(table[together].sum() + table[:, together].sum())
    return 2 * hits / total if total else 0.0
