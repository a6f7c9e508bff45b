"""`peakatlas atlas build` and `info`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import peakatlas
from peakatlas.engine.models.table import MODELS
from peakatlas.terminal import is_first_rank, print_facts, progress_bar, say, show_licence

from .options import (
    GenomeArgument,
    JsonOption,
    LayerOption,
    MatchContigsOption,
    MaxNFractionOption,
    ModelOption,
    OutAtlasArgument,
    PeaksArgument,
    PoolingOption,
    PrecisionOption,
    RevisionOption,
    SourceArgument,
    StrandOption,
    TrustOption,
    WindowOption,
)

if TYPE_CHECKING:
    from peakatlas.atlas.inputs import PeakList
    from peakatlas.engine.meter import Meter

app = typer.Typer()


@app.command("build")
def atlas_build(
    genome: GenomeArgument,
    peaks: PeaksArgument,
    out: OutAtlasArgument,
    model: ModelOption = "peaklm-v1",
    window: WindowOption = None,
    strand: StrandOption = "forward",
    precision: PrecisionOption = "bf16",
    pooling: PoolingOption = "mean",
    layer: LayerOption = -1,
    max_n_fraction: MaxNFractionOption = None,
    revision: RevisionOption = None,
    trust_remote_code: TrustOption = False,
    partition: Annotated[
        str | None,
        typer.Option(metavar="k/n", help="Do share k of n only, for job arrays; k from 1."),
    ] = None,
    match_contigs: MatchContigsOption = False,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Show the share of the machine's speed.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Embed every peak and store the embeddings; the same command again finishes the job."""
    show_licence(model)
    given = _read_peaks(peaks)
    embedder = peakatlas.Embedder.load(
        model,
        window=window,
        strand=strand,
        precision=precision,
        pooling=pooling,
        layer=layer,
        max_n_fraction=max_n_fraction,
        revision=revision,
        trust_remote_code=trust_remote_code,
    )
    if embedder.card.name not in MODELS:
        show_licence(embedder.card)
    if partition is not None:
        _build_partition(genome, given, out, embedder, partition, match_contigs, verbose)
        return
    with progress_bar(len(given), "embedding", meter_of(len(given), embedder, verbose)) as advance:
        atlas = peakatlas.build_atlas(
            genome, given, out, embedder, match_contigs=match_contigs, progress=advance
        )
    if is_first_rank():
        print_facts(atlas.info(), as_json=as_json)


def _build_partition(
    genome: Path,
    peaks: PeakList,
    out: Path,
    embedder: peakatlas.Embedder,
    partition: str,
    match_contigs: bool,
    verbose: bool,
) -> None:
    from peakatlas.atlas.build import build_partition  # noqa: PLC0415 - keeps the help fast
    from peakatlas.engine.distributed import parse_partition  # noqa: PLC0415

    share = parse_partition(partition)
    n_peaks = -(-len(peaks) // share.count)
    with progress_bar(n_peaks, "embedding", meter_of(n_peaks, embedder, verbose)) as advance:
        missing = build_partition(
            genome, peaks, out, embedder, share, match_contigs=match_contigs, progress=advance
        )
    say(
        f"partition {partition} is written; "
        + (f"{missing} shards of others are missing" if missing else "the atlas is finished")
    )


def _read_peaks(path: Path) -> PeakList:
    from peakatlas.atlas.inputs import PeakList  # noqa: PLC0415 - keeps the help fast

    return PeakList.read(path)


def meter_of(n_peaks: int, embedder: peakatlas.Embedder, verbose: bool = False) -> Meter:
    """Rates of embedding, for the progress; with `verbose` as a share of the machine's speed."""
    from peakatlas.engine.meter import Meter  # noqa: PLC0415 - keeps the help fast

    peak = None
    if verbose:
        from peakatlas.engine.throughput import gemm_peak  # noqa: PLC0415

        peak = gemm_peak(embedder.device, embedder.spec.precision)
    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    return Meter(n_peaks, embedder, ranks=ranks, peak_flops=peak)


@app.command("info")
def atlas_info(atlas: SourceArgument, as_json: JsonOption = False) -> None:
    """Size, model, licence, genome and state of an atlas."""
    with peakatlas.Atlas.open(atlas) as opened:
        print_facts(opened.info(), as_json=as_json)
