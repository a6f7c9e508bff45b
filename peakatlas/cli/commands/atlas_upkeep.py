"""`peakatlas atlas verify`, `merge`, `subset`, `compact`, `publish`, `quantise`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from peakatlas.cli.base import Command, ResumableCommand
from peakatlas.cli.groups import AtlasModelOptions, grouped
from peakatlas.cli.kinds import wants
from peakatlas.cli.options import (
    AtlasArgument,
    JsonOption,
    OutAtlasOption,
    SeedOption,
    SourceArgument,
)
from peakatlas.cli.outputs import check_apart
from peakatlas.cli.terminal import bytes_bar, print_facts, progress_bar, say

if TYPE_CHECKING:
    from collections.abc import Callable

    from peakatlas.engine.dna.genome import SequenceSource
    from peakatlas.engine.embedder import Embedder

app = typer.Typer()


@app.command(
    "verify",
    cls=Command,
    rich_help_panel="Use",
    epilog="peakatlas atlas verify atlas.zarr --deep\n"
    "peakatlas atlas verify atlas.zarr --repair --genome hg38.fa",
)
@grouped
def atlas_verify(
    atlas: SourceArgument,
    model: AtlasModelOptions,
    deep: Annotated[
        bool, typer.Option("--deep", help="Read every byte: SHA-256 of each file, each value.")
    ] = False,
    reembed: Annotated[
        int, typer.Option("--reembed", metavar="N", min=0, help="Embed N rows again and compare.")
    ] = 0,
    genome: Annotated[
        Path | None,
        typer.Option(
            "--genome",
            metavar="GENOME.fa",
            help="Compare contigs with this FASTA; with --deep, the sequence of every row.",
            callback=wants("genome"),
        ),
    ] = None,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair", help="Repair damaged files before the check; damaged shards need --genome."
        ),
    ] = False,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Check an atlas; exit code 1 and one line for each fault, with its remedy."""
    from peakatlas.atlas.check.repair import repair_atlas  # noqa: PLC0415 - keeps the help fast
    from peakatlas.atlas.check.verify import verify_atlas  # noqa: PLC0415

    if reembed and genome is None:
        raise typer.BadParameter("--reembed needs --genome GENOME.fa.")
    source = _open(genome)
    load = _loader(atlas, model)
    if repair:
        with progress_bar(1, "embedding") as advance:
            mended = repair_atlas(atlas, source=source, embedder=load, progress=advance)
        for name in mended:
            say(f"wrote anew: {name}")
    with bytes_bar(f"verifying {atlas}") as advance:
        report = verify_atlas(
            atlas,
            deep=deep or repair,
            source=source,
            embedder=load,
            reembed=reembed,
            seed=seed,
            progress=advance,
        )
    if as_json:
        typer.echo(json.dumps(report.to_json()))
    else:
        for fault in report.faults:
            typer.echo(fault.line(report.atlas))
        for note in report.notes:
            say(f"note: {note}")
        facts = ", ".join(f"{name} {value:,}" for name, value in report.facts.items())
        fine = "sound" if deep or repair else "no fault found; --deep reads every byte"
        say(f"{atlas}: {f'{len(report.faults)} fault(s)' if report.faults else fine} ({facts})")
    if report.faults:
        raise typer.Exit(1)


@app.command(
    "merge",
    cls=ResumableCommand,
    rich_help_panel="Make",
    epilog="peakatlas atlas merge blood.zarr brain.zarr -o both.zarr",
)
def atlas_merge(
    atlases: Annotated[
        list[str],
        typer.Argument(
            metavar="ATLAS", help="Atlases of one spec and genome.", callback=wants("atlas")
        ),
    ],
    out: OutAtlasOption,
    as_json: JsonOption = False,
) -> None:
    """Put the rows of several atlases into a new one; the same command again finishes the job."""
    from peakatlas.atlas import Atlas  # noqa: PLC0415 - keeps the help fast
    from peakatlas.atlas.derive.merge import merge_atlases  # noqa: PLC0415

    check_apart([out], atlases)
    n_rows = sum(len(Atlas.open(path)) for path in atlases)
    with progress_bar(n_rows, "merging") as advance:
        merged = merge_atlases(atlases, out, progress=advance)
    say(f"{n_rows - len(merged):,} repeated intervals were collapsed")
    print_facts(merged.info(), as_json=as_json)


