"""How fast a model embeds peaks on this machine, and how near that is to what the machine can do.

Random DNA goes the whole way from windows to vectors. The yardstick is the speed of plain matrix
products of the same precision, device and threads, measured in the same process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from peakatlas.engine.dna.sequences import Sequences
from peakatlas.engine.forward.blocks import Affine
from peakatlas.engine.forward.encoder import forward_of
from peakatlas.engine.forward.linear import operand_dtype
from peakatlas.engine.intervals.table import Intervals
from peakatlas.engine.run.cores import usable_cores
from peakatlas.engine.run.datasheet import datasheet_flops
from peakatlas.engine.run.hardware import peak_memory

from .embedder import Embedder
from .errors import PeakAtlasError, WorldSizeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from peakatlas.engine.spec import Precision

_GENOME_BP = 1 << 20
_CONTIG = "random"
_LEAST_PEAKS, _MOST_PEAKS, _TRIAL_SHARE = 8, 1 << 23, 0.2
_GEMM_S = 0.2
_GEMM_SIZES = {"cpu": (768, 1024, 2048), "cuda": (4096, 8192)}
_GEMM_ROWS = {"cpu": 1536, "cuda": 8192}
_SECONDS_AN_HOUR = 3600


@dataclass(frozen=True, kw_only=True)
class Throughput:
    """Speed of a model with one or more ranks."""

    model: str
    device: str
    precision: str
    window: str
    ranks: int
    """Processes that ran side by side."""
    threads_per_rank: int
    n_peaks: int
    """Peaks that were embedded while the clock ran."""
    seconds: float
    """Time that the slowest rank took for its share, in s."""
    peaks_per_s: float
    tokens_per_s: float
    flops_per_s: float
    """Floating-point operations of the model's matrix products, a second."""
    gemm_flops_per_s: float
    """The same of plain matrix products on this machine, as many processes side by side."""
    datasheet_flops_per_s: float | None
    """The same as the maker of the GPUs states it; None on a CPU and for cards not listed."""
    memory_bytes: int
    """Greatest resident memory (CPU) or allocated device memory (CUDA) of all ranks together."""

    @property
    def share_of_measured_gemm(self) -> float:
        """Share of the speed of plain matrix products, as measured here, 0 to 1."""
        return self.flops_per_s / self.gemm_flops_per_s

    @property
    def share_of_datasheet_peak(self) -> float | None:
        """Share of the speed that the maker states, 0 to 1: what others call MFU."""
        peak = self.datasheet_flops_per_s
        return None if peak is None else self.flops_per_s / peak

    def hours(self, n_peaks: float) -> float:
        """Hours that so many peaks would take."""
        return n_peaks / self.peaks_per_s / _SECONDS_AN_HOUR

    def to_json(self) -> dict[str, Any]:
        """All fields and the shares of the machine's speed, as JSON types."""
        return asdict(self) | {
            "share_of_measured_gemm": self.share_of_measured_gemm,
            "share_of_datasheet_peak": self.share_of_datasheet_peak,
        }


class RandomGenome:
    """A contig of random DNA that is held in memory.

    Parameters
    ----------
    seed : int
    """

    def __init__(self, seed: int = 0) -> None:
        self.path = _CONTIG
        self.contig_sizes: Mapping[str, int] = {_CONTIG: _GENOME_BP}
        letters = np.frombuffer(b"ACGT", np.uint8)
        self._dna = letters[np.random.default_rng(seed).integers(0, 4, _GENOME_BP)]

    def check(self, intervals: Intervals) -> None:
        """Accept all intervals that `draw` makes."""

    def fetch(self, intervals: Intervals, peaks: Intervals | None = None) -> Sequences:
        """DNA of each interval."""
        past = np.cumsum(intervals.widths)
        shift = np.repeat(intervals.start - (past - intervals.widths), intervals.widths)
        return Sequences.from_lengths(self._dna[np.arange(past[-1]) + shift], intervals.widths)

    def digests(self, contigs: Iterable[str] | None = None) -> dict[str, str]:
        """Nothing: random DNA has no name."""
        return {}

    @staticmethod
    def draw(n: int, width: int, seed: int = 0) -> Intervals:
        """Draw n peaks of one width, in bp, at random places."""
        start = np.random.default_rng(seed).integers(0, _GENOME_BP - width, n)
        return Intervals.from_columns([_CONTIG] * n, start, start + width)


def measure(embedder: Embedder, *, seconds: float = 10.0, width: int = 500) -> Throughput:
    """Measure one process.

    Parameters
    ----------
    embedder : Embedder
    seconds : float
        How long the measurement shall take, about, in s.
    width : int
        Width of the peaks, in bp; matters where the window is the whole peak.

    Returns
    -------
    Throughput
        Of one rank.
    """
    source = RandomGenome()
    embedder.embed(source.draw(_LEAST_PEAKS, width), source)
    n = _peaks_for(embedder, source, seconds, width)
    tokens, flops = embedder.tokens_done, embedder.flops_done
    began = time.perf_counter()
    embedder.embed(source.draw(n, width, seed=2), source)
    took = time.perf_counter() - began
    device = embedder.device
    return Throughput(
        model=embedder.card.name,
        device=str(device),
        precision=embedder.spec.precision,
        window=embedder.spec.window,
        ranks=1,
        threads_per_rank=torch.get_num_threads(),
        n_peaks=n,
        seconds=took,
        peaks_per_s=n / took,
        tokens_per_s=(embedder.tokens_done - tokens) / took,
        flops_per_s=(embedder.flops_done - flops) / took,
        gemm_flops_per_s=gemm_peak(device, embedder.spec.precision),
        datasheet_flops_per_s=datasheet_flops(device, embedder.spec.precision),
        memory_bytes=_peak_memory(device),
    )


