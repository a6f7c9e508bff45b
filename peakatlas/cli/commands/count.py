"""`peakatlas count`: fragments to counts of cells over peaks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

import peakatlas
from peakatlas.cli.base import Command, later
from peakatlas.cli.groups import OptionGroup, grouped
from peakatlas.cli.kinds import NAMES, kind_of
from peakatlas.cli.options import CELLS_PANEL, JsonOption, OutCellsOption
from peakatlas.cli.outputs import check_apart, written_whole
from peakatlas.cli.terminal import bytes_bar, print_facts, say, working
from peakatlas.engine.errors import PeakAtlasError

if TYPE_CHECKING:
    from peakatlas.engine.intervals.table import Intervals

app = typer.Typer()

MIN_FRAGMENTS = 1000


def _expect_elements(path: str) -> None:
    """Refuse what is plainly neither an atlas nor a table of intervals."""
    if "://" in path or "::" in path or path == "-":
        return
    if not Path(path).exists():
        raise PeakAtlasError(
            f"{path} does not exist; a BED file or an atlas is expected there. Check the path."
        )
    found = kind_of(Path(path))
    if found not in (None, "atlas", "intervals"):
        raise PeakAtlasError(
            f"{path} is {NAMES[found]}; a BED file or an atlas is expected there. The peaks come "
            "last, after the fragments."
        )


@dataclass(frozen=True, kw_only=True)
class CellOptions(OptionGroup):
    """Which barcodes are cells, and what they are called."""

    heading = "Cells"

    barcodes: Annotated[
        Path | None,
        typer.Option(
            "--barcodes", metavar="LIST", help="Barcodes of cells, one a line, or singlecell.csv."
        ),
    ] = None
    min_fragments: Annotated[
        int | None,
        typer.Option(
            "--min-fragments",
            metavar="N",
            min=1,
            help=f"Fewest fragments of a cell; if not given {MIN_FRAGMENTS}, with --barcodes 1.",
        ),
    ] = None
    prefix: Annotated[
        list[str] | None,
        typer.Option(
            "--prefix",
            metavar="TEXT",
            help="Text and _ before all barcodes of a file; given once for each file, in order.",
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class CountingOptions(OptionGroup):
    """How fragments are read and counted."""

    heading = "How fragments are counted"

    counting: Annotated[
        Literal["insertions", "paired"],
        typer.Option(
            "--counting",
            help="Every cut site in a peak, as Cell Ranger counts; or a fragment once, also where "
            "both of its cut sites are in the peak.",
        ),
    ] = "insertions"
    match_contigs: Annotated[
        bool,
        typer.Option("--match-contigs", help="Rename contigs of the fragments by style: chr1, 1."),
    ] = False
    unsorted: Annotated[
        bool, typer.Option("--unsorted", help="Take lines in any order, not only sorted ones.")
    ] = False
    single_end: Annotated[
        bool,
        typer.Option(
            "--single-end",
            help="A line is a read with its strand in column 6; only its 5' end is a cut site.",
        ),
    ] = False


@app.command(
    cls=Command,
    rich_help_panel=CELLS_PANEL,
    epilog="peakatlas count fragments.tsv.gz peaks.bed -o counts.h5ad\n"
    "peakatlas count fragments.tsv.gz atlas.zarr --barcodes barcodes.tsv.gz -o counts.h5ad\n"
    "peakatlas count a.tsv.gz b.tsv.gz peaks.bed --prefix a --prefix b -o counts.h5ad\n"
    "zcat fragments.tsv.gz | peakatlas count - peaks.bed -o counts.h5ad",
)
@grouped
def count(
    fragments: Annotated[
        list[Path],
        typer.Argument(
            metavar="FRAGMENTS",
            help="Fragments files of scATAC-seq, plain or gzip; - is standard input.",
        ),
    ],
    peaks: Annotated[
        str,
        typer.Argument(
            metavar="PEAKS",
            help="What to count on: BED or narrowPeak, or an atlas (folder or URL).",
            callback=later(_expect_elements),
        ),
    ],
    out: OutCellsOption,
    cells: CellOptions,
    how: CountingOptions,
    as_json: JsonOption = False,
) -> None:
    """Count the fragments of cells over peaks."""
    from peakatlas.classifier.counts.barcode_lists import read_barcodes  # noqa: PLC0415
    from peakatlas.classifier.counts.fragment_counts import (  # noqa: PLC0415
        FragmentOptions,
        count_fragments,
    )

    if [*map(str, fragments), peaks, str(cells.barcodes)].count("-") > 1:
        raise typer.BadParameter("only one input can be standard input", param_hint="-")
    check_apart([out], [fragments, peaks, cells.barcodes])
    listed = None if cells.barcodes is None else read_barcodes(cells.barcodes)
    default = MIN_FRAGMENTS if listed is None else 1
    options = FragmentOptions(
        counting=how.counting,
        min_fragments=cells.min_fragments or default,
        match_contigs=how.match_contigs,
        any_order=how.unsorted,
        single_end=how.single_end,
    )
    with bytes_bar("counting") as advance:
        counted = count_fragments(
            fragments,
            _elements(peaks),
            barcodes=listed,
            prefixes=cells.prefix or None,
            options=options,
            progress=advance,
        )
    if counted.uns["fragments"]["strand_column"] and not how.single_end:
        say(
            "column 6 is a strand; both ends of each fragment were counted as cut sites, which is "
            "right for paired reads (Cell Ranger ATAC 2.2 writes such files). Of single-end reads "
            "only one end is: --single-end."
        )
    with working(f"writing {out}"), written_whole(out) as path:
        counted.write_h5ad(path, compression="gzip")
    print_facts(_facts(counted, out), as_json=as_json)


def _elements(path: str) -> Intervals:
    """Intervals of an atlas, or of a BED file."""
    if "://" in path or "::" in path or Path(path).is_dir():
        with peakatlas.Atlas.open(path) as opened:
            return opened.intervals
    return peakatlas.read_bed(path)


def _facts(counted: Any, out: Path) -> dict[str, Any]:  # noqa: ANN401 - AnnData is slow to import
    record = counted.uns["fragments"]
    return {
        "path": str(out),
        "cells": counted.n_obs,
        "peaks": counted.n_vars,
        "barcodes": record["barcodes"],
        "fragments": record["fragments"],
        "fragments_of_cells": record["fragments_of_cells"],
        "counts": int(counted.X.sum()),
        "median_fragments": float(counted.obs["n_fragments"].median()),
        "min_fragments": record["min_fragments"],
        "counting": record["counting"],
    }
