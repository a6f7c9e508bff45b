"""Members of the first stage, by default and by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peakatlas.classifier.models.discriminant import NoiseAwareDiscriminant, ShrunkenLda
from peakatlas.classifier.models.linear import BalancedLogisticRegression
from peakatlas.classifier.models.multinomial import DirichletMultinomial
from peakatlas.classifier.models.profiles import TypeProfiles
from peakatlas.classifier.models.terms import TermProfiles
from peakatlas.engine.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from peakatlas.classifier.models.protocol import Member

MEMBERS: tuple[Member, ...] = (
    NoiseAwareDiscriminant(),
    ShrunkenLda(),
    BalancedLogisticRegression(),
    DirichletMultinomial(),
    TypeProfiles(),
    TermProfiles(),
)
"""The default ones, in the order of tables."""
NETWORK = "network"
"""The alignment network, which serves only by name: it needs torch and adds nothing to the rest."""


def chosen_members(names: Sequence[str] | None) -> tuple[Member, ...]:
    """Members of these names, or the default ones.

    Raises
    ------
    ModelError
        If a name is not known.
    """
    if names is None:
        return MEMBERS
    return tuple(map(_member, names))


def _member(name: str) -> Member:
    if name == NETWORK:
        from .network import AlignmentNetwork  # noqa: PLC0415 - imports torch

        return AlignmentNetwork()
    for each in MEMBERS:
        if each.name == name:
            return each
    known = ", ".join([*(each.name for each in MEMBERS), NETWORK])
    raise ModelError(f"Method {name!r} is not known. Choose one of {known}.")
