"""`peakatlas train`: learn from labelled cells."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import peakatlas
from peakatlas.classifier.bundle.folder import SETTINGS_FILE
from peakatlas.cli.base import Command
from peakatlas.cli.groups import CountOptions, ElementOptions, OptionGroup, PeakOptions, grouped
from peakatlas.cli.kinds import wants
from peakatlas.cli.opened import opened_atlas, opened_terms
from peakatlas.cli.options import CELLS_PANEL, FORMATS, JsonOption, MethodName, SeedOption
from peakatlas.cli.outputs import check_apart, writable_bundle
from peakatlas.cli.terminal import print_facts, print_table, steps, warn
from peakatlas.engine.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from peakatlas.classifier.train import TrainOptions

app = typer.Typer()

MOST_BATCHES_SHOWN = 4
MOST_MISTAKES_SHOWN = 2


@dataclass(frozen=True, kw_only=True)
class OntologyOptions(OptionGroup):
    """How types are mapped to the Cell Ontology."""

    heading = "Cell Ontology"

    ontology: Annotated[
        bool,
        typer.Option(
            "--ontology",
            help="Map types to the Cell Ontology by names and synonyms; types of one term are one.",
        ),
    ] = False
    labels_table: Annotated[
        Path | None,
        typer.Option(
            "--labels-table",
            metavar="TABLE",
            help="Ids of types that have other names: a type, a tab and an id (CL:0000623) a "
            "line. Implies --ontology.",
        ),
    ] = None
    lineages: Annotated[
        bool,
        typer.Option(
            "--lineages",
            help="Add a level above the types: the lineage of each. Implies --ontology.",
        ),
    ] = False


@app.command(
    cls=Command,
    rich_help_panel=CELLS_PANEL,
    epilog="peakatlas train reference.h5ad --labels cell_type -o bundle/\n"
    "peakatlas train reference.h5ad --labels cell_type --atlas atlas.zarr --genome hg38.fa "
    "-o bundle/\n"
    "peakatlas train ref1.h5ad ref2.h5ad --labels coarse_type,cell_type --batch-key donor "
    "--atlas atlas.zarr -o bundle/\n"
    "peakatlas train reference.h5ad --labels cell_type --ontology --lineages -o bundle/",
)
@grouped
def train(
    references: Annotated[
        list[Path],
        typer.Argument(
            metavar="REFERENCE.h5ad",
            help=f"Labelled cells x peaks, counts: {FORMATS}. Several may have different peaks.",
            callback=wants("cells"),
        ),
    ],
    labels: Annotated[
        str,
        typer.Option(
            "--labels",
            metavar="COLUMN",
            help="Column of obs with the cell types; several by commas for coarse and fine types.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "-o", "--out", metavar="BUNDLE/", help="Folder to write.", callback=writable_bundle
        ),
    ],
    mapping: OntologyOptions,
    peaks: PeakOptions,
    described: ElementOptions,
    read: CountOptions,
    batch_key: Annotated[
        str | None,
        typer.Option(
            "--batch-key",
            metavar="COLUMN",
            help="Column of obs with the batch, such as the donor; each file is one by itself.",
        ),
    ] = None,
    method: Annotated[
        MethodName,
        typer.Option(
            "--method",
            help="All members of the labeller, weighed on held-out cells (default), or the "
            "alignment network alone (network).",
        ),
    ] = "default",
    seed: SeedOption = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace a bundle that is there.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Learn to annotate from labelled references."""
    columns = [name.strip() for name in labels.split(",") if name.strip()]
    if not columns or len(set(columns)) < len(columns):
        raise typer.BadParameter("name each column once", param_hint="--labels")
    check_apart(
        [out],
        [references, mapping.labels_table, peaks.atlas, peaks.genome, peaks.chain,
         described.elements_chain],
    )  # fmt: skip
    if (out / SETTINGS_FILE).exists() and not force:
        raise BundleError(f"{out} holds a bundle. Give --force to replace it, or another folder.")
    from peakatlas.classifier.counts.registry import Sources  # noqa: PLC0415
    from peakatlas.classifier.train import calibration_warnings  # noqa: PLC0415

    options = _options(method, mapping)
    terms = opened_terms(described, peaks.atlas)
    with opened_atlas(peaks.atlas) as opened, steps() as begin:
        sources = Sources(
            genome=peaks.genome,
            max_offset=peaks.max_offset,
            match_contigs=peaks.match_contigs,
            chain=peaks.chain,
            report=begin,
        )
        bundle = peakatlas.train(
            references,
            columns,
            opened,
            **asdict(read),
            batch_key=batch_key,
            sources=sources,
            terms=terms,
            options=options,
            seed=seed,
            progress=begin,
        )
    for text in calibration_warnings(bundle.held_out):
        warn(text)
    if bundle.ontology is not None and bundle.ontology.unmapped:
        warn(bundle.ontology.not_found())
    bundle.save(out)
    print_facts(_facts(bundle, out, as_json=as_json), as_json=as_json)
    if not as_json:
        _print_types(bundle)


