"""The command line: each command parses, calls one function and prints."""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

import peakatlas

from .engine.models.table import MODELS
from .terminal import (
    card_facts,
    error_line,
    is_first_rank,
    print_facts,
    print_table,
    print_throughput,
    progress_bar,
    say,
    show_licence,
)

if TYPE_CHECKING:
    from .engine.meter import Meter

# Passive waiting keeps threads off cores that other processes need; read once, when torch loads.
THREAD_DEFAULTS = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}

app = typer.Typer(
    help="Embed chromatin peaks once with a nucleotide language model, then annotate any "
    "scATAC-seq data set by lookup.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
atlas_app = typer.Typer(help="Build, inspect and look up atlases.", no_args_is_help=True)
app.add_typer(atlas_app, name="atlas")

AlignmentName = Literal["adaptive", "none", "coral", "mmd", "coral+mmd"]
AtlasArgument = Annotated[Path, typer.Argument(metavar="ATLAS.zarr", help="Folder of the atlas.")]
PeaksArgument = Annotated[
    Path, typer.Argument(metavar="PEAKS.bed", help="BED or narrowPeak, plain or gzip.")
]
AtlasOption = Annotated[
    Path, typer.Option("--atlas", metavar="ATLAS.zarr", help="Atlas that holds the embeddings.")
]
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
        help="Let an overlapping row stand in (an approximation) when its centre is this near.",
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


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"peakatlas {peakatlas.__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Options of every command, taken anywhere on the line; `main` acts on --debug."""


@atlas_app.command("build")
def atlas_build(
    genome: Annotated[
        Path,
        typer.Argument(metavar="GENOME.fa[.gz]", help="FASTA of the genome, or of the peaks."),
    ],
    peaks: PeaksArgument,
    out: Annotated[Path, typer.Argument(metavar="OUT.zarr", help="Folder to write.")],
    model: ModelOption = "peaklm-v1",
    window: WindowOption = None,
    strand: StrandOption = "forward",
    precision: PrecisionOption = "bf16",
    pooling: Annotated[
        Literal["mean", "cls"], typer.Option(help="Mean of the DNA tokens, or the CLS token.")
    ] = "mean",
    layer: Annotated[int, typer.Option(help="Layer that is pooled; -1 is the last.")] = -1,
    max_n_fraction: Annotated[
        float | None,
        typer.Option("--max-n-fraction", help="Leave windows out that are richer in N: 0.5."),
    ] = None,
    revision: RevisionOption = None,
    trust_remote_code: TrustOption = False,
    partition: Annotated[
        str | None,
        typer.Option(metavar="k/n", help="Do share k of n only, for job arrays; k from 1."),
    ] = None,
    match_contigs: MatchContigsOption = False,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Show the share of the machine's speed.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Embed every peak and store the embeddings; the same command again finishes the job."""
    show_licence(model)
    n_peaks = len(peakatlas.read_bed(peaks))
    embedder = peakatlas.Embedder.load(
        model,
        window=window,
        strand=strand,
        precision=precision,
        pooling=pooling,
        layer=layer,
        max_n_fraction=max_n_fraction,
        revision=revision,
        trust_remote_code=trust_remote_code,
    )
    if embedder.card.name not in MODELS:
        show_licence(embedder.card)
    if partition is not None:
        _build_partition((genome, peaks, out), embedder, partition, match_contigs, verbose)
        return
    with progress_bar(n_peaks, "embedding", _meter(n_peaks, embedder, verbose)) as advance:
        atlas = peakatlas.build_atlas(
            genome, peaks, out, embedder, match_contigs=match_contigs, progress=advance
        )
    if is_first_rank():
        print_facts(atlas.info(), as_json=as_json)


def _build_partition(
    paths: tuple[Path, Path, Path],
    embedder: peakatlas.Embedder,
    partition: str,
    match_contigs: bool,
    verbose: bool,
) -> None:
    from .atlas.build import build_partition  # noqa: PLC0415 - keeps the help fast
    from .engine.distributed import parse_partition  # noqa: PLC0415

    share = parse_partition(partition)
    n_peaks = -(-len(peakatlas.read_bed(paths[1])) // share.count)
    with progress_bar(n_peaks, "embedding", _meter(n_peaks, embedder, verbose)) as advance:
        missing = build_partition(
            *paths, embedder, share, match_contigs=match_contigs, progress=advance
        )
    say(
        f"partition {partition} is written; "
        + (f"{missing} shards of others are missing" if missing else "the atlas is finished")
    )


def _meter(n_peaks: int, embedder: peakatlas.Embedder, verbose: bool) -> Meter:
    from .engine.meter import Meter  # noqa: PLC0415 - keeps the help fast

    peak = None
    if verbose:
        from .engine.throughput import gemm_peak  # noqa: PLC0415

        peak = gemm_peak(embedder.device, embedder.spec.precision)
    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    return Meter(n_peaks, embedder, ranks=ranks, peak_flops=peak)


@atlas_app.command("info")
def atlas_info(atlas: AtlasArgument, as_json: JsonOption = False) -> None:
    """Size, model, licence, genome and state of an atlas."""
    with peakatlas.Atlas.open(atlas) as opened:
        print_facts(opened.info(), as_json=as_json)


@atlas_app.command("lookup")
def atlas_lookup(
    atlas: AtlasArgument,
    peaks: PeaksArgument,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="Table to write (TSV); default: the terminal."),
    ] = None,
    genome: Annotated[
        Path | None,
        typer.Option(metavar="GENOME.fa", help="FASTA: finds rows of the same sequence as well."),
    ] = None,
    max_offset: MaxOffsetOption = None,
    match_contigs: MatchContigsOption = False,
) -> None:
    """Row, overlap, centre offset and tier of each peak, in input order."""
    from .engine.contig_names import match_contigs as renamed  # noqa: PLC0415 - keeps help fast
    from .engine.windows import window_digests  # noqa: PLC0415

    intervals = peakatlas.read_bed(peaks)
    with peakatlas.Atlas.open(atlas) as opened:
        if match_contigs:
            intervals = renamed(intervals, opened.intervals.contigs)
        digests = (
            window_digests(intervals, peakatlas.open_genome(genome), opened.spec.window)
            if genome
            else None
        )
        found = opened.lookup(intervals, max_offset=max_offset, digests=digests)
    found.to_frame().to_csv(out or sys.stdout, sep="\t", index=False, na_rep="NA")
    say(", ".join(f"{count:,} {tier}" for tier, count in found.counts().items()))


@app.command()
def train(
    reference: Annotated[
        Path, typer.Argument(metavar="REFERENCE.h5ad", help="Labelled cells x peaks, counts.")
    ],
    labels: Annotated[str, typer.Option("--labels", help="Column of obs with the cell types.")],
    atlas: AtlasOption,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="BUNDLE/", help="Folder to write.")],
    genome: GenomeOption = None,
    max_offset: MaxOffsetOption = None,
    match_contigs: MatchContigsOption = False,
    seed: SeedOption = 0,
) -> None:
    """Learn to annotate from a labelled reference."""
    from .classifier.registry import Sources  # noqa: PLC0415 - keeps the help fast

    sources = Sources(genome=genome, max_offset=max_offset, match_contigs=match_contigs)
    with peakatlas.Atlas.open(atlas) as opened:
        bundle = peakatlas.train(
            reference, labels, opened, sources=sources, seed=seed, progress=say
        )
    bundle.save(out)
    say(f"wrote {out}")


