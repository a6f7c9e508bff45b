"""`peakatlas demo`: how it looks, on packaged data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from peakatlas.cli.base import Command
from peakatlas.cli.options import START_PANEL, JsonOption, ModelOption, SeedOption
from peakatlas.cli.terminal import complain, print_table, progress_bar, say

app = typer.Typer()


@app.command(
    cls=Command,
    rich_help_panel=START_PANEL,
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
    for alert in result.alerts:
        complain(f"{alert['severity']}: {alert['text']}")
    if as_json:
        typer.echo(json.dumps(result.to_json()))
    else:
        print_table((), result.rows())
