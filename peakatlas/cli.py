"""The command line: each command parses, calls one function and prints."""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import peakatlas

from .commands import atlas_build, atlas_cluster, atlas_search, atlas_upkeep
from .commands.options import (
    AlignmentName,
    AtlasOption,
    GenomeOption,
    JsonOption,
    MatchContigsOption,
    MaxOffsetOption,
    ModelOption,
    PrecisionOption,
    RevisionOption,
    SeedOption,
    StrandOption,
    TrustOption,
    WindowOption,
)
from .engine.models.table import MODELS
from .terminal import (
    card_facts,
    error_line,
    print_table,
    print_throughput,
    progress_bar,
    say,
    show_licence,
)

if TYPE_CHECKING:
    pass

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
atlas_app.add_typer(atlas_build.app)
atlas_app.add_typer(atlas_cluster.app)
atlas_app.add_typer(atlas_search.app)
atlas_app.add_typer(atlas_upkeep.app)
app.add_typer(atlas_app, name="atlas")


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
