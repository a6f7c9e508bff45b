"""`peakatlas models`, `benchmark` and `demo`: what there is, how fast it is here, how it looks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from peakatlas.cli.base import Command
from peakatlas.cli.options import (
    JsonOption,
    ModelOption,
    PrecisionOption,
    RevisionOption,
    SeedOption,
    StrandOption,
    TrustOption,
    WindowOption,
)
from peakatlas.cli.terminal import (
    card_facts,
    print_table,
    progress_bar,
    say,
    show_licence,
    warn,
    working,
)
from peakatlas.engine.models.table import MODELS

from .throughput_table import print_throughput

app = typer.Typer()

PANEL = "This machine"


@app.command(
    cls=Command,
    rich_help_panel=PANEL,
    epilog="peakatlas demo\npeakatlas demo -o /tmp/demo --json",
)
def demo(
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="FOLDER", help="Folder to write.")
    ] = Path("demo-output"),
    model: ModelOption = "peaklm-v3",
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Build, train and annotate on packaged data: real DNA, simulated cells."""
    from peakatlas.demo.run import run_demo  # noqa: PLC0415 - keeps the help fast

    result = run_demo(out, model=model, seed=seed, say=say, progress=progress_bar)
    for text in result.alerts:
        warn(text)
    if as_json:
        typer.echo(json.dumps(result.to_json()))
    else:
        print_table((), result.rows())


@app.command(cls=Command, rich_help_panel=PANEL, epilog="peakatlas models\npeakatlas models --json")
def models(as_json: JsonOption = False) -> None:
    """Name, size, context and licence of the models."""
    if as_json:
        typer.echo(json.dumps({name: card_facts(card) for name, card in MODELS.items()}))
        return
    rows = [card_facts(card) for card in MODELS.values()]
    print_table(list(rows[0]), [[str(value) for value in row.values()] for row in rows])


@app.command(
    cls=Command,
    rich_help_panel=PANEL,
    epilog="peakatlas benchmark --seconds 5\n"
    "peakatlas benchmark --model nucleotide-transformer-v2-50m-multi-species --ranks 1,2 --json",
)
def benchmark(
    model: ModelOption = "peaklm-v3",
    window: WindowOption = None,
    strand: StrandOption = "forward",
    precision: PrecisionOption = "bf16",
    revision: RevisionOption = None,
    trust_remote_code: TrustOption = False,
    ranks: Annotated[
        str, typer.Option("--ranks", metavar="1,2,…", help="Processes to try side by side.")
    ] = "1",
    seconds: Annotated[
        float, typer.Option("--seconds", metavar="S", min=0.1, help="Time of one measurement.")
    ] = 10.0,
    million_peaks: Annotated[
        float,
        typer.Option("--million-peaks", metavar="M", min=0, help="Project the hours for so many."),
    ] = 1.0,
    as_json: JsonOption = False,
) -> None:
    """Speed of a model on this machine, and the hours that many peaks would take."""
    from peakatlas.engine.throughput import measure_ranks  # noqa: PLC0415 - keeps the help fast

    if not all(part.strip().isdecimal() for part in ranks.split(",")):
        raise typer.BadParameter(
            f"{ranks!r} is not a list of numbers such as 1,2,4.", param_hint="--ranks"
        )
    show_licence(model)
    options = {"model": model, "window": window, "strand": strand, "precision": precision,
               "revision": revision, "trust_remote_code": trust_remote_code}  # fmt: skip
    found = []
    for part in ranks.split(","):
        with working(f"measuring {part} process(es)"):
            found.append(measure_ranks(options, int(part), seconds=seconds))
    print_throughput(found, million_peaks, as_json=as_json)
