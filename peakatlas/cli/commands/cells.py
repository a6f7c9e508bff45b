"""`peakatlas annotate`: label cells."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from peakatlas.cli.base import Command
from peakatlas.cli.kinds import wants
from peakatlas.cli.opened import check_genome, opened_atlas, opened_terms, say_card
from peakatlas.cli.options import (
    CELLS_PANEL,
    FORMATS,
    AtlasOption,
    ChainOption,
    ElementsBuildOption,
    ElementsChainOption,
    ElementsOption,
    GenesOption,
    GenomeOption,
    JsonOption,
    LayerOfCountsOption,
    MatchContigsOption,
    MaxOffsetOption,
    ModOption,
    RuleName,
    SeedOption,
    UseRawOption,
)
from peakatlas.cli.outputs import check_apart, writable, written_whole
from peakatlas.cli.terminal import print_facts, print_table, say, steps, warn, working

if TYPE_CHECKING:
    from collections.abc import Mapping

    from peakatlas.classifier.counts.matrix import CellCounts

app = typer.Typer()

BundleOption = Annotated[
    Path,
    typer.Option(
        "--bundle",
        "--model",
        metavar="BUNDLE/",
        help="What `peakatlas train` wrote, or a name of `peakatlas bundles list`.",
        callback=wants("bundle"),
    ),
]
ReportOption = Annotated[
    Path | None,
    typer.Option(
        "--report", metavar="REPORT.html", help="Page to write as well.", callback=writable("page")
    ),
]


@app.command(
    cls=Command,
    rich_help_panel=CELLS_PANEL,
    epilog="peakatlas annotate query.h5ad --bundle bundle/ --atlas atlas.zarr -o annotated.h5ad\n"
    "peakatlas annotate query.h5ad --bundle bundle/ --atlas atlas.zarr --genome hg38.fa "
    "-o out.h5ad --report report.html",
)
def annotate(
    query: Annotated[
        Path,
        typer.Argument(
            metavar="QUERY.h5ad", help=f"Cells x peaks, counts: {FORMATS}.", callback=wants("cells")
        ),
    ],
    bundle: BundleOption,
    out: Annotated[
        Path,
        typer.Option(
            "-o", "--out", metavar="OUT.h5ad", help="File to write.", callback=writable("cells")
        ),
    ],
    atlas: AtlasOption = None,
    genome: GenomeOption = None,
    report: ReportOption = None,
    append: Annotated[
        bool, typer.Option("--append", help="Keep newly embedded peaks in the atlas.")
    ] = False,
    max_offset: MaxOffsetOption = None,
    match_contigs: MatchContigsOption = False,
    chain: ChainOption = None,
    labels: Annotated[
        str | None,
        typer.Option(
            "--labels",
            metavar="COLUMN",
            help="Column of obs with known types: compared in the report, else unread.",
        ),
    ] = None,
    assign_all: Annotated[
        bool, typer.Option("--assign-all", help="Give every cell a type, however uncertain.")
    ] = False,
    alpha: Annotated[
        float,
        typer.Option(
            "--alpha",
            metavar="RATE",
            min=0.001,
            max=0.5,
            help="Error rate of the sets of types that each cell may be of.",
        ),
    ] = 0.1,
    rule: Annotated[
        RuleName,
        typer.Option(
            "--rule",
            help="What leaves a cell uncertain: a confidence below the limit (limits), or a set "
            "that does not hold one type (sets).",
        ),
    ] = "limits",
    statistics: Annotated[
        Path | None,
        typer.Option(
            "--statistics",
            metavar="FILE",
            help="What was learnt from a whole query, to label a part of it as in the whole.",
        ),
    ] = None,
    write_statistics: Annotated[
        Path | None,
        typer.Option(
            "--write-statistics",
            metavar="FILE",
            help="File to write what is learnt from this query to, for --statistics.",
            callback=writable(),
        ),
    ] = None,
    genes: GenesOption = None,
    elements: ElementsOption = None,
    build: ElementsBuildOption = None,
    elements_chain: ElementsChainOption = None,
    layer: LayerOfCountsOption = None,
    use_raw: UseRawOption = False,
    mod: ModOption = None,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Label the cells of a query."""
    if assign_all and rule == "sets":
        raise typer.BadParameter("--assign-all leaves no cell open", param_hint="--rule")
    if append and genome is None:
        raise typer.BadParameter("without --genome no peak is embedded", param_hint="--append")
    check_genome(genome, atlas)
    if labels is not None and report is None:
        raise typer.BadParameter("only --report reads them", param_hint="--labels")
    if genes is not None and report is None:
        raise typer.BadParameter("only --report reads them", param_hint="--genes")
    from peakatlas.classifier.annotate import AnnotateOptions, annotation_of  # noqa: PLC0415 - keeps the help fast
    from peakatlas.classifier.report.record import record_of  # noqa: PLC0415 - as above

    options = AnnotateOptions(
        reject=not assign_all,
        rule=rule,
        alpha=alpha,
        statistics=None if statistics is None else str(statistics),
        write_statistics=None if write_statistics is None else str(write_statistics),
        max_offset=max_offset,
        append=append,
        match_contigs=match_contigs,
        chain=None if chain is None else str(chain),
        seed=seed,
    )
    check_apart(
        [out, report, write_statistics], [query, bundle, atlas, genome, chain, statistics, genes]
    )
    say_card(bundle)
    terms = opened_terms(elements, build, elements_chain, atlas)
    with opened_atlas(atlas) as opened, steps() as begin:
        begin("reading the query")
        counts = _read(query, labels, layer, use_raw, mod)
        found = annotation_of(
            counts, bundle, opened, genome, terms=terms, options=options, progress=begin
        )
    record = record_of(found.results.uns)
    if atlas is not None and record["spec"] is None:
        warn("--atlas is not used: the bundle was trained without an atlas. Train with it.")
    for text in record["warnings"]:
        warn(text)
    with working(f"writing {out}"), written_whole(out) as path:
        found.write(path)
    say(f"wrote {out}")
    if report:
        _write_report(out, report, labels, genes)
    print_facts(_query_facts(record, out, report, as_json=as_json), as_json=as_json)
    if not as_json:
        print()
        print_table(("type", "cells", "query", "reference", "verdict", "reason"), _types(record))


