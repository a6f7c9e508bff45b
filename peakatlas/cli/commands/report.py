"""`peakatlas report`: the page of an annotated file, again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from peakatlas.cli.base import Command
from peakatlas.cli.kinds import wants
from peakatlas.cli.options import JsonOption, SeedOption
from peakatlas.cli.outputs import check_apart, writable, written_whole
from peakatlas.cli.terminal import print_facts, say, working
from peakatlas.engine.errors import CountsError

if TYPE_CHECKING:
    import anndata as ad

app = typer.Typer()


@app.command(
    cls=Command,
    rich_help_panel="Annotate cells",
    epilog="peakatlas report annotated.h5ad -o report.html\n"
    "peakatlas report annotated.h5ad -o report.html --labels cell_type --batch donor",
)
def report(
    annotated: Annotated[
        Path,
        typer.Argument(
            metavar="ANNOTATED.h5ad",
            help="What `peakatlas annotate` wrote.",
            callback=wants("cells"),
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "-o", "--out", metavar="REPORT.html", help="Page to write.", callback=writable("page")
        ),
    ],
    labels: Annotated[
        str | None,
        typer.Option("--labels", metavar="COLUMN", help="Column of obs with known types."),
    ] = None,
    batch: Annotated[
        list[str] | None,
        typer.Option(
            "--batch",
            metavar="COLUMN",
            help="Column of obs to colour by; may be given again. "
            "Without it, columns named like a batch, sample or donor.",
        ),
    ] = None,
    title: Annotated[
        str | None, typer.Option("--title", metavar="TEXT", help="Heading of the page.")
    ] = None,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Write the report of an annotated file, without annotating again."""
    from peakatlas.classifier.report.page import write_report  # noqa: PLC0415

    check_apart([out], [annotated])
    cells = _opened(annotated)
    with working(f"writing {out}"), written_whole(out) as path:
        write_report(cells, path, labels_key=labels, batch_keys=batch or (), title=title, seed=seed)
    say(f"wrote {out}")
    print_facts({"path": str(out), "cells": cells.n_obs}, as_json=as_json)


def _opened(annotated: Path) -> ad.AnnData:
    """An h5ad, its counts left on the disk."""
    import anndata as ad  # noqa: PLC0415 - keeps the help fast
    import h5py  # type: ignore[import-untyped]  # noqa: PLC0415

    from peakatlas.classifier.counts.hdf5_checks import check_hdf5  # noqa: PLC0415

    try:
        with h5py.File(annotated, "r") as file:
            check_hdf5(file, str(annotated), CountsError)
        return ad.read_h5ad(annotated, backed="r")
    except CountsError:
        raise
    except Exception as error:  # h5py and anndata raise many kinds
        raise CountsError(
            f"{annotated} cannot be read as an h5ad ({' '.join(str(error).split())}). Give what "
            "`peakatlas annotate` wrote."
        ) from error
