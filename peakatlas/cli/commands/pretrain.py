"""`peakatlas pretrain`: a nucleotide language model of one's own."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from peakatlas.cli.base import ResumableCommand
from peakatlas.cli.kinds import wants
from peakatlas.cli.options import MODEL_PANEL, JsonOption, SeedOption
from peakatlas.cli.terminal import print_facts, progress_bar, say

app = typer.Typer()


@app.command(
    cls=ResumableCommand,
    rich_help_panel=MODEL_PANEL,
    epilog="peakatlas pretrain mm39.fa.gz --holdout chr19:30000000-61000000 -o mouse-model/\n"
    "peakatlas pretrain hg38.fa.gz --holdout chr20:30000000-64000000 --motifs JASPAR2024.txt "
    "-o human-model/",
)
def pretrain(
    genomes: Annotated[
        list[Path],
        typer.Argument(
            metavar="GENOME.fa", help="FASTA files to learn from.", callback=wants("genome")
        ),
    ],
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="FOLDER", help="Model folder to write.")
    ],
    holdout: Annotated[
        list[str],
        typer.Option(
            metavar="CHR:START-END",
            help="Region kept for evaluation, 0-based half-open; may be given again.",
        ),
    ],
    motifs: Annotated[
        Path | None,
        typer.Option(
            metavar="JASPAR.txt",
            help="Motifs that the embedding learns to recognise, JASPAR format.",
        ),
    ] = None,
    steps: Annotated[int, typer.Option(metavar="N", min=1, help="Optimiser steps.")] = 7500,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Pretrain a small nucleotide language model on any genome, to be used as --model.

    Held-out loss is logged every 250 steps, with a checkpoint. Under torchrun or accelerate launch
    the processes share each step.
    """
    from peakatlas.engine.intervals.readers import parse_names  # noqa: PLC0415
    from peakatlas.engine.pretrain.recipe import Recipe  # noqa: PLC0415
    from peakatlas.engine.pretrain.training import pretrain as run  # noqa: PLC0415
    from peakatlas.engine.run.distributed import rank_state  # noqa: PLC0415 - keeps the help fast

    state = rank_state()
    recipe = replace(Recipe(seed=seed), steps=steps)
    with progress_bar(steps, "pretraining") as advance:
        done = 0

        def report(values: dict[str, float]) -> None:
            nonlocal done
            advance(int(values["step"]) - done)
            done = int(values["step"])
            bits = values.get("holdout_bits_per_base")
            if bits is not None:
                say(
                    f"step {done}: {bits:.3f} bits a base held out, "
                    f"embedding loss {values['embedding_loss']:.3f}"
                )

        summary = run(
            genomes,
            parse_names(holdout, "--holdout"),
            out,
            recipe,
            motifs=motifs,
            state=state,
            progress=report,
        )
    if not state.is_main:
        return
    if as_json:
        typer.echo(json.dumps(summary))
        return
    print_facts({key: value for key, value in summary.items() if key != "recipe"}, as_json=False)
