"""Which members there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .discriminant import NoiseAwareDiscriminant, ShrunkenLda
from .linear import BalancedLogisticRegression
from .multinomial import DirichletMultinomial
from .profiles import TypeProfiles

if TYPE_CHECKING:
    from .protocol import Member

MEMBERS: tuple[Member, ...] = (
    NoiseAwareDiscriminant(),
    ShrunkenLda(),
    BalancedLogisticRegression(),
    DirichletMultinomial(),
    TypeProfiles(),
)
"""Every member, in the order of tables."""


def member(name: str) -> Member:
    """The member of that name.

    Raises
    ------
    ValueError
        If there is none.
    """
    for each in MEMBERS:
        if each.name == name:
            return each
    raise ValueError(f"no member is called {name}; there are {[m.name for m in MEMBERS]}")
