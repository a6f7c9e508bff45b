"""Arguments and options that several commands take, declared once."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from peakatlas.engine.models.table import MODELS

from .kinds import wants
from .outputs import writable

START_PANEL = "First steps"
CELLS_PANEL = "Annotate cells"
ATLAS_PANEL = "Atlases"
MODEL_PANEL = "Models"
"""Headings of the commands, in the order of the work."""
FORMATS = "h5ad, h5mu, AnnData-Zarr, 10x h5 or folder"
"""What counts of cells x peaks are read from."""

MethodName = Literal["default", "network"]
RuleName = Literal["limits", "sets"]
AtlasArgument = Annotated[
    Path, typer.Argument(metavar="ATLAS", help="Folder of the atlas.", callback=wants("atlas"))
]
SourceArgument = Annotated[
    str,
    typer.Argument(
        metavar="ATLAS",
        help="Folder of the atlas, or its URL (https://, s3://).",
        callback=wants("atlas"),
    ),
]
PeaksArgument = Annotated[
    Path,
    typer.Argument(
        metavar="PEAKS.bed",
        help="BED or narrowPeak, plain or gzip; - is standard input.",
        callback=wants("peaks"),
    ),
]
GenomeArgument = Annotated[
    Path,
    typer.Argument(
        metavar="GENOME.fa",
        help="FASTA of the genome, or of the peaks; plain or gzip.",
        callback=wants("genome"),
    ),
]
OutAtlasArgument = Annotated[
    str,
    typer.Argument(
        metavar="OUT.zarr",
        help="Folder of the atlas to write, or its URL in an object store (s3://).",
    ),
]
OutAtlasOption = Annotated[
    str,
    typer.Option(
        "-o",
        "--out",
        metavar="OUT.zarr",
        help="Folder of the atlas to write, or its URL in an object store (s3://).",
    ),
]
QueryArgument = Annotated[
    Path,
    typer.Argument(
        metavar="QUERY.h5ad", help=f"Cells x peaks, counts: {FORMATS}.", callback=wants("cells")
    ),
]
BundleArgument = Annotated[
    Path,
    typer.Argument(
        metavar="BUNDLE",
        help="What `peakatlas train` wrote, or a name of `peakatlas bundles list`.",
        callback=wants("bundle"),
    ),
]
OutCellsOption = Annotated[
    Path,
    typer.Option(
        "-o", "--out", metavar="OUT.h5ad", help="File to write.", callback=writable("cells")
    ),
]
ReportOption = Annotated[
    Path | None,
    typer.Option(
        "--report", metavar="REPORT.html", help="Page to write as well.", callback=writable("page")
    ),
]
MaxOffsetOption = Annotated[
    int | None,
    typer.Option(
        "--max-offset",
        metavar="BP",
        min=0,
        help="Let an overlapping row stand in when its centre is this near; 25 is a sensible "
        "limit (centred cosine 0.97 at 10 bp, 0.94 at 25, 0.54 at 250 with the shipped model).",
    ),
]
MatchContigsOption = Annotated[
    bool,
    typer.Option("--match-contigs", help="Rename contigs of the peaks by style: chr1, 1."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
ModelOption = Annotated[
    str,
    typer.Option(
        "--model",
        metavar="MODEL",
        help="Name from `peakatlas models`, hub id owner/name, or folder.",
        autocompletion=lambda: list(MODELS),
    ),
]
RevisionOption = Annotated[
    str | None,
    typer.Option("--revision", metavar="REV", help="Branch, tag or commit, if it is from the hub."),
]
TrustOption = Annotated[
    bool,
    typer.Option(
        "--trust-remote-code", help="Run Python code that comes with the model; read it first."
    ),
]
GenesOption = Annotated[
    Path | None,
    typer.Option(
        "--genes",
        metavar="GENES",
        help="GTF, GFF3 or BED of genes: the one nearest to each marker peak is named.",
    ),
]
SeedOption = Annotated[int, typer.Option("--seed", metavar="N", help="Seed of random numbers.")]