def _options(method: MethodName, mapping: OntologyOptions) -> TrainOptions:
    from peakatlas.classifier.ontology.mapping import read_label_table  # noqa: PLC0415
    from peakatlas.classifier.train import TrainOptions  # noqa: PLC0415 - keeps the help fast

    table = mapping.labels_table
    return TrainOptions(
        method=method,
        ontology=mapping.ontology or mapping.lineages or table is not None,
        label_terms={} if table is None else read_label_table(table),
        lineages=mapping.lineages,
    )


def _facts(bundle: peakatlas.Bundle, out: Path, *, as_json: bool) -> dict[str, Any]:
    known = bundle.provenance
    facts: dict[str, Any] = {"path": str(out), "types": list(bundle.types)}
    facts |= {name: known[name] for name in ("cells", "peaks", "tiers")}
    if bundle.ontology is not None:
        facts["ontology"] = bundle.ontology.to_json() if as_json else _terms(bundle)
    if known["empty_cells"]:
        facts["cells without counts, left out"] = known["empty_cells"]
    if as_json:
        levels = {"levels": dict(zip(bundle.levels.columns, bundle.levels.types, strict=True))}
        counted = {name: known[name] for name in ("cells_by_type", "cells_by_batch")}
        return facts | counted | levels | {"held_out": bundle.held_out}
    if bundle.spec is None:  # no peak was looked up
        del facts["tiers"]
    held = bundle.held_out
    scores = {"held-out accuracy": f"{held['accuracy']:.3f}"}
    scores |= {"held-out macro-F1": f"{held['macro_f1']:.3f}"}
    for part in ("by_level", "by_batch"):
        scores |= {
            f"held-out accuracy, {name}": f"{found['accuracy']:.3f}"
            for name, found in held.get(part, {}).items()
        }
    return facts | {"types": len(bundle.types)} | scores


def _terms(bundle: peakatlas.Bundle) -> str:
    found = sum(term != "unknown" for term in bundle.term_ids)
    return f"{found} of {len(bundle.types)} types have a term"


def _print_types(bundle: peakatlas.Bundle) -> None:
    """Print the types, the weakest first, with what they were mistaken for."""
    by_type, by_batch = bundle.held_out["by_type"], bundle.provenance["cells_by_batch"]
    verdicts = {each["type"]: each["words"] for each in bundle.held_out.get("verdicts", ())}
    terms = dict(zip(bundle.types, bundle.term_ids, strict=True))
    batches = list(by_batch) if 1 < len(by_batch) <= MOST_BATCHES_SHOWN else []
    rows = [
        [
            name,
            *([terms[name]] if bundle.ontology is not None else []),
            f"{bundle.provenance['cells_by_type'][name]:,}",
            *(f"{by_batch[batch].get(name, 0):,}" for batch in batches),
            f"{by_type[name]['f1']:.2f}" if name in by_type else "–",
            verdicts.get(name, "–"),
            _mistakes(by_type[name]) if name in by_type else "in one batch only",
        ]
        for name in sorted(bundle.types, key=lambda name: by_type.get(name, {"f1": 1})["f1"])
    ]
    print()
    term = ["term"] if bundle.ontology is not None else []
    print_table(["type", *term, "cells", *batches, "held-out F1", "verdict", "mistaken for"], rows)


def _mistakes(scores: Mapping[str, Any]) -> str:
    shares = [(name, n / scores["cells"]) for name, n in scores["mistaken_for"].items()]
    return ", ".join(f"{name} {share:.0%}" for name, share in shares[:MOST_MISTAKES_SHOWN])