def _read(
    query: Path, labels: str | None, layer: str | None, use_raw: bool, mod: str | None
) -> CellCounts:
    """Read a query; what cannot be shown or written in the end is refused before any work."""
    from peakatlas.classifier.counts.matrix import read_counts  # noqa: PLC0415 - keeps the help fast
    from peakatlas.classifier.counts.written import rehearse  # noqa: PLC0415 - as above
    from peakatlas.classifier.report.cells import column_of  # noqa: PLC0415 - as above

    counts = read_counts(query, layer=layer, use_raw=use_raw, mod=mod)
    if labels is not None:
        column_of(counts.obs, labels)
    rehearse(counts.adata, counts.source)
    return counts


def _write_report(out: Path, report: Path, labels: str | None, genes: Path | None) -> None:
    import anndata as ad  # noqa: PLC0415 - keeps the help fast

    from peakatlas.classifier.report.page import write_report  # noqa: PLC0415

    with working(f"writing {report}"), written_whole(report) as path:
        annotated = ad.read_h5ad(out, backed="r")
        write_report(annotated, path, labels_key=labels, genes=genes)
        annotated.file.close()
    say(f"wrote {report}")


def _types(record: Mapping[str, Any]) -> list[list[str]]:
    """Types by what may be done with their labels, the worst first."""
    sizes, total = record["bundle"]["cells_by_type"], record["bundle"]["cells"]
    ranked = sorted(record["verdicts"], key=lambda each: each["f1"])
    return [
        [
            each["type"],
            f"{record['labels'].get(each['type'], 0):,}",
            f"{record['labels'].get(each['type'], 0) / record['cells']:.1%}",
            f"{sizes.get(each['type'], 0) / total:.1%}",
            each["words"],
            each["reason"],
        ]
        for each in ranked
    ]


def _query_facts(
    record: Mapping[str, Any], out: Path, report: Path | None, *, as_json: bool
) -> dict[str, Any]:
    names = ("cells", "peaks", "tiers", "labels", "unassigned")
    facts: dict[str, Any] = {"path": str(out), "report": str(report) if report else None}
    facts |= {name: record[name] for name in names}
    if as_json:
        asked = ("warnings", "alerts", "verdicts", "options")
        return facts | {name: record[name] for name in asked}
    if record["spec"] is None:  # no peak was looked up
        del facts["tiers"]
    facts["counts in known peaks"] = f"{record['shared_counts']:.1%}"
    return {name: value for name, value in facts.items() if value not in (None, {})}
