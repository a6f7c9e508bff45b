"""Names of the cell embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from peakatlas.classifier.counts.peak_table import PeakTable

Representation = Literal["hybrid", "sequence", "profile", "trunk", "reindexed"]
REPRESENTATIONS: tuple[Representation, ...] = (
    "hybrid",
    "sequence",
    "profile",
    "trunk",
    "reindexed",
)
DnaBlock = Literal["sequence", "profile", "trunk"]


def checked_representation(wanted: Representation, peaks: PeakTable) -> Representation:
    """The representation that can be had of these peaks.

    Parameters
    ----------
    wanted : str
    peaks : PeakTable

    Raises
    ------
    ValueError
        If it is not known, or fewer than two peaks have an embedding and it needs them.
    """
    if wanted not in REPRESENTATIONS:
        names = ", ".join(REPRESENTATIONS)
        raise ValueError(f"representation {wanted!r} is not known; choose one of {names}")
    enough = int(peaks.embedded.sum()) >= 2
    if wanted not in ("hybrid", "reindexed") and not enough:
        raise ValueError(
            f"representation {wanted!r} needs embedded peaks, and {int(peaks.embedded.sum())} of "
            f"{len(peaks)} have an embedding. Give --genome, or an atlas that holds these peaks."
        )
    if wanted == "hybrid" and not enough:
        return "reindexed"
    return wanted


def usual_mix(representation: Representation) -> float:
    """Share of the sequence block before one is chosen."""
    return 0.5 if representation == "hybrid" else float(representation != "reindexed")