@app.command()
def annotate(
    query: Annotated[Path, typer.Argument(metavar="QUERY.h5ad", help="Cells x peaks, counts.")],
    model: Annotated[Path, typer.Option("--model", metavar="BUNDLE/", help="Trained bundle.")],
    atlas: AtlasOption,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="OUT.h5ad", help="File to write.")],
    genome: GenomeOption = None,
    report: Annotated[
        Path | None, typer.Option(metavar="REPORT.html", help="Page to write as well.")
    ] = None,
    append: Annotated[
        bool, typer.Option("--append", help="Keep newly embedded peaks in the atlas.")
    ] = False,
    max_offset: MaxOffsetOption = None,
    match_contigs: MatchContigsOption = False,
    labels: Annotated[
        str | None,
        typer.Option(help="Column of obs with known types: compared in the report, else unread."),
    ] = None,
    alignment: Annotated[
        AlignmentName, typer.Option(help="How the network is pulled towards the query.")
    ] = "adaptive",
    assign_all: Annotated[
        bool, typer.Option("--assign-all", help="Give every cell a type, however unsure.")
    ] = False,
    seed: SeedOption = 0,
) -> None:
    """Label the cells of a query."""
    from .classifier.annotate import AnnotateOptions  # noqa: PLC0415 - keeps the help fast

    options = AnnotateOptions(
        alignment=alignment,
        reject=not assign_all,
        max_offset=max_offset,
        append=append,
        match_contigs=match_contigs,
        seed=seed,
    )
    annotated = peakatlas.annotate(query, model, atlas, genome, options=options, progress=say)
    for text in json.loads(annotated.uns["peakatlas"]["record"])["warnings"]:
        say(f"warning: {text}")
    annotated.write_h5ad(out, compression="gzip")
    say(f"wrote {out}")
    if report:
        from .classifier.report import write_report  # noqa: PLC0415

        write_report(annotated, report, labels_key=labels)
        say(f"wrote {report}")


