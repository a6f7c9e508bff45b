"""`peakatlas atlas lookup`: what an atlas holds for given intervals."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import peakatlas
from peakatlas.terminal import say

from .options import AtlasArgument, MatchContigsOption, MaxOffsetOption, PeaksArgument

if TYPE_CHECKING:
    pass

app = typer.Typer()


@app.command("lookup")
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
    from peakatlas.engine.contig_names import match_contigs as renamed  # noqa: PLC0415 - keeps help fast
    from peakatlas.engine.windows import window_digests  # noqa: PLC0415

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
