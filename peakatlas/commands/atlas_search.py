"""`peakatlas atlas lookup`, `neighbours` and `mirror`: what an atlas holds, near or far."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

import peakatlas
from peakatlas.terminal import say

from .options import (
    JsonOption,
    MatchContigsOption,
    MaxOffsetOption,
    PeaksArgument,
    SourceArgument,
)

if TYPE_CHECKING:
    from peakatlas.engine.intervals import Intervals

app = typer.Typer()


@app.command("lookup")
def atlas_lookup(
    atlas: SourceArgument,
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
    index: Annotated[
        Literal["ncls", "faiss"],
        typer.Option(help="What finds the overlaps; both find the same."),
    ] = "ncls",
) -> None:
    """Row, overlap, centre offset and tier of each peak, in input order."""
    from peakatlas.atlas.resolve import find_rows  # noqa: PLC0415 - keeps help fast
    from peakatlas.engine.contig_names import match_contigs as renamed  # noqa: PLC0415

    intervals = peakatlas.read_bed(peaks)
    source = peakatlas.open_genome(genome) if genome else None
    with peakatlas.Atlas.open(atlas) as opened:
        if match_contigs:
            intervals = renamed(intervals, opened.intervals.contigs)
        found = find_rows(opened, intervals, source=source, max_offset=max_offset, index=index)
    found.to_frame().to_csv(out or sys.stdout, sep="\t", index=False, na_rep="NA")
    say(", ".join(f"{count:,} {tier}" for tier, count in found.counts().items()))


@app.command("neighbours")
def atlas_neighbours(
    atlas: SourceArgument,
    peak: Annotated[
        str, typer.Argument(metavar="chr1:100-600", help="Interval: its row, or the nearest one.")
    ],
    k: Annotated[int, typer.Option("-k", min=1, help="Neighbours to show.")] = 10,
    region: Annotated[
        str | None,
        typer.Option(metavar="chr2:1-1e6", help="Only rows in this region; or a whole chr2."),
    ] = None,
    index: Annotated[
        Literal["exact", "ivf"],
        typer.Option(help="Compare with every row, or use a FAISS index, trained once an atlas."),
    ] = "exact",
    n_probe: Annotated[
        int, typer.Option("--probe", min=1, help="Lists that --index ivf looks into.")
    ] = 16,
    measure_recall: Annotated[
        bool, typer.Option("--recall", help="Say what share of neighbours --index ivf finds.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Rows whose embeddings are nearest, by cosine about the mean of the atlas."""
    from peakatlas.atlas.neighbours import query_rows, recall  # noqa: PLC0415 - keeps the help fast

    with peakatlas.Atlas.open(atlas) as opened:
        row = query_rows(opened, _parsed_region(peak))
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


@app.command("mirror")
def atlas_mirror(
    url: Annotated[str, typer.Argument(metavar="URL", help="Atlas: https://, s3://, gs:// ….")],
    folder: Annotated[
        Path | None, typer.Argument(metavar="[FOLDER]", help="Folder; default: the cache.")
    ] = None,
) -> None:
    """Copy a remote atlas, checked by its digests; the same command goes on or updates it."""
    from peakatlas.atlas.mirror import mirror_atlas  # noqa: PLC0415 - keeps the help fast

    typer.echo(mirror_atlas(url, folder))


def _parsed_region(text: str, atlas: Intervals | None = None) -> Intervals:
    """``chr2:1-1e6``; with an atlas's intervals also ``chr2``, a whole contig of them."""
    from peakatlas.engine.interval_readers import parse_region  # noqa: PLC0415

    if atlas is not None and text in atlas.contigs:
        return peakatlas.Intervals.from_columns([text], [0], [int(atlas.end.max())])
    return parse_region(text)
