"""What `peakatlas atlas build --plan` prints."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from peakatlas.cli.terminal import print_facts, print_table, shown_bytes, warn, working

if TYPE_CHECKING:
    from pathlib import Path

    from peakatlas.atlas.build.estimate import BuildEstimate
    from peakatlas.atlas.build.inputs import PeakList
    from peakatlas.engine.embedder import Embedder


def print_plan(
    given: tuple[Path, PeakList, Path],
    embedder: Embedder,
    *,
    match_contigs: bool,
    measure: bool,
    as_json: bool,
) -> None:
    """Print what a build would take; warn where the disk is too small.

    Parameters
    ----------
    given : tuple
        FASTA, peaks, and folder of the atlas.
    embedder : Embedder
    match_contigs : bool
        As for `build_atlas`.
    measure : bool
        Whether to run the model for a few seconds.
    as_json : bool
        Whether to print one JSON object.
    """
    from peakatlas.atlas.build.estimate import estimate_build  # noqa: PLC0415 - keeps the help fast
    from peakatlas.atlas.build.inputs import read_inputs  # noqa: PLC0415

    genome, peaks, out = given
    with working("reading the genome"):
        inputs = read_inputs(genome, peaks, match_contigs=match_contigs)
    with working("measuring" if measure else "counting"):
        found = estimate_build(inputs, out, embedder, **({} if measure else {"seconds": 0.0}))
    if as_json:
        spec, device = embedder.spec, str(embedder.device)
        facts = {"path": str(out), "model": spec.model, "window": spec.window, "device": device}
        print_facts(facts | found.to_json(), as_json=True)
    else:
        print_table((), _rows(found, out, embedder))
    if not found.has_room:
        warn(
            f"{out} needs {shown_bytes(found.n_bytes_left)} more and its disk has "
            f"{shown_bytes(found.free_bytes)} free. Make room, or give a path on a larger disk."
        )


def _rows(found: BuildEstimate, out: Path, embedder: Embedder) -> list[list[str]]:
    spec, burst = embedder.spec, found.burst
    repeats = f"; {found.n_repeats:,} repeated peaks collapse" if found.n_repeats else ""
    rate = "not measured"
    if burst is not None:
        rate = f"{burst.peaks_per_s:,.0f} peaks/s, {burst.tokens_per_s:,.0f} tokens/s, one process"
    return [
        ["atlas", f"{out}: {_state(found)}"],
        ["model", f"{spec.model}, {spec.precision}, window {spec.window}, on {embedder.device}"],
        ["rows", f"{found.n_rows:,}{repeats}"],
        ["windows", f"{found.n_windows:,}"],
        ["tokens", f"about {found.n_tokens:,}"],
        ["shards", f"{found.n_shards:,} of {found.shard_rows:,} rows"],
        ["disk", f"{shown_bytes(found.n_bytes)}; {shown_bytes(found.n_bytes_left)} to write, "
                 f"{shown_bytes(found.free_bytes)} free"],
        ["memory", f"about {shown_bytes(found.memory_bytes)} a process"],
        ["speed", rate],
        ["time left", _time(found)],
    ]  # fmt: skip


def _state(found: BuildEstimate) -> str:
    if found.finished:
        return "finished, nothing to do"
    if found.n_bytes_left < found.n_bytes:
        return f"begun, {found.n_shards_done:,} of {found.n_shards:,} shards are written"
    return "not begun"


def _time(found: BuildEstimate) -> str:
    seconds = found.seconds_left
    if seconds is None:
        return "not measured"
    return f"about {timedelta(seconds=round(seconds))}" if seconds >= 1 else "less than 1 s"
