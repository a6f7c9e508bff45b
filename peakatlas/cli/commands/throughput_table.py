"""What `peakatlas benchmark` prints."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from peakatlas.engine.throughput import Throughput


def print_throughput(found: Sequence[Throughput], million_peaks: float, *, as_json: bool) -> None:
    """Print measurements of one model, one a number of ranks, as a table or a JSON object."""
    from rich.console import Console  # noqa: PLC0415 - keeps the help fast
    from rich.table import Table  # noqa: PLC0415

    first, n_peaks = found[0], million_peaks * 1e6
    if as_json:
        runs = [
            run.to_json()
            | {"hours": run.hours(n_peaks), "scaling": _scaling(run, first), "n_projected": n_peaks}
            for run in found
        ]
        print(json.dumps({"runs": runs}))
        return
    table = Table(
        title=f"{first.model}, {first.precision}, window {first.window}, {first.device}",
        title_justify="left",
    )
    for name in ("", *(f"{run.ranks} rank{'s' * (run.ranks > 1)}" for run in found)):
        table.add_column(name, justify="right" if name else "left")
    for name, shown in _quantities(million_peaks, first).items():
        table.add_row(name, *(shown(run) for run in found))
    Console().print(table)


def _quantities(million_peaks: float, first: Throughput) -> dict[str, Callable[[Throughput], str]]:
    """What the table of a measurement shows: how to write each quantity, by name."""
    return {
        "threads a rank": lambda run: f"{run.threads_per_rank}",
        "peaks/s": lambda run: f"{run.peaks_per_s:,.{0 if run.peaks_per_s >= 10 else 2}f}",
        "tokens/s": lambda run: f"{run.tokens_per_s:,.0f}",
        "GFLOP/s": lambda run: f"{run.flops_per_s / 1e9:,.0f}",
        "GFLOP/s of plain products": lambda run: f"{run.gemm_flops_per_s / 1e9:,.0f}",
        "share of measured products": lambda run: f"{100 * run.share_of_measured_gemm:.0f} %",
        "share of datasheet peak": lambda run: _percent(run.share_of_datasheet_peak),
        "memory, all ranks": lambda run: f"{run.memory_bytes / 1e9:.2f} GB",
        "speed over the first": lambda run: f"{_scaling(run, first):.2f}",
        f"hours for {million_peaks:g} M peaks": lambda run: (
            f"{run.hours(million_peaks * 1e6):,.2f}"
        ),
    }


def _percent(share: float | None) -> str:
    return "not stated" if share is None else f"{100 * share:.0f} %"


def _scaling(run: Throughput, first: Throughput) -> float:
    """Speed of a run over that of the first."""
    return run.peaks_per_s / first.peaks_per_s
