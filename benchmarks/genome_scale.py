"""An atlas of a whole genome: time, memory and bytes, stopped in the middle and gone on with.

    python benchmarks/genome_scale.py --json
    python benchmarks/genome_scale.py --peaks 50000 --json
    python benchmarks/genome_scale.py --quick --json

Peaks are real (1.36 million candidate regulatory elements of hg38), or with ``--peaks`` an even
choice of them. The genome has the names and sizes of hg38's 24 chromosomes; its DNA is real too
(the known bases of the files in ``--data``, random without them) but repeated until it fills them.
One thread builds the atlas with the shipped model, each build as ``peakatlas atlas build`` in a
process of its own. The first is killed when a third of the shards are written; the second goes on.

``cpu_seconds``              of both processes, reading the genome and its digests included
``peaks_per_cpu_second``     all peaks over them
``peak_rss_mb``              most memory of a process that is its own, without files that are mapped
``atlas_mb``                 bytes on disk
``identical``                whether the rows of ``contig`` are those of an unbroken build of it
``verify_deep_seconds``      ``peakatlas atlas verify --deep``, reading every byte
``sample``                   whether only some of the peaks were taken
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from provenance import provenance

from peakatlas.atlas import Atlas
from peakatlas.atlas.build.writer import default_shard_rows
from peakatlas.engine.dna.genome import open_genome
from peakatlas.engine.intervals.table import Intervals

PEAKS_FILE = "intervals/hg38_cCRE_1.36M.bed.gz"
DNA_FILES = ("genome/GRCh37_chr20.fa.gz", "genome/GRCh37_chrX_1-69999930.fa.gz")
CONTIG = "chr21"
"""Built alone for the comparison."""
KILLED_AT = 1 / 3
_TILE_BP, _N = 1 << 20, ord("N")
# GRCh38, https://www.ncbi.nlm.nih.gov/grc/human/data
SIZES = {
    "chr1": 248956422, "chr2": 242193529, "chr3": 198295559, "chr4": 190214555,
    "chr5": 181538259, "chr6": 170805979, "chr7": 159345973, "chr8": 145138636,
    "chr9": 138394717, "chr10": 133797422, "chr11": 135086622, "chr12": 133275309,
    "chr13": 114364328, "chr14": 107043718, "chr15": 101991189, "chr16": 90338345,
    "chr17": 83257441, "chr18": 80373285, "chr19": 58617616, "chr20": 64444167,
    "chr21": 46709983, "chr22": 50818468, "chrX": 156040895, "chrY": 57227415,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A process that has ended, by itself or killed."""

    code: int
    cpu_s: float
    wall_s: float
    rss_mb: float


def real_dna(data: Path) -> NDArray[np.uint8]:
    """Letters of the known DNA in a data folder; a random megabase without it."""
    parts = []
    for path in (data / name for name in DNA_FILES):
        if path.exists():
            source = open_genome(path)
            sizes = source.contig_sizes
            whole = Intervals.from_columns(list(sizes), [0] * len(sizes), list(sizes.values()))
            letters = source.fetch(whole).data
            parts.append(letters[letters != _N])
    if parts:
        return np.concatenate(parts)
    return np.random.default_rng(0).choice(np.frombuffer(b"ACGT", np.uint8), _TILE_BP)


