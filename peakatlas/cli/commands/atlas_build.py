"""`peakatlas atlas build` and `info`."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import peakatlas
from peakatlas.cli.base import Command, ResumableCommand
from peakatlas.cli.groups import EmbeddingOptions, grouped
from peakatlas.cli.options import (
    GenomeArgument,
    JsonOption,
    MatchContigsOption,
    OutAtlasArgument,
    PeaksArgument,
    SourceArgument,
)
from peakatlas.cli.terminal import (
    is_first_rank,
    is_verbose,
    print_facts,
    progress_bar,
    say,
    show_licence,
)
from peakatlas.engine.models.table import MODELS
from peakatlas.engine.run.launchers import launch_of

from .atlas_plan import print_plan

if TYPE_CHECKING:
    from peakatlas.atlas.build.inputs import PeakList
    from peakatlas.engine.run.meter import Meter

app = typer.Typer()


@dataclass(frozen=True, kw_only=True)
class _Job:
    """What is to be built."""

    genome: Path
    peaks: PeakList
    out: str
    embedder: peakatlas.Embedder
    match_contigs: bool


def load_model(rules: EmbeddingOptions) -> peakatlas.Embedder:
    """Load a model by the options of a command; its licence is shown if it forbids some uses."""
    show_licence(rules.model)
    embedder = peakatlas.Embedder.load(**asdict(rules))
    if embedder.card.name not in MODELS:
        show_licence(embedder.card)
    return embedder


@app.command(
    "build",
    cls=ResumableCommand,
    rich_help_panel="Make",
    epilog="peakatlas atlas build hg38.fa.gz peaks.bed atlas.zarr --plan\n"
    "peakatlas atlas build hg38.fa.gz peaks.bed atlas.zarr --model peaklm-v3\n"
    "peakatlas atlas build hg38.fa.gz peaks.bed atlas.zarr --partition $SLURM_ARRAY_TASK_ID/16\n"
    "peakatlas atlas build hg38.fa.gz peaks.bed atlas.zarr --dask tcp://scheduler:8786",
)
@grouped
def atlas_build(
    genome: GenomeArgument,
    peaks: PeaksArgument,
    out: OutAtlasArgument,
    rules: EmbeddingOptions,
    plan: Annotated[
        bool,
        typer.Option(
            "--plan", help="Write no atlas; say what it would take, and what is done already."
        ),
    ] = False,
    no_measure: Annotated[
        bool,
        typer.Option("--no-measure", help="Do not run the model for --plan: no projected time."),
    ] = False,
    partition: Annotated[
        str | None,
        typer.Option(
            "--partition",
            metavar="k/n",
            help="Do share k of n only, for job arrays; k from 1.",
        ),
    ] = None,
    dask: Annotated[
        str | None,
        typer.Option(
            "--dask",
            metavar="ADDRESS|local",
            help="Hand the shards to a Dask cluster; local: a process for each core.",
        ),
    ] = None,
    match_contigs: MatchContigsOption = False,
    as_json: JsonOption = False,
) -> None:
    """Embed every peak and store the embeddings; the same command again finishes the job."""
    if dask is not None and partition is not None:
        raise typer.BadParameter("--dask shares the shards out itself: leave --partition out.")
    from peakatlas.atlas.build.inputs import PeakList  # noqa: PLC0415 - keeps the help fast
    from peakatlas.atlas.storage.urls import local_path  # noqa: PLC0415

    folder = local_path(out) or Path()
    if plan and local_path(out) is None:
        raise typer.BadParameter("it plans for a disk: give a folder", param_hint="--plan")
    given = PeakList.read(peaks)
    embedder = load_model(rules)
    if plan:
        print_plan(
            (genome, given, folder), embedder, match_contigs=match_contigs, measure=not no_measure,
            as_json=as_json,
        )  # fmt: skip
        return
    job = _Job(genome=genome, peaks=given, out=out, embedder=embedder, match_contigs=match_contigs)
    if dask is not None:
        _build_on_dask(job, dask, trust_remote_code=rules.trust_remote_code, as_json=as_json)
    elif partition is None:
        _build(job, as_json=as_json)
    else:
        _build_partition(job, partition, as_json=as_json)


def _build(job: _Job, *, as_json: bool) -> None:
    n_peaks = len(job.peaks)
    with progress_bar(n_peaks, "embedding", meter_of(n_peaks, job.embedder)) as advance:
        atlas = peakatlas.build_atlas(
            job.genome,
            job.peaks,
            job.out,
            job.embedder,
            match_contigs=job.match_contigs,
            progress=advance,
        )
    if is_first_rank():
        print_facts(atlas.info(), as_json=as_json)


def _build_on_dask(job: _Job, address: str, *, trust_remote_code: bool, as_json: bool) -> None:
    from peakatlas.atlas.build.dask_cluster import build_on_dask  # noqa: PLC0415 - keeps help fast

    with progress_bar(len(job.peaks), "embedding") as advance:
        atlas = build_on_dask(
            job.genome,
            job.peaks,
            job.out,
            job.embedder,
            address,
            match_contigs=job.match_contigs,
            trust_remote_code=trust_remote_code,
            progress=advance,
            said=lambda link: say(f"dashboard: {link}"),
        )
    print_facts(atlas.info(), as_json=as_json)


def _build_partition(job: _Job, partition: str, *, as_json: bool) -> None:
    from peakatlas.atlas.build.local import build_partition  # noqa: PLC0415 - keeps the help fast
    from peakatlas.engine.run.distributed import parse_partition  # noqa: PLC0415

    share = parse_partition(partition)
    n_peaks = -(-len(job.peaks) // share.count)
    with progress_bar(n_peaks, "embedding", meter_of(n_peaks, job.embedder)) as advance:
        missing = build_partition(
            job.genome,
            job.peaks,
            job.out,
            job.embedder,
            share,
            match_contigs=job.match_contigs,
            progress=advance,
        )
    say(
        f"partition {partition} is written; "
        + (f"{missing} shards of others are missing" if missing else "the atlas is finished")
    )
    if as_json and is_first_rank():
        facts = {"path": str(job.out), "partition": partition, "n_missing_shards": missing}
        print_facts(facts, as_json=True)


def meter_of(n_peaks: int, embedder: peakatlas.Embedder) -> Meter:
    """Rates of embedding, for the progress; when verbose as a share of the machine's speed."""
    from peakatlas.engine.run.meter import Meter  # noqa: PLC0415 - keeps the help fast

    peak = None
    if is_verbose():
        from peakatlas.engine.throughput import gemm_peak  # noqa: PLC0415

        spec = embedder.spec
        say(f"{spec.model} on {embedder.device}, {spec.precision}, window {spec.window}")
        peak = gemm_peak(embedder.device, spec.precision)
    ranks = launch_of(os.environ).world_size
    return Meter(n_peaks, embedder, ranks=ranks, peak_flops=peak)


@app.command(
    "info",
    cls=Command,
    rich_help_panel="Use",
    epilog="peakatlas atlas info atlas.zarr\npeakatlas atlas info https://host/atlas.zarr --json",
)
def atlas_info(atlas: SourceArgument, as_json: JsonOption = False) -> None:
    """Size, model, licence, genome and state of an atlas."""
    with peakatlas.Atlas.open(atlas) as opened:
        print_facts(opened.info(), as_json=as_json)
