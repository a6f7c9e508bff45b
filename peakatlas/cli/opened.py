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


def check_genome(genome: Path | None, atlas: str | None) -> None:
    """Refuse a genome without an atlas: it serves to embed peaks by the model of one."""
    if genome is not None and atlas is None:
        raise typer.BadParameter("without --atlas no peak is embedded", param_hint="--genome")


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