def write_genome(path: Path, dna: NDArray[np.uint8], sizes: dict[str, int]) -> None:
    """Write contigs of given sizes, each the same DNA again and again from another place."""
    with path.open("wb") as out:
        for number, (contig, size) in enumerate(sizes.items()):
            turned = np.roll(dna, -number * (len(dna) // len(sizes)))
            out.write(f">{contig}\n".encode())
            for first in range(0, size, len(dna)):
                out.write(turned[: size - first].tobytes())
            out.write(b"\n")


def choose_peaks(data: Path, n: int | None, sizes: dict[str, int]) -> list[str]:
    """Lines of real peaks, evenly chosen, or of made-up ones without the file."""
    path = data / PEAKS_FILE
    if path.exists() and sizes is SIZES:
        lines = gzip.decompress(path.read_bytes()).decode().splitlines()
        rows = np.linspace(0, len(lines) - 1, min(n or len(lines), len(lines)))
        return [lines[row] for row in np.unique(rows.astype(np.int64))]
    made = []
    for contig, size in sizes.items():
        starts = np.linspace(600, size - 1200, (n or 1000) // len(sizes)).astype(np.int64)
        made += [f"{contig}\t{start}\t{start + 400}" for start in np.unique(starts)]
    return made


def run(words: list[str], stop: Callable[[], bool] = lambda: False) -> Ended:
    """Run a command of peakatlas in one thread, killed as soon as `stop` says so."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PEAKATLAS_THREADS": "1"}
    began, rss = time.monotonic(), 0.0
    child = subprocess.Popen(
        [sys.executable, "-m", "peakatlas", *words], env=environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    while True:
        pid, status, usage = os.wait4(child.pid, os.WNOHANG)
        if pid:
            break
        rss = max(rss, _own_mb(child.pid))
        if stop():
            child.send_signal(signal.SIGKILL)
        time.sleep(0.1)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode > 0 and child.stderr is not None:
        raise SystemExit(child.stderr.read().decode())
    return Ended(
        code=child.returncode, cpu_s=usage.ru_utime + usage.ru_stime,
        wall_s=time.monotonic() - began, rss_mb=rss,
    )  # fmt: skip


def _own_mb(pid: int) -> float:
    """Memory of a process that is no file, in MB; 0 where the system does not say."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    found = [line.split()[1] for line in text.splitlines() if line.startswith("RssAnon")]
    return int(found[0]) / 1024 if found else 0.0


def n_written(atlas: Path) -> int:
    """Shards whose log entries are there."""
    return len(list(atlas.glob("segment-0000/log/shard-*.json")))


def same_rows(whole: Path, alone: Path, contig: str) -> bool:
    """Whether the rows of a contig are, to the bit, those of an atlas of it alone."""
    with Atlas.open(whole) as one, Atlas.open(alone) as other:
        rows = np.flatnonzero(one.intervals.contig_ids == one.intervals.contigs.index(contig))
        return len(rows) == len(other) > 0 and bool(
            np.array_equal(
                one.gather(rows).view(np.uint8),
                other.gather(np.arange(len(other))).view(np.uint8),
            )
        )


def benchmark(data: Path, n_peaks: int | None, work: Path, quick: bool) -> dict[str, object]:
    """Write the genome, build, kill, go on, compare and verify."""
    sizes = {name: size // 500 for name, size in SIZES.items()} if quick else SIZES
    genome, bed, out = work / "genome.fa", work / "peaks.bed", work / "atlas.zarr"
    peaks = choose_peaks(data, n_peaks, sizes)
    bed.write_text("\n".join(peaks) + "\n")
    write_genome(genome, real_dna(data), sizes)
    build = ["atlas", "build", str(genome)]
    n_shards = -(-len(peaks) // default_shard_rows(len(peaks)))
    killed = run([*build, str(bed), str(out)], lambda: n_written(out) >= KILLED_AT * n_shards)
    resumed = run([*build, str(bed), str(out)])
    some = work / "some.bed"
    some.write_text("\n".join(p for p in peaks if p.split("\t")[0] == CONTIG) + "\n")
    run([*build, str(some), str(work / "some.zarr")])
    checked = run(["atlas", "verify", str(out), "--deep"])
    cpu = killed.cpu_s + resumed.cpu_s
    return {
        "benchmark": "genome_scale",
        "peaks": len(peaks),
        "sample": n_peaks is not None,
        "genome_bp": sum(sizes.values()),
        "cpu_seconds": round(cpu, 1),
        "cpu_seconds_before_kill": round(killed.cpu_s, 1),
        "was_killed": killed.code == -signal.SIGKILL,
        "wall_seconds": round(killed.wall_s + resumed.wall_s, 1),
        "peaks_per_cpu_second": round(len(peaks) / cpu, 1),
        "peak_rss_mb": round(max(killed.rss_mb, resumed.rss_mb), 1),
        "atlas_mb": round(sum(p.stat().st_size for p in out.rglob("*") if p.is_file()) / 1e6, 1),
        "identical": same_rows(out, work / "some.zarr", CONTIG),
        "contig": CONTIG,
        "verify_deep_seconds": round(checked.wall_s, 1),
        "provenance": provenance(),
    }


def main() -> None:
    """Parse the options, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="data folder")
    parser.add_argument("--peaks", type=int, help="peaks, evenly chosen; all if not given")
    parser.add_argument("--workdir", type=Path, help="where 3 GB find room; a temporary folder")
    parser.add_argument("--quick", action="store_true", help="a five-hundredth of the genome")
    parser.add_argument("--json", action="store_true", help="print one JSON object only")
    args = parser.parse_args()
    n = args.peaks or (480 if args.quick else None)
    with tempfile.TemporaryDirectory(dir=args.workdir) as scratch:
        result = benchmark(args.data, n, Path(scratch), args.quick)
    print(json.dumps(result, indent=None if args.json else 2))


if __name__ == "__main__":
    main()