@app.command(
    "subset",
    cls=ResumableCommand,
    rich_help_panel="Make",
    epilog="peakatlas atlas subset atlas.zarr --bed regions.bed -o part.zarr\n"
    "peakatlas atlas subset atlas.zarr --region chr1:100000-900000 -o part.zarr",
)
def atlas_subset(
    atlas: SourceArgument,
    out: OutAtlasOption,
    bed: Annotated[
        Path | None,
        typer.Option(
            "--bed", metavar="REGIONS.bed", help="BED of regions.", callback=wants("peaks")
        ),
    ] = None,
    region: Annotated[
        list[str] | None,
        typer.Option(
            "--region",
            metavar="chr1:100-600",
            help="A region, 0-based half-open; may be given again.",
        ),
    ] = None,
    match_contigs: Annotated[
        bool,
        typer.Option("--match-contigs", help="Rename contigs of the regions by style: chr1, 1."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Put the rows that overlap some regions into a new atlas."""
    import peakatlas  # noqa: PLC0415
    from peakatlas.atlas.build.provenance import peaks_provenance  # noqa: PLC0415 - keeps the help fast
    from peakatlas.atlas.derive.subset import subset_atlas  # noqa: PLC0415
    from peakatlas.engine.intervals import contig_names  # noqa: PLC0415

    check_apart([out], [atlas, bed])
    if bed is None and not region:
        raise typer.BadParameter("give --bed REGIONS.bed, --region chr1:100-600, or both.")
    parts = [] if bed is None else [peakatlas.read_bed(bed)]
    parts += [peakatlas.parse_names(region, "--region")] if region else []
    regions = peakatlas.Intervals.concatenate(parts)
    described = {} if bed is None else peaks_provenance(bed, 0)
    opened = peakatlas.Atlas.open(atlas)
    if match_contigs:
        regions = contig_names.match_contigs(regions, opened.intervals.contigs)
    with progress_bar(len(opened), "copying") as advance:
        subset = subset_atlas(atlas, out, regions, peaks=described, progress=advance)
    print_facts(subset.info(), as_json=as_json)


@app.command(
    "compact",
    cls=ResumableCommand,
    rich_help_panel="Make",
    epilog="peakatlas atlas compact atlas.zarr",
)
def atlas_compact(atlas: AtlasArgument, as_json: JsonOption = False) -> None:
    """Fold what was appended into one segment, in place; rows get new numbers."""
    from peakatlas.atlas import Atlas  # noqa: PLC0415 - keeps the help fast
    from peakatlas.atlas.derive.compact import compact_atlas  # noqa: PLC0415

    before = Atlas.open(atlas).info()
    with progress_bar(before["n_intervals"], "compacting") as advance:
        compacted = compact_atlas(atlas, progress=advance)
    say(f"segments: {before['n_segments']:,} before, 1 now")
    print_facts(compacted.info(), as_json=as_json)


@app.command(
    "publish",
    cls=Command,
    rich_help_panel="Use",
    epilog="peakatlas atlas publish atlas.zarr --url https://host/atlas.zarr",
)
def atlas_publish(
    atlas: AtlasArgument,
    url: Annotated[
        str, typer.Option("--url", metavar="URL", help="URL that it will have, for its README.md.")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Check an atlas for a static server, write its README.md, and print how to copy it."""
    from peakatlas.atlas.publish import publish_atlas  # noqa: PLC0415 - keeps the help fast

    with bytes_bar(f"verifying {atlas}") as advance:
        done = publish_atlas(atlas, url=url, progress=advance)
    if as_json:
        typer.echo(json.dumps(asdict(done), default=str))
        return
    say(f"wrote {done.card}; {done.n_files:,} files, {done.bytes:,} bytes. To copy them:")
    for command in done.commands:
        typer.echo(command)


@app.command(
    "quantise",
    cls=ResumableCommand,
    rich_help_panel="Make",
    epilog="peakatlas atlas quantise atlas.zarr -o small.zarr",
)
def atlas_quantise(atlas: SourceArgument, out: OutAtlasOption, as_json: JsonOption = False) -> None:
    """Write an atlas with int8 embeddings, half the bytes, and print what that costs."""
    from peakatlas.atlas import Atlas  # noqa: PLC0415 - keeps the help fast
    from peakatlas.atlas.derive.quantise import quantise_atlas  # noqa: PLC0415

    check_apart([out], [atlas])
    before = Atlas.open(atlas)
    with progress_bar(len(before), "quantising") as advance:
        found = quantise_atlas(atlas, out, progress=advance)
    facts = found.atlas.info()
    loss = {
        "bytes_before": before.info()["bytes"],
        "least_centred_cosine": round(found.least_cosine, 7),
        "mean_centred_cosine": round(found.mean_cosine, 7),
    }
    print_facts(facts | loss, as_json=as_json)


def _open(genome: Path | None) -> SequenceSource | None:
    from peakatlas.engine.dna.genome import open_genome  # noqa: PLC0415

    return None if genome is None else open_genome(genome)


def _loader(atlas: str, model: AtlasModelOptions) -> Callable[[], Embedder]:
    """What loads the model of an atlas when it is needed."""

    def load() -> Embedder:
        from peakatlas.atlas.build.model_of_atlas import own_embedder, recorded_model  # noqa: PLC0415
        from peakatlas.atlas.format.opening import manifest_of  # noqa: PLC0415
        from peakatlas.atlas.storage.urls import open_storage  # noqa: PLC0415
        from peakatlas.engine.spec import EmbeddingSpec  # noqa: PLC0415

        storage = open_storage(atlas)
        manifest = manifest_of(storage)
        return own_embedder(
            EmbeddingSpec.from_json(manifest["spec"]),
            recorded_model(storage, manifest),
            **asdict(model),
        )

    return load
