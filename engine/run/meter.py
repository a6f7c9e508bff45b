"""How a long job goes: rates, time left, and the share of the machine's speed."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


class Worker(Protocol):
    """What counts its work: `embedder.Embedder`."""

    peaks_done: int
    tokens_done: int
    flops_done: float


class Meter:
    """Rates of a job of many peaks.

    Peaks that were done before, or by another rank, bring the end nearer but say nothing of the
    speed; that is taken from the worker's own counts.

    Parameters
    ----------
    total : int
        Peaks in the job.
    worker : Worker
    ranks : int
        Processes that share the job, taken to be equally fast.
    peak_flops : float, optional
        Speed of the machine in operations a second, to say what share of it is reached.
    clock : callable
        Time in s.
    """

    def __init__(
        self,
        total: int,
        worker: Worker,
        *,
        ranks: int = 1,
        peak_flops: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.total, self.done = total, 0
        self._worker, self._ranks, self._peak, self._clock = worker, ranks, peak_flops, clock
        self._began = clock()
        self._before = (worker.peaks_done, worker.tokens_done, worker.flops_done)

    def advance(self, n_peaks: int) -> None:
        """Note that peaks are done, by whomever."""
        self.done += n_peaks

    def rates(self) -> tuple[float, float, float]:
        """Peaks, tokens and floating-point operations a second of this process."""
        seconds = max(self._clock() - self._began, 1e-9)
        now = (self._worker.peaks_done, self._worker.tokens_done, self._worker.flops_done)
        peaks, tokens, flops = ((a - b) / seconds for a, b in zip(now, self._before, strict=True))
        return peaks, tokens, flops

    def text(self) -> str:
        """Rates and the time left, as far as they are known.

        Examples
        --------
        >>> class Done:
        ...     peaks_done, tokens_done, flops_done = 0, 0, 0.0
        >>> now, worker = [0.0], Done()
        >>> meter = Meter(5000, worker, peak_flops=1e9, clock=lambda: now[0])
        >>> now[0], worker.peaks_done, worker.tokens_done, worker.flops_done = 2.0, 1000, 86000, 1e9
        >>> meter.advance(1000)
        >>> meter.text()
        '500 peaks/s, 43,000 tokens/s, 50 % of machine peak, 0:00:08 left'
        """
        peaks, tokens, flops = self.rates()
        if not peaks:
            return ""
        parts = [f"{_brief(peaks)} peaks/s", f"{_brief(tokens)} tokens/s"]
        if self._peak:
            parts.append(f"{100 * flops / self._peak:.0f} % of machine peak")
        left = (self.total - self.done) / (peaks * self._ranks)
        parts.append(f"{timedelta(seconds=round(max(left, 0)))} left")
        return ", ".join(parts)


def _brief(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"
