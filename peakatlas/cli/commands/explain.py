"""`peakatlas explain`: the elements, words of DNA and motifs that carry each type of a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import peakatlas
from peakatlas.cli.base import Command
from peakatlas.cli.kinds import wants
from peakatlas.cli.opened import say_card
from peakatlas.cli.options import CELLS_PANEL, BundleArgument, GenesOption, JsonOption, SeedOption
from peakatlas.cli.outputs import check_apart, writable, written_whole
from peakatlas.cli.terminal import print_facts, say, working
from peakatlas.engine.errors import PeakAtlasError

app = typer.Typer()


@app.command(
    cls=Command,
    rich_help_panel=CELLS_PANEL,
    epilog="peakatlas explain bundle/ -o markers.tsv --bed markers.bed\n"
    "peakatlas explain bundle/ -o markers.tsv --genome hg38.fa.gz --dna motifs.tsv",
)
def explain(
    bundle: BundleArgument,
    out: Annotated[
        Path,
        typer.Option(
            "-o",
            "--out",
            metavar="MARKERS.tsv",
            help="Table of marker peaks to write, best first.",
            callback=writable("table"),
        ),
    ],
    bed: Annotated[
        Path | None,
        typer.Option(
            "--bed",
            metavar="MARKERS.bed",
            help="The same as BED: name is the type, score its contribution, 0 to 1000.",
            callback=writable("intervals"),
        ),
    ] = None,
    genome: Annotated[
        Path | None,
        typer.Option(
            "--genome",
            metavar="GENOME.fa",
            help="FASTA of the genome or of peaks, for --dna.",
            callback=wants("genome"),
        ),
    ] = None,
    dna: Annotated[
        Path | None,
        typer.Option(
            "--dna",
            metavar="DNA.tsv",
            help="Table to write of motifs and words (k-mers) enriched in the markers of a type, "
            "beside other peaks of like GC; needs --genome.",
            callback=writable("table"),
        ),
    ] = None,
    top: Annotated[
        int, typer.Option("--top", metavar="N", min=1, help="Marker peaks of a type, at most.")
    ] = 500,
    k: Annotated[int, typer.Option("--k", metavar="BP", min=4, max=8, help="Length of words.")] = 6,
    genes: GenesOption = None,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """List the marker peaks of each type, and the motifs and words of DNA in them."""
    if (genome is None) != (dna is None):
        raise typer.BadParameter("--genome and --dna go together", param_hint="--dna")
    from peakatlas.classifier.explain.elements import markers_bed  # noqa: PLC0415 - a quick help

    check_apart([out, bed, dna], [bundle, genome])
    say_card(bundle)
    model = peakatlas.Bundle.load(bundle)
    with working("scoring elements"):
        markers = peakatlas.marker_elements(model, top=top)
    if genes is not None:
        from peakatlas.classifier.explain.genes import nearest_genes, read_genes  # noqa: PLC0415

        markers = markers.join(nearest_genes(markers, read_genes(genes)))
    facts: dict[str, object] = {"markers": len(markers), "table": str(out)}
    _write(out, markers.to_csv(sep="\t", index=False, float_format="%.5g"))
    if bed is not None:
        _write(bed, markers_bed(markers))
        facts["bed"] = str(bed)
    if genome is not None and dna is not None:
        with working("comparing their DNA with that of others"):
            found = peakatlas.enriched_kmers(model, genome, k=k, top=top, seed=seed)
        _write(dna, found.to_csv(sep="\t", index=False, float_format="%.5g"))
        motifs = found[found["kind"] == "motif"]
        facts |= {"dna": str(dna), "patterns": len(found)}
        facts["motifs"] = {
            str(name): ", ".join(part["motif"])
            for name, part in motifs.groupby("type", observed=True)
        }
    print_facts(facts, as_json=as_json)


def _write(path: Path, text: str) -> None:
    try:
        with written_whole(path) as aside:
            aside.write_text(text, "utf-8")
    except OSError as fault:
        raise PeakAtlasError(f"{path} cannot be written ({fault}). Give another path.") from fault
    say(f"wrote {path}")
