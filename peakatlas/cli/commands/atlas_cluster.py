"""`peakatlas atlas init`, `write-shard`, `finalise` and `append`: an atlas by separate jobs."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

import peakatlas
from peakatlas.cli.base import ResumableCommand
from peakatlas.cli.groups import AtlasModelOptions, EmbeddingOptions, grouped
from peakatlas.cli.options import (
    AtlasArgument,
    GenomeArgument,
    JsonOption,
    MatchContigsOption,
    OutAtlasArgument,
    PeaksArgument,
    SourceArgument,
)
from peakatlas.cli.terminal import print_facts, progress_bar, say

from .atlas_build import load_model, meter_of

if TYPE_CHECKING:
    from peakatlas.atlas import AtlasWriter

app = typer.Typer()

PANEL = "Make by separate jobs"


@app.command(
    "init",
    cls=ResumableCommand,
    rich_help_panel=PANEL,
    epilog="peakatlas atlas init hg38.fa peaks.bed atlas.zarr",
)
@grouped
def atlas_init(
    genome: GenomeArgument,
    peaks: PeaksArgument,
    out: OutAtlasArgument,
    rules: EmbeddingOptions,
    shard_rows: Annotated[
        int | None,
        typer.Option(
            "--shard-rows", metavar="N", min=1, help="Peaks of a shard; 1024 to 16384 if not given."
        ),
    ] = None,
    match_contigs: MatchContigsOption = False,
    as_json: JsonOption = False,
) -> None:
    """Lay an atlas out and say how many shards there are to write."""
    from peakatlas.atlas.build.cluster import init_atlas  # noqa: PLC0415 - keeps the help fast

    embedder = load_model(rules)
    writer = init_atlas(
        genome, peaks, out, embedder, match_contigs=match_contigs, shard_rows=shard_rows
    )
    print_facts(_laid_out(writer), as_json=as_json)
    say(f"next: peakatlas atlas write-shard {out} {genome} --shard 0-{writer.n_shards - 1}")


@app.command(
    "write-shard",
    cls=ResumableCommand,
    rich_help_panel=PANEL,
    epilog="peakatlas atlas write-shard atlas.zarr hg38.fa --shard 0-15,20\n"
    "peakatlas atlas write-shard atlas.zarr hg38.fa --shard $SLURM_ARRAY_TASK_ID",
)
@grouped
def atlas_write_shard(
    atlas: SourceArgument,
    genome: GenomeArgument,
    shard: Annotated[
        str, typer.Option("--shard", metavar="i[,j,a-b]", help="Shards to write, counted from 0.")
    ],
    model: AtlasModelOptions,
    as_json: JsonOption = False,
) -> None:
    """Embed and write exactly these shards; those that are done are left as they are."""
    from peakatlas.atlas.build.cluster import load_embedder, write_shards  # noqa: PLC0415 - as above
    from peakatlas.atlas.build.writer import AtlasWriter  # noqa: PLC0415
    from peakatlas.atlas.format.shard_lists import parse_shards, shown_shards  # noqa: PLC0415

    shards = parse_shards(shard)
    writer = AtlasWriter.open(atlas)
    writer.check_shards(shards)
    embedder = load_embedder(atlas, **asdict(model))
    n_peaks = sum(len(range(writer.plan.n_rows)[writer.shard_rows_of(i)]) for i in shards)
    with progress_bar(n_peaks, "embedding", meter_of(n_peaks, embedder)) as advance:
        done = write_shards(atlas, shards, genome, embedder, progress=advance)
    if done:
        say(f"note: shard {shown_shards(done)} was done already")
    missing = writer.segment.missing_shards()
    left = f"missing: shard {shown_shards(missing)}" if missing else "none is missing"
    then = "" if missing or writer.is_finished() else f"; next: peakatlas atlas finalise {atlas}"
    say(f"wrote {len(shards) - len(done)} of {writer.n_shards} shards; {left}{then}")
    if as_json:
        written = sorted(set(shards) - set(done))
        facts = {"path": str(atlas), "written": written, "done_before": done, "missing": missing}
        print_facts(facts, as_json=True)


@app.command(
    "finalise",
    cls=ResumableCommand,
    rich_help_panel=PANEL,
    epilog="peakatlas atlas finalise atlas.zarr",
)
def atlas_finalise(atlas: SourceArgument, as_json: JsonOption = False) -> None:
    """Make an atlas visible whose shards are all written; name those that are not."""
    from peakatlas.atlas.build.cluster import finalise_atlas  # noqa: PLC0415 - keeps the help fast

    with finalise_atlas(atlas) as opened:
        print_facts(opened.info(), as_json=as_json)


@app.command(
    "append",
    cls=ResumableCommand,
    rich_help_panel="Make",
    epilog="peakatlas atlas append atlas.zarr hg38.fa more_peaks.bed",
)
@grouped
def atlas_append(
    atlas: AtlasArgument,
    genome: GenomeArgument,
    peaks: PeaksArgument,
    model: AtlasModelOptions,
    match_contigs: MatchContigsOption = False,
    as_json: JsonOption = False,
) -> None:
    """Embed the peaks that an atlas lacks and add them; the same command again finishes the job."""
    from peakatlas.atlas.build.append import append_peaks  # noqa: PLC0415 - keeps the help fast
    from peakatlas.atlas.build.cluster import load_embedder  # noqa: PLC0415
    from peakatlas.atlas.build.inputs import PeakList, read_inputs  # noqa: PLC0415

    with peakatlas.Atlas.open(atlas) as opened:
        n_before = len(opened)
    given = PeakList.read(peaks)
    inputs = read_inputs(genome, given, match_contigs=match_contigs)
    embedder = load_embedder(atlas, **asdict(model))
    with progress_bar(len(given), "embedding", meter_of(len(given), embedder)) as advance:
        extended = append_peaks(atlas, inputs, embedder, progress=advance)
    say(f"added {len(extended) - n_before:,} of {len(given):,} peaks; the others were there")
    print_facts(extended.info(), as_json=as_json)


def _laid_out(writer: AtlasWriter) -> dict[str, object]:
    return {
        "path": writer.storage.name,
        "n_intervals": writer.plan.n_rows,
        "n_shards": writer.n_shards,
        "shard_rows": writer.plan.shard_rows,
        "n_done": len(writer.done_shards()),
        "model": writer.plan.spec.model,
        "window": writer.plan.spec.window,
        "spec_digest": writer.plan.spec.digest,
    }
