"""What the members of a labeller weigh, from what it says of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

FIRST_STAGE = "first_stage"


def member_shares(found: Mapping[str, Any]) -> dict[str, float]:
    """Share of each member in what labels cells; those of the first stage by its share.

    Parameters
    ----------
    found : mapping
        ``record["labeller"]``.

    Examples
    --------
    >>> weights = {"adapted_logistic": 3.0, "first_stage": 1.0}
    >>> member_shares({"weights": weights, "first_weights": {"dna": 1.0, "lda": 1.0}})
    {'adapted_logistic': 0.75, 'dna': 0.125, 'lda': 0.125}
    """
    shares = _shares(found["weights"])
    first = shares.pop(FIRST_STAGE, 0.0)
    within = _shares(found.get("first_weights", {})) if first else {}
    return {**shares, **{name: first * share for name, share in within.items()}}


def _shares(weights: Mapping[str, float]) -> dict[str, float]:
    total = sum(weights.values()) or 1.0
    return {name: weight / total for name, weight in weights.items()}
