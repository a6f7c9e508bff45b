"""`peakatlas atlas lookup`, `neighbours` and `mirror`: what an atlas holds, near or far."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

import peakatlas
from peakatlas.cli.base import Command, ResumableCommand
from peakatlas.cli.kinds import wants
from peakatlas.cli.options import (
    JsonOption,
    MatchContigsOption,
    MaxOffsetOption,
    PeaksArgument,
    SourceArgument,
)
from peakatlas.cli.outputs import check_apart, writable, written_whole
from peakatlas.cli.terminal import bytes_bar, print_facts, say, warn, working
from peakatlas.engine.errors import ContigError

if TYPE_CHECKING:
    from peakatlas.atlas.search.lookup import LookupResult
    from peakatlas.engine.intervals.table import Intervals

app = typer.Typer()

_SHOWN = 5


@app.command(
    "lookup",
    cls=Command,
    rich_help_panel="Use",
    epilog="peakatlas atlas lookup atlas.zarr peaks.bed -o table.tsv\n"
    "peakatlas atlas lookup https://host/atlas.zarr peaks.bed --genome hg38.fa --json",
)
def atlas_lookup(
    atlas: SourceArgument,
    peaks: PeaksArgument,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            metavar="TABLE.tsv",
            help="Table to write; standard output if not given.",
            callback=writable("table"),
        ),
    ] = None,
    genome: Annotated[
        Path | None,
        typer.Option(
            "--genome",
            metavar="GENOME.fa",
            help="FASTA of the genome or of the peaks: finds rows of the same sequence as well.",
            callback=wants("genome"),
        ),
    ] = None,
    max_offset: MaxOffsetOption = None,
    match_contigs: MatchContigsOption = False,
    index: Annotated[
        Literal["ncls", "faiss"],
        typer.Option("--index", help="What finds the overlaps; both find the same."),
    ] = "ncls",
    as_json: JsonOption = False,
) -> None:
    """Row, overlap, centre offset and tier of each peak, in input order."""
    from peakatlas.atlas.build.lookup_or_embed import find_rows  # noqa: PLC0415 - keeps help fast
    from peakatlas.engine.intervals.contig_names import match_contigs as renamed  # noqa: PLC0415

    check_apart([out], [atlas, peaks, genome])
    intervals = peakatlas.read_bed(peaks)
    source = peakatlas.open_genome(genome) if genome else None
    with (
        working(f"looking up {len(intervals):,} peaks"),
        peakatlas.Atlas.open(atlas) as opened,
    ):
        if match_contigs:
            intervals = renamed(intervals, opened.intervals.contigs)
        found = find_rows(opened, intervals, source=source, max_offset=max_offset, index=index)
        _warn_if_nothing(found)
    _print_lookup(found, out, as_json=as_json)


def _warn_if_nothing(found: LookupResult) -> None:
    """Warn where no peak is in the atlas; names of another style are refused before."""
    if len(found.peaks) and not (found.row >= 0).any():
        warn(
            f"none of {len(found.peaks):,} peaks is in the atlas. Check that the peaks are of the "
            "genome build that the atlas was made from."
        )


def _print_lookup(found: LookupResult, out: Path | None, *, as_json: bool) -> None:
    table = found.to_frame()
    if out is not None:
        with written_whole(out) as path:
            table.to_csv(path, sep="\t", index=False, na_rep="NA")
    if as_json:
        facts = {"peaks": len(table), "tiers": found.counts()}
        rows = {} if out else {"rows": json.loads(table.to_json(orient="records"))}
        print_facts(facts | {"path": str(out) if out else None} | rows, as_json=True)
        return
    if out is None:
        table.to_csv(sys.stdout, sep="\t", index=False, na_rep="NA")
    say(", ".join(f"{count:,} {tier}" for tier, count in found.counts().items()))


@app.command(
    "neighbours",
    cls=Command,
    rich_help_panel="Use",
    epilog="peakatlas atlas neighbours atlas.zarr chr1:100-600 -k 5\n"
    "peakatlas atlas neighbours atlas.zarr chr1:100-600 --region chr2:0-1e6 --json",
)
def atlas_neighbours(
    atlas: SourceArgument,
    peak: Annotated[
        str, typer.Argument(metavar="chr1:100-600", help="Interval: its row, or the nearest one.")
    ],
    k: Annotated[int, typer.Option("-k", metavar="N", min=1, help="Neighbours to show.")] = 10,
    region: Annotated[
        str | None,
        typer.Option(
            "--region", metavar="chr2:1-1e6", help="Only rows in this region; or a whole chr2."
        ),
    ] = None,
    index: Annotated[
        Literal["exact", "ivf"],
        typer.Option(
            "--index", help="Compare with every row, or use a FAISS index, trained once an atlas."
        ),
    ] = "exact",
    n_probe: Annotated[
        int, typer.Option("--probe", metavar="N", min=1, help="Lists that --index ivf searches.")
    ] = 16,
    match_contigs: MatchContigsOption = False,
    measure_recall: Annotated[
        bool,
        typer.Option("--recall", help="Measure the share of neighbours that --index ivf finds."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Rows whose embeddings are nearest, by cosine about the mean of the atlas."""
    from peakatlas.atlas.search.neighbours import query_rows, recall  # noqa: PLC0415 - keeps the help fast
    from peakatlas.engine.intervals.contig_names import match_contigs as renamed  # noqa: PLC0415

    with working("searching"), peakatlas.Atlas.open(atlas) as opened:
        asked = _parsed_region(peak)
        if match_contigs:
            asked = renamed(asked, opened.intervals.contigs)
        row = query_rows(opened, asked)
        within = None if region is None else _parsed_region(region, opened.intervals)
        found = opened.neighbours(row, k=k, region=within, index=index, n_probe=n_probe)
        table = found.to_frame().drop(columns="query")
        facts = {"query": opened.intervals.take(row).names()[0], "query_row": int(row[0])}
        share = recall(opened, k=k, n_probe=n_probe) if measure_recall else None
    if as_json:
        hits = table.to_dict(orient="records")
        typer.echo(json.dumps({**facts, "index": index, "recall": share, "neighbours": hits}))
        return
    say(f"row {facts['query_row']:,}, {facts['query']}")
    table.to_csv(sys.stdout, sep="\t", index=False, float_format="%.4f")
    if share is not None:
        say(f"ivf finds {share:.1%} of the {k} nearest rows (--probe {n_probe})")


