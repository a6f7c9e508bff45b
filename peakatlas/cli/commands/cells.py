"""`peakatlas annotate`: label cells."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from peakatlas.cli.base import Command
from peakatlas.cli.groups import CountOptions, ElementOptions, OptionGroup, PeakOptions, grouped
from peakatlas.cli.kinds import wants
from peakatlas.cli.opened import opened_atlas, opened_terms, say_card
from peakatlas.cli.options import (
    CELLS_PANEL,
    GenesOption,
    JsonOption,
    OutCellsOption,
    QueryArgument,
    ReportOption,
    RuleName,
    SeedOption,
)
from peakatlas.cli.outputs import check_apart, writable, written_whole
from peakatlas.cli.terminal import complain, print_facts, print_table, say, steps, warn, working

if TYPE_CHECKING:
    from collections.abc import Mapping

    from peakatlas.classifier.annotate import AnnotateOptions
    from peakatlas.classifier.counts.matrix import CellCounts

app = typer.Typer()

BundleOption = Annotated[
    Path,
    typer.Option(
        "--bundle",
        metavar="BUNDLE/",
        help="What `peakatlas train` wrote, or a name of `peakatlas bundles list`.",
        callback=wants("bundle"),
    ),
]


@dataclass(frozen=True, kw_only=True)
class LabelOptions(OptionGroup):
    """How cells get their labels."""

    heading = "How cells are labelled"

    assign_all: Annotated[
        bool, typer.Option("--assign-all", help="Give every cell a type, however uncertain.")
    ] = False
    rule: Annotated[
        RuleName,
        typer.Option(
            "--rule",
            help="What leaves a cell uncertain: a confidence below the limit (limits), or a set "
            "that does not hold one type (sets).",
        ),
    ] = "limits"
    alpha: Annotated[
        float,
        typer.Option(
            "--alpha",
            metavar="RATE",
            min=0.001,
            max=0.5,
            help="Error rate of the sets of types that each cell may be of.",
        ),
    ] = 0.1
    write_statistics: Annotated[
        Path | None,
        typer.Option(
            "--write-statistics",
            metavar="FILE",
            help="File to write what is learnt from this query to, for --statistics.",
            callback=writable(),
        ),
    ] = None
    statistics: Annotated[
        Path | None,
        typer.Option(
            "--statistics",
            metavar="FILE",
            help="What --write-statistics wrote of a whole query: label this part of it as there.",
        ),
    ] = None
    seed: SeedOption = 0

    def __post_init__(self) -> None:
        """A rule for open cells needs cells that may stay open."""
        if self.assign_all and self.rule == "sets":
            raise typer.BadParameter("--assign-all leaves no cell open", param_hint="--rule")


@dataclass(frozen=True, kw_only=True)
class PageOptions(OptionGroup):
    """The report, and what it shows."""

    heading = "Report"

    report: ReportOption = None
    labels: Annotated[
        str | None,
        typer.Option(
            "--labels",
            metavar="COLUMN",
            help="Column of obs with known types: compared in the report, else unread.",
        ),
    ] = None
    genes: GenesOption = None

    def __post_init__(self) -> None:
        """What only the report shows needs one."""
        for option in ("labels", "genes"):
            if getattr(self, option) is not None and self.report is None:
                raise typer.BadParameter("only --report reads it", param_hint=f"--{option}")


@dataclass(frozen=True, kw_only=True)
class QueryPeakOptions(PeakOptions):
    """As for training, and whether what is embedded is kept."""

    append: Annotated[
        bool, typer.Option("--append", help="Keep newly embedded peaks in the atlas.")
    ] = False

    def __post_init__(self) -> None:
        """Only what is embedded can be kept."""
        super().__post_init__()
        if self.append and self.genome is None:
            raise typer.BadParameter("without --genome no peak is embedded", param_hint="--append")


@app.command(
    cls=Command,
    rich_help_panel=CELLS_PANEL,
    epilog="peakatlas annotate query.h5ad --bundle bundle/ -o annotated.h5ad --report report.html\n"
    "peakatlas annotate query.h5ad --bundle bundle/ --atlas atlas.zarr --genome hg38.fa "
    "-o annotated.h5ad",
)
@grouped
def annotate(
    query: QueryArgument,
    bundle: BundleOption,
    out: OutCellsOption,
    page: PageOptions,
    labelling: LabelOptions,
    peaks: QueryPeakOptions,
    described: ElementOptions,
    read: CountOptions,
    as_json: JsonOption = False,
) -> None:
    """Label the cells of a query."""
    from peakatlas.classifier.annotate import annotation_of  # noqa: PLC0415 - keeps the help fast
    from peakatlas.classifier.report.record import record_of  # noqa: PLC0415 - as above

    check_apart(
        [out, page.report, labelling.write_statistics],
        [query, bundle, peaks.atlas, peaks.genome, peaks.chain, labelling.statistics, page.genes],
    )
    say_card(bundle)
    terms = opened_terms(described, peaks.atlas)
    with opened_atlas(peaks.atlas) as opened, steps() as begin:
        begin("reading the query")
        counts = _read(query, page.labels, read)
        found = annotation_of(
            counts,
            bundle,
            opened,
            peaks.genome,
            terms=terms,
            options=_options(labelling, peaks),
            progress=begin,
        )
    record = record_of(found.results.uns)
    if peaks.atlas is not None and record["spec"] is None:
        warn("--atlas is not used: the bundle was trained without an atlas. Train with it.")
    for alert in record["alerts"]:
        complain(f"{alert['severity']}: {alert['text']}")
    with working(f"writing {out}"), written_whole(out) as path:
        found.write(path)
    say(f"wrote {out}")
    if page.report is not None:
        _write_report(out, page.report, page)
    print_facts(_query_facts(record, out, page.report, as_json=as_json), as_json=as_json)
    if not as_json:
        print()
        print_table(("type", "cells", "query", "reference", "verdict", "reason"), _types(record))


def _options(labelling: LabelOptions, peaks: QueryPeakOptions) -> AnnotateOptions:
    from peakatlas.classifier.annotate import AnnotateOptions  # noqa: PLC0415 - keeps the help fast

    return AnnotateOptions(
        reject=not labelling.assign_all,
        rule=labelling.rule,
        alpha=labelling.alpha,
        statistics=_text(labelling.statistics),
        write_statistics=_text(labelling.write_statistics),
        max_offset=peaks.max_offset,
        append=peaks.append,
        match_contigs=peaks.match_contigs,
        chain=_text(peaks.chain),
        seed=labelling.seed,
    )


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _read(query: Path, labels: str | None, read: CountOptions) -> CellCounts:
    """Read a query; what cannot be shown or written in the end is refused before any work."""
    from peakatlas.classifier.counts.matrix import read_counts  # noqa: PLC0415 - keeps the help fast
    from peakatlas.classifier.counts.written import rehearse  # noqa: PLC0415 - as above
    from peakatlas.classifier.report.cells import column_of  # noqa: PLC0415 - as above

    counts = read_counts(query, **asdict(read))
    if labels is not None:
        column_of(counts.obs, labels)
    rehearse(counts.adata, counts.source)
    return counts


def _write_report(out: Path, report: Path, page: PageOptions) -> None:
    import anndata as ad  # noqa: PLC0415 - keeps the help fast

    from peakatlas.classifier.report.page import write_report  # noqa: PLC0415

    with working(f"writing {report}"), written_whole(report) as path:
        annotated = ad.read_h5ad(out, backed="r")
        write_report(annotated, path, labels_key=page.labels, genes=page.genes)
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
