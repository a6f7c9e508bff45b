"""Arguments and options that several commands take, declared once."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from peakatlas.engine.models.table import MODELS

from .kinds import wants

EMBEDDING = "How peaks are embedded"
"""Heading of the options that make an embedding what it is."""

CELLS_PANEL = "Annotate cells"
"""Heading of the commands that learn from cells and label them."""
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
AtlasOption = Annotated[
    str | None,
    typer.Option(
        "--atlas",
        metavar="ATLAS",
        help="Atlas of the embeddings: folder or URL. Without it DNA is not read, and peaks are "
        "matched by coordinates.",
        callback=wants("atlas"),
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
    Path, typer.Argument(metavar="OUT.zarr", help="Folder of the atlas to write.")
]
OutAtlasOption = Annotated[
    Path, typer.Option("-o", "--out", metavar="OUT.zarr", help="Folder of the atlas to write.")
]
GenomeOption = Annotated[
    Path | None,
    typer.Option(
        "--genome",
        metavar="GENOME.fa",
        help="FASTA of the genome or of peaks: embeds peaks that miss the atlas.",
        callback=wants("genome"),
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
ChainOption = Annotated[
    Path | None,
    typer.Option(
        "--chain",
        metavar="CHAIN",
        help="UCSC chain file: lift the peaks to the atlas's genome build first.",
    ),
]
ELEMENTS = "Annotated elements, in the place of an atlas"
"""Heading of the options that describe peaks by terms."""
ElementsOption = Annotated[
    str | None,
    typer.Option(
        "--elements",
        metavar="remo|TABLE",
        help="Describe peaks by the terms of elements in them: REMO v1 from the package remopy, or "
        "a table of chrom, start, end and Cell Ontology ids with commas.",
        rich_help_panel=ELEMENTS,
    ),
]
ElementsBuildOption = Annotated[
    str | None,
    typer.Option(
        "--build",
        metavar="BUILD",
        help="Genome build of the peaks, such as hg38, for --elements.",
        rich_help_panel=ELEMENTS,
    ),
]
ElementsChainOption = Annotated[
    Path | None,
    typer.Option(
        "--elements-chain",
        metavar="CHAIN",
        help="UCSC chain file from the peaks' build to that of the elements (REMO: hg38).",
        rich_help_panel=ELEMENTS,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
ModelOption = Annotated[
    str,
    typer.Option(
        "--model",
        metavar="MODEL",
        help="Name from `peakatlas models`, hub id owner/name, or folder.",
        autocompletion=lambda: list(MODELS),
        rich_help_panel=EMBEDDING,
    ),
]
OwnModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="MODEL",
        help="Where the atlas's model is, if not where the atlas says.",
        rich_help_panel=EMBEDDING,
    ),
]
WindowOption = Annotated[
    str | None,
    typer.Option(
        "--window",
        metavar="RULE",
        help="centre:<bp> or peak:<max bp>:<overlap bp>; the model's own if not given.",
        rich_help_panel=EMBEDDING,
    ),
]
PoolingOption = Annotated[
    Literal["mean", "cls"],
    typer.Option(
        "--pooling", help="Mean of the DNA tokens, or the CLS token.", rich_help_panel=EMBEDDING
    ),
]
LayerOption = Annotated[
    int,
    typer.Option(
        "--layer",
        metavar="N",
        help="Layer that is pooled; -1 is the last.",
        rich_help_panel=EMBEDDING,
    ),
]
MaxNFractionOption = Annotated[
    float | None,
    typer.Option(
        "--max-n-fraction",
        metavar="SHARE",
        help="Leave windows out that are richer in N than this; 0.5 if not given.",
        rich_help_panel=EMBEDDING,
    ),
]
PrecisionOption = Annotated[
    Literal["bf16", "fp32"],
    typer.Option("--precision", help="Of the model's matrix products.", rich_help_panel=EMBEDDING),
]
StrandOption = Annotated[
    Literal["forward", "both"],
    typer.Option("--strand", help="One strand, or the mean of both.", rich_help_panel=EMBEDDING),
]
RevisionOption = Annotated[
    str | None,
    typer.Option(
        "--revision",
        metavar="REV",
        help="Branch, tag or commit of a hub model.",
        rich_help_panel=EMBEDDING,
    ),
]
TrustOption = Annotated[
    bool,
    typer.Option(
        "--trust-remote-code",
        help="Let the model run its own Python code; read it.",
        rich_help_panel=EMBEDDING,
    ),
]
LayerOfCountsOption = Annotated[
    str | None,
    typer.Option(
        "--layer", metavar="NAME", help="Layer that holds the raw counts; X if not given."
    ),
]
UseRawOption = Annotated[
    bool, typer.Option("--use-raw", help="Take raw counts and their peaks from raw.")
]
ModOption = Annotated[
    str | None,
    typer.Option(
        "--mod",
        metavar="NAME",
        help="Modality of an h5mu with the peaks, if it is not called like atac or peaks.",
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
SeedOption = Annotated[int, typer.Option("--seed", metavar="N", help="Seed of all chance.")]