def _peaks_for(embedder: Embedder, source: RandomGenome, seconds: float, width: int) -> int:
    """Peaks that take so many seconds: more and more are tried, up to a fifth of that time."""
    n = _LEAST_PEAKS
    while True:
        began = time.perf_counter()
        embedder.embed(source.draw(n, width, seed=1), source)
        took = time.perf_counter() - began
        if took >= _TRIAL_SHARE * seconds or n >= _MOST_PEAKS:
            return int(np.clip(n / took * seconds, _LEAST_PEAKS, _MOST_PEAKS))
        n *= 4


def gemm_peak(device: torch.device, precision: Precision) -> float:
    """Floating-point operations a second of plain matrix products: the best of a few sizes."""
    return max(_gemm_speed(device, precision, size) for size in _GEMM_SIZES[device.type])


def measure_ranks(
    options: Mapping[str, Any], ranks: int, *, seconds: float = 10.0, width: int = 500
) -> Throughput:
    """Measure several processes side by side, each with its share of the cores or its own GPU.

    Parameters
    ----------
    options : mapping
        Arguments of `Embedder.load`.
    ranks : int
        Number of processes.
    seconds, width
        As in `measure`.

    Returns
    -------
    Throughput
        Of all ranks together.

    Raises
    ------
    PeakAtlasError
        If the model cannot be loaded.
    WorldSizeError
        If `ranks` is below 1, or a process ended without a result.
    """
    if ranks < 1:
        raise WorldSizeError(f"{ranks} ranks: at least 1 is needed. Example: --ranks 1,2,4.")
    if ranks == 1:
        return measure(Embedder.load(**options), seconds=seconds, width=width)
    job = {"options": dict(options), "seconds": seconds, "width": width}
    workers = [_start(job, rank, ranks) for rank in range(ranks)]
    try:
        for worker in workers:
            _expect(worker)
        for worker in workers:
            _start_clock(worker)
        return _together([Throughput(**_expect(worker)) for worker in workers])
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()


def _start(job: Mapping[str, Any], rank: int, ranks: int) -> subprocess.Popen[str]:
    options = dict(job["options"])
    if options.get("device") is None and torch.cuda.is_available():
        options["device"] = f"cuda:{rank % torch.cuda.device_count()}"
    threads = {"OMP_NUM_THREADS": str(max(1, usable_cores() // ranks))}
    return subprocess.Popen(
        [sys.executable, "-m", __name__, json.dumps(dict(job) | {"options": options})],
        env=os.environ | threads,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _expect(worker: subprocess.Popen[str]) -> dict[str, Any]:
    """Next line of a worker."""
    line = worker.stdout.readline() if worker.stdout else ""
    if not line:
        raise WorldSizeError(f"a rank ended without a result (exit code {worker.wait()}).")
    said: dict[str, Any] = json.loads(line)
    if "error" in said:
        raise PeakAtlasError(said["error"])
    return said


def _start_clock(worker: subprocess.Popen[str]) -> None:
    if worker.stdin:
        worker.stdin.write("go\n")
        worker.stdin.flush()


def _together(parts: Sequence[Throughput]) -> Throughput:
    def total(of: Callable[[Throughput], float]) -> float:
        return sum(of(part) for part in parts)

    first = parts[0]
    return Throughput(
        model=first.model,
        device=first.device,
        precision=first.precision,
        window=first.window,
        ranks=len(parts),
        threads_per_rank=first.threads_per_rank,
        n_peaks=sum(part.n_peaks for part in parts),
        seconds=max(part.seconds for part in parts),
        peaks_per_s=total(lambda part: part.peaks_per_s),
        tokens_per_s=total(lambda part: part.tokens_per_s),
        flops_per_s=total(lambda part: part.flops_per_s),
        gemm_flops_per_s=total(lambda part: part.gemm_flops_per_s),
        datasheet_flops_per_s=None
        if first.datasheet_flops_per_s is None
        else total(lambda part: part.datasheet_flops_per_s or 0.0),
        memory_bytes=sum(part.memory_bytes for part in parts),
    )


def _gemm_speed(device: torch.device, precision: Precision, size: int) -> float:
    dtype, rows = operand_dtype(precision, device), _GEMM_ROWS[device.type]
    with torch.inference_mode():
        weight = torch.randn(size, size, device=device).to(dtype)
        layer = forward_of(device).linear(Affine(weight=weight))
        x = torch.randn(rows, size, device=device).to(dtype)
        _settled(layer(x))
        best, end = 0.0, time.perf_counter() + _GEMM_S
        while time.perf_counter() < end:
            began = time.perf_counter()
            _settled(layer(x))
            best = max(best, 2 * rows * size * size / (time.perf_counter() - began))
    return best


def _settled(x: torch.Tensor) -> None:
    """Wait until a result is there."""
    if x.is_cuda:
        torch.cuda.synchronize(x.device)


def _peak_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return peak_memory()


def _work(job: Mapping[str, Any]) -> None:
    """Load, say so, wait for the others, measure and print; what `measure_ranks` starts."""
    try:
        embedder = Embedder.load(**job["options"])
    except PeakAtlasError as fault:
        print(json.dumps({"error": str(fault)}), flush=True)
        return
    print(json.dumps({"ready": True}), flush=True)
    sys.stdin.readline()
    done = measure(embedder, seconds=job["seconds"], width=job["width"])
    print(json.dumps(asdict(done)), flush=True)


if __name__ == "__main__":
    _work(json.loads(sys.argv[1]))
