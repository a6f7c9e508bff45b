"""`peakatlas report`: the page of an annotated file again, or of several side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from peakatlas.cli.base import Command
from peakatlas.cli.kinds import wants
from peakatlas.cli.options import CELLS_PANEL, GenesOption, JsonOption, SeedOption
from peakatlas.cli.outputs import check_apart, writable, written_whole
from peakatlas.cli.terminal import print_facts, say, working
from peakatlas.engine.errors import CountsError

if TYPE_CHECKING:
    import anndata as ad

app = typer.Typer()


@app.command(
    cls=Command,
    rich_help_panel=CELLS_PANEL,
    epilog="peakatlas report annotated.h5ad -o report.html\n"
    "peakatlas report annotated.h5ad -o report.html --labels cell_type --batch-key donor\n"
    "peakatlas report donor1.h5ad donor2.h5ad -o overview.html",
)
def report(
    annotated: Annotated[
        list[Path],
        typer.Argument(
            metavar="ANNOTATED.h5ad",
            help="What `peakatlas annotate` or `peakatlas name` wrote; several annotated ones for "
            "one overview of all.",
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
        typer.Option(
            "--labels", metavar="COLUMN", help="Column of obs with known types, to compare with."
        ),
    ] = None,
    batch: Annotated[
        list[str] | None,
        typer.Option(
            "--batch-key",
            metavar="COLUMN",
            help="Column of obs to colour by; may be given again. "
            "Without it, columns named like a batch, sample or donor.",
        ),
    ] = None,
    title: Annotated[
        str | None, typer.Option("--title", metavar="TEXT", help="Heading of the page.")
    ] = None,
    genes: GenesOption = None,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Write the report of an annotated file, or an overview of several."""
    from peakatlas.classifier.report.page import write_report  # noqa: PLC0415

    check_apart([out], [*annotated, genes])
    if len(annotated) > 1:
        if labels is not None or batch or genes is not None:
            raise typer.BadParameter(
                "an overview of several files takes neither --labels nor --batch-key nor --genes"
            )
        _write_overview(annotated, out, title, as_json=as_json)
        return
    cells = _opened(annotated[0])
    with working(f"writing {out}"), written_whole(out) as path:
        write_report(
            cells,
            path,
            labels_key=labels,
            batch_keys=batch or (),
            genes=genes,
            title=title,
            seed=seed,
        )
    say(f"wrote {out}")
    print_facts({"path": str(out), "cells": cells.n_obs}, as_json=as_json)


def _write_overview(files: list[Path], out: Path, title: str | None, *, as_json: bool) -> None:
    from peakatlas.classifier.report.overview import query_facts, write_overview  # noqa: PLC0415

    queries = []
    for file, name in zip(files, _names(files), strict=True):
        cells = _opened(file)
        queries.append(query_facts(cells, name))
        cells.file.close()
    with working(f"writing {out}"), written_whole(out) as path:
        write_overview(queries, path, title=title)
    say(f"wrote {out}")
    n_cells = sum(query.record["cells"] for query in queries)
    print_facts({"path": str(out), "queries": len(queries), "cells": n_cells}, as_json=as_json)


def _names(files: list[Path]) -> list[str]:
    """Names of files; their paths where two are called alike."""
    names = [file.name for file in files]
    return names if len(set(names)) == len(names) else [str(file) for file in files]


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
            "`peakatlas annotate` or `peakatlas name` wrote."
        ) from error
