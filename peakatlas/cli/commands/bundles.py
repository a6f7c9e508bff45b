"""`peakatlas bundles`: list, fetch, describe and publish trained bundles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from peakatlas.classifier.bundle.catalogue import find_bundle, known_bundles
from peakatlas.cli.base import Command
from peakatlas.cli.options import BundleArgument, JsonOption, RevisionOption
from peakatlas.cli.terminal import print_facts, print_table, say, working

if TYPE_CHECKING:
    from collections.abc import Mapping

app = typer.Typer()


@app.command("list", cls=Command, epilog="peakatlas bundles list")
def list_bundles(as_json: JsonOption = False) -> None:
    """List the bundles that have a name: those that come with peakatlas, and fetched ones."""
    found = [_facts(name, folder) for name, folder in known_bundles().items()]
    if as_json:
        print(json.dumps(found))
        return
    if not found:
        say("no bundle has a name yet. Fetch one: peakatlas bundles get SOURCE")
        return
    header = ("name", "types", "cells", "peaks", "build", "tissue", "licence", "held-out accuracy")
    print_table(
        header, [[_text(facts[key.replace(" ", "_")]) for key in header] for facts in found]
    )


@app.command(
    cls=Command,
    epilog="peakatlas bundles get owner/name\n"
    "peakatlas bundles get https://example.org/bundles/liver --name liver\n"
    "peakatlas bundles get bundle/ --name mine",
)
def get(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE", help="Hub id owner/name, URL of the bundle's folder, or a folder."
        ),
    ],
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="Name to keep it by; its own if not given."),
    ] = None,
    sha256: Annotated[
        str | None,
        typer.Option("--sha256", metavar="HEX", help="Refuse a bundle of another digest."),
    ] = None,
    revision: RevisionOption = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a bundle of that name in the cache.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Fetch a bundle, check it, show its licence and keep it by a name."""
    from peakatlas.classifier.bundle.exchange import get_bundle  # noqa: PLC0415 - a quick help

    with working(f"fetching {source}"):
        found = get_bundle(source, name, sha256=sha256, revision=revision, force=force)
    facts = _facts(found.folder.name, found.folder)
    print_facts({**facts, "sha256": found.digest}, as_json=as_json)
    if facts["licence"] is None:
        say("the bundle has no card: ask its makers for licence and source before you use it")
    say(f"use it: peakatlas annotate query.h5ad --bundle {facts['name']} -o annotated.h5ad")


@app.command(
    cls=Command,
    epilog="peakatlas bundles card bundle/ --licence CC-BY-4.0 --build hg38 "
    "--source 'Smith et al. 2025'",
)
def card(
    bundle: BundleArgument,
    licence: Annotated[
        str,
        typer.Option("--license", "--licence", metavar="SPDX", help="Such as CC-BY-4.0, or other."),
    ],
    source: Annotated[
        str, typer.Option("--source", metavar="TEXT", help="Whose data, and where they are.")
    ],
    build: Annotated[
        str, typer.Option("--build", metavar="BUILD", help="Genome build of the peaks: hg38.")
    ],
    tissue: Annotated[
        str, typer.Option("--tissue", metavar="TEXT", help="Tissue of the cells.")
    ] = "",
    limit: Annotated[
        list[str] | None,
        typer.Option("--limit", metavar="TEXT", help="What it is not for; may be given again."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write the card of a bundle, README.md in its folder: data, types, figures, limits."""
    from peakatlas.classifier.bundle.card import CARD_FILE, Card, write_card  # noqa: PLC0415

    folder, limits = find_bundle(bundle), tuple(limit or ())
    write_card(
        folder, Card(source=source, licence=licence, build=build, tissue=tissue, limits=limits)
    )
    say(f"wrote {folder / CARD_FILE}; read it, and add what a reader should know")
    print_facts({"path": str(folder / CARD_FILE)}, as_json=as_json)


@app.command(cls=Command, epilog="peakatlas bundles publish bundle/ owner/name")
def publish(
    bundle: BundleArgument,
    hub_id: Annotated[
        str, typer.Argument(metavar="OWNER/NAME", help="Repository of the Hugging Face hub.")
    ],
    private: Annotated[
        bool, typer.Option("--private", help="Make a new repository a private one.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Put a bundle and its card on the Hugging Face hub; log in first: hf auth login."""
    from peakatlas.classifier.bundle.exchange import publish_bundle  # noqa: PLC0415 - a quick help

    say("a bundle holds the counts of reference cells: publish it as you would publish these")
    with working(f"publishing {bundle}"):
        url = publish_bundle(find_bundle(bundle), hub_id, private=private)
    print_facts({"url": url, "get": f"peakatlas bundles get {hub_id}"}, as_json=as_json)


def _facts(name: str, folder: Path) -> dict[str, Any]:
    """What a bundle says of itself, without reading its cells."""
    from peakatlas.classifier.bundle.card import read_card  # noqa: PLC0415 - a quick help
    from peakatlas.classifier.bundle.folder import read_bundle_settings  # noqa: PLC0415

    settings, card = read_bundle_settings(folder), read_card(folder)
    made: Mapping[str, Any] = settings.provenance
    return {
        "name": name,
        "path": str(folder),
        "types": list(settings.levels.types[-1]),
        "cells": made.get("kept_cells"),
        "peaks": made.get("peaks"),
        "build": card.build if card else None,
        "tissue": card.tissue if card else None,
        "licence": card.licence if card else None,
        "source": card.source if card else None,
        "held-out_accuracy": settings.held_out.get("accuracy"),
    }


def _text(value: object) -> str:
    if isinstance(value, list):
        return f"{len(value)}"
    if isinstance(value, float):
        return f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int) else str(value or "–")
