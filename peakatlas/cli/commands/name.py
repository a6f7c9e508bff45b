"""`peakatlas name`: name cells without a reference."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

import peakatlas
from peakatlas.cli.base import Command
from peakatlas.cli.groups import CountOptions, grouped
from peakatlas.cli.options import (
    CELLS_PANEL,
    JsonOption,
    OutCellsOption,
    QueryArgument,
    ReportOption,
)
from peakatlas.cli.outputs import check_apart, written_whole
from peakatlas.cli.terminal import print_facts, say, steps, working

app = typer.Typer()


@app.command(
    cls=Command,
    rich_help_panel=CELLS_PANEL,
    epilog="peakatlas name query.h5ad --build hg38 --tissue Blood -o named.h5ad\n"
    "peakatlas name query.h5ad --build hg19 --chain hg19ToHg38.over.chain.gz --tissue Blood "
    "-o named.h5ad\n"
    "peakatlas name query.h5ad --build hg19 --elements elements.tsv -o named.h5ad "
    "--report names.html",
)
@grouped
def name(
    query: QueryArgument,
    out: OutCellsOption,
    build: Annotated[
        Literal["hg38", "hg19"], typer.Option("--build", help="Genome build of the peaks.")
    ],
    read: CountOptions,
    tissue: Annotated[
        str | None,
        typer.Option(
            "--tissue",
            metavar="NAME",
            help="Consider the cell types of this tissue, such as Blood.",
        ),
    ] = None,
    elements: Annotated[
        Path | None,
        typer.Option(
            "--elements",
            metavar="TABLE",
            help="Elements of your own: chrom, start, end, Cell Ontology ids with commas. "
            "Else REMO v1 (hg38), from the package remopy.",
        ),
    ] = None,
    chain: Annotated[
        Path | None,
        typer.Option(
            "--chain",
            metavar="CHAIN",
            help="UCSC chain file from the peaks' build to that of the elements (REMO: hg38).",
        ),
    ] = None,
    report: ReportOption = None,
    as_json: JsonOption = False,
) -> None:
    """Name cells without a reference, by public annotations of regulatory elements."""
    check_apart([out, report], [query, elements, chain])
    from peakatlas.classifier.counts.matrix import read_counts  # noqa: PLC0415 - a quick help
    from peakatlas.classifier.counts.written import rehearse  # noqa: PLC0415 - as above

    with steps() as begin:
        begin("reading the query")
        counts = read_counts(query, **asdict(read))
        rehearse(counts.adata, counts.source)
        named = peakatlas.name(
            counts, build=build, tissue=tissue, elements=elements, chain=chain, progress=begin
        )
    facts = _facts(named, out)
    with working(f"writing {out}"), written_whole(out) as path:
        named.write_h5ad(path, compression="gzip")
    if report is not None:
        with working(f"writing {report}"), written_whole(report) as path:
            peakatlas.write_report(named, path)
        say(f"wrote {report}")
    if facts["no_term_fits"]:
        say(
            f"{facts['no_term_fits']:,} cells: no term fits. The annotation names no stem or "
            "progenitor cells, and not every type; do not read their nearest term as a name."
        )
    print_facts(facts, as_json=as_json)


def _facts(named: Any, out: Path) -> dict[str, Any]:  # noqa: ANN401 - AnnData is slow to import
    record = named.uns["peakatlas_name"]
    lineages = named.obs["peakatlas_name_lineage"].value_counts()
    return {
        "path": str(out),
        "cells": named.n_obs,
        "elements": record["elements"],
        "ontology": record["ontology"],
        "terms": len(record["terms"]),
        "peaks_with_terms": record["peaks_with_terms"],
        **{f"lineage: {kind}": int(n) for kind, n in lineages.items() if kind != "no term fits"},
        "no_term_fits": int(lineages.get("no term fits", 0)),
    }
