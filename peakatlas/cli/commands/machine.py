"""`peakatlas models` and `benchmark`: what there is, and how fast it is here."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from peakatlas.cli.base import Command
from peakatlas.cli.groups import ModelOptions, grouped
from peakatlas.cli.options import MODEL_PANEL, JsonOption
from peakatlas.cli.terminal import card_facts, print_table, show_licence, working
from peakatlas.engine.models.table import MODELS

from .throughput_table import print_throughput

app = typer.Typer()


@app.command(
    cls=Command, rich_help_panel=MODEL_PANEL, epilog="peakatlas models\npeakatlas models --json"
)
def models(as_json: JsonOption = False) -> None:
    """Name, size, context and licence of the models."""
    if as_json:
        typer.echo(json.dumps({name: card_facts(card) for name, card in MODELS.items()}))
        return
    rows = [card_facts(card) for card in MODELS.values()]
    print_table(list(rows[0]), [[str(value) for value in row.values()] for row in rows])


@app.command(
    cls=Command,
    rich_help_panel=MODEL_PANEL,
    epilog="peakatlas benchmark --seconds 5\n"
    "peakatlas benchmark --model nucleotide-transformer-v2-50m-multi-species --ranks 1,2 --json",
)
@grouped
def benchmark(
    rules: ModelOptions,
    ranks: Annotated[
        str, typer.Option("--ranks", metavar="1,2,…", help="Processes to try side by side.")
    ] = "1",
    seconds: Annotated[
        float, typer.Option("--seconds", metavar="S", min=0.1, help="Seconds of one measurement.")
    ] = 10.0,
    million_peaks: Annotated[
        float,
        typer.Option(
            "--million-peaks",
            metavar="M",
            min=0,
            help="Project the hours for so many million peaks.",
        ),
    ] = 1.0,
    as_json: JsonOption = False,
) -> None:
    """Speed of a model on this machine, and the hours that many peaks would take."""
    from peakatlas.engine.throughput import measure_ranks  # noqa: PLC0415 - keeps the help fast

    if not all(part.strip().isdecimal() for part in ranks.split(",")):
        raise typer.BadParameter(
            f"{ranks!r} is not a list of numbers such as 1,2,4.", param_hint="--ranks"
        )
    show_licence(rules.model)
    found = []
    for part in ranks.split(","):
        with working(f"measuring {part} process(es)"):
            found.append(measure_ranks(asdict(rules), int(part), seconds=seconds))
    print_throughput(found, million_peaks, as_json=as_json)
