"""The atlas that `train` and `annotate` take, or take none; what a bundle is licensed for."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

import peakatlas
from peakatlas.classifier.bundle.catalogue import find_bundle
from peakatlas.cli.terminal import say

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from peakatlas.classifier.naming.peak_terms import PeakTerms

    from .groups import ElementOptions


def opened_terms(given: ElementOptions, atlas: str | None) -> PeakTerms | None:
    """Annotated elements, if they were asked for."""
    if given.elements is None:
        for option, value in (("--build", given.build), ("--elements-chain", given.elements_chain)):
            if value is not None:
                raise typer.BadParameter("only --elements reads it", param_hint=option)
        return None
    if given.build is None:
        raise typer.BadParameter("give --build, the peaks' genome build", param_hint="--elements")
    if atlas is not None:
        raise typer.BadParameter("give them or --atlas, not both", param_hint="--elements")
    from peakatlas.classifier.naming.peak_terms import PeakTerms  # noqa: PLC0415 - keeps the help fast

    return PeakTerms.open(given.build, given.elements, given.elements_chain)


def say_card(bundle: Path) -> None:
    """Say build, licence and source of a bundle that has a card."""
    from peakatlas.classifier.bundle.card import read_card  # noqa: PLC0415 - keeps the help fast

    card = read_card(find_bundle(bundle))
    if card is not None:
        say(f"bundle {bundle.name}: {card.describe()}")


@contextmanager
def opened_atlas(path: str | None) -> Iterator[peakatlas.Atlas | None]:
    """The atlas, if one was given; else say what goes without it."""
    if path is None:
        say("no atlas: peaks are matched by coordinates, DNA is not read")
        yield None
        return
    with peakatlas.Atlas.open(path) as atlas:
        yield atlas