@app.command(
    "mirror",
    cls=ResumableCommand,
    rich_help_panel="Use",
    epilog="peakatlas atlas mirror https://host/atlas.zarr atlas.zarr",
)
def atlas_mirror(
    url: Annotated[str, typer.Argument(metavar="URL", help="Atlas: https://, s3://, gs:// ….")],
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="FOLDER", help="Folder to write; the cache if not given."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Copy a remote atlas, checked by its digests; the same command goes on or updates it."""
    from peakatlas.atlas.mirror import mirror_atlas  # noqa: PLC0415 - keeps the help fast

    with bytes_bar(f"copying {url}") as advance:
        path = mirror_atlas(url, folder, progress=advance)
    if as_json:
        with peakatlas.Atlas.open(path) as opened:
            print_facts(opened.info(), as_json=True)
    else:
        typer.echo(path)


def _parsed_region(text: str, atlas: Intervals | None = None) -> Intervals:
    """``chr2:1-1e6``; with an atlas's intervals also ``chr2``, a whole contig of them."""
    from peakatlas.engine.intervals.readers import parse_region  # noqa: PLC0415

    if atlas is not None and text in atlas.contigs:
        return peakatlas.Intervals.from_columns([text], [0], [int(atlas.end.max())])
    if atlas is not None and ":" not in text:
        there = ", ".join(atlas.contigs[:_SHOWN]) + (", …" if len(atlas.contigs) > _SHOWN else "")
        raise ContigError(
            f"{text!r} is not a contig of the atlas ({there}). Give one of them, or a region such "
            "as chr1:100-600."
        )
    return parse_region(text)