@app.command()
def models(as_json: JsonOption = False) -> None:
    """Name, size, context and licence of the models."""
    if as_json:
        typer.echo(json.dumps({name: card_facts(card) for name, card in MODELS.items()}))
        return
    rows = [card_facts(card) for card in MODELS.values()]
    print_table(list(rows[0]), [[str(value) for value in row.values()] for row in rows])


@app.command()
def benchmark(
    model: ModelOption = "peaklm-v1",
    window: WindowOption = None,
    strand: StrandOption = "forward",
    precision: PrecisionOption = "bf16",
    revision: RevisionOption = None,
    trust_remote_code: TrustOption = False,
    ranks: Annotated[
        str, typer.Option(metavar="1,2,…", help="Numbers of processes to try side by side.")
    ] = "1",
    seconds: Annotated[float, typer.Option(min=0.1, help="Time of one measurement.")] = 10.0,
    million_peaks: Annotated[
        float, typer.Option("--million-peaks", min=0, help="Project the hours for so many.")
    ] = 1.0,
    as_json: JsonOption = False,
) -> None:
    """Speed of a model on this machine, and the hours that many peaks would take."""
    from .engine.throughput import measure_ranks  # noqa: PLC0415 - keeps the help fast

    if not all(part.strip().isdecimal() for part in ranks.split(",")):
        raise typer.BadParameter(f"{ranks!r} is not a list of numbers such as 1,2,4.")
    show_licence(model)
    options = {"model": model, "window": window, "strand": strand, "precision": precision,
               "revision": revision, "trust_remote_code": trust_remote_code}  # fmt: skip
    found = [measure_ranks(options, int(part), seconds=seconds) for part in ranks.split(",")]
    print_throughput(found, million_peaks, as_json=as_json)


@app.command()
def demo(
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="FOLDER", help="Folder to write.")
    ] = Path("demo-output"),
    model: Annotated[str, typer.Option("--model", help="Name or folder.")] = "peaklm-v1",
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Build, train and annotate on packaged data: real DNA, simulated cells."""
    from .demo.run import run_demo  # noqa: PLC0415 - keeps the help fast

    result = run_demo(out, model=model, seed=seed, say=say, progress=progress_bar)
    if as_json:
        typer.echo(json.dumps(result.to_json()))
    else:
        print_table((), result.rows())


def main() -> None:
    """Run the command line; an error is one line, or a traceback with --debug."""
    arguments = [word for word in sys.argv[1:] if word != "--debug"]
    for name, value in THREAD_DEFAULTS.items():
        os.environ.setdefault(name, value)
    try:
        app(arguments)
    except Exception as error:
        if "--debug" in sys.argv[1:]:
            traceback.print_exc()
        typer.echo(f"error: {error_line(error)}", err=True)
        sys.exit(1)
