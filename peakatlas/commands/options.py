"""Arguments and options that several commands take, declared once."""

from pathlib import Path
from typing import Annotated, Literal

import typer

AlignmentName = Literal["adaptive", "none", "coral", "mmd", "coral+mmd"]
AtlasArgument = Annotated[Path, typer.Argument(metavar="ATLAS.zarr", help="Folder of the atlas.")]
SourceArgument = Annotated[
    str, typer.Argument(metavar="ATLAS", help="Folder of the atlas, or its URL (https://, s3://).")
]
PeaksArgument = Annotated[
    Path, typer.Argument(metavar="PEAKS.bed", help="BED or narrowPeak, plain or gzip.")
]
AtlasOption = Annotated[
    str, typer.Option("--atlas", metavar="ATLAS", help="Atlas of the embeddings: folder or URL.")
]
GenomeArgument = Annotated[
    Path, typer.Argument(metavar="GENOME.fa[.gz]", help="FASTA of the genome, or of the peaks.")
]
OutAtlasArgument = Annotated[Path, typer.Argument(metavar="OUT.zarr", help="Folder to write.")]
GenomeOption = Annotated[
    Path | None,
    typer.Option(
        "--genome",
        metavar="GENOME.fa",
        help="FASTA of the genome or of peaks: embeds peaks that miss the atlas.",
    ),
]
MaxOffsetOption = Annotated[
    int | None,
    typer.Option(
        "--max-offset",
        metavar="BP",
        min=0,
        help="Let an overlapping row stand in when its centre is this near; 50 is a sensible "
        "limit. It is a poor stand-in: centred cosine 0.75 at 10 bp, 0.73 at 50, 0.54 at 250.",
    ),
]
MatchContigsOption = Annotated[
    bool,
    typer.Option("--match-contigs", help="Rename contigs by style: chr1, 1."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
ModelOption = Annotated[
    str, typer.Option("--model", help="Name from `peakatlas models`, hub id owner/name, or folder.")
]
WindowOption = Annotated[
    str | None, typer.Option("--window", help="centre:<bp> or peak:<max bp>:<overlap bp>.")
]
PoolingOption = Annotated[
    Literal["mean", "cls"],
    typer.Option("--pooling", help="Mean of the DNA tokens, or the CLS token."),
]
LayerOption = Annotated[int, typer.Option("--layer", help="Layer that is pooled; -1 is the last.")]
MaxNFractionOption = Annotated[
    float | None,
    typer.Option("--max-n-fraction", help="Leave windows out that are richer in N: 0.5."),
]
PrecisionOption = Annotated[
    Literal["bf16", "fp32"], typer.Option("--precision", help="Of the model's matrix products.")
]
StrandOption = Annotated[
    Literal["forward", "both"], typer.Option("--strand", help="One strand, or the mean of both.")
]
RevisionOption = Annotated[
    str | None, typer.Option("--revision", help="Branch, tag or commit of a hub model.")
]
TrustOption = Annotated[
    bool,
    typer.Option("--trust-remote-code", help="Let the model run its own Python code; read it."),
]
SeedOption = Annotated[int, typer.Option("--seed", help="Seed of all chance.")]
