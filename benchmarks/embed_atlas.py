"""Memory and efficiency of an atlas build; prints one number. Started by ``embed.py``.

``rss_growth_mb``: a very small model builds an atlas of few peaks in one process, and one of many
in another; the peak memory of the second less that of the first, in MB.
``pipeline_efficiency``: CPU time of the bare forward of all windows over that of building an
atlas of them, which also reads DNA, tokenizes, hashes and writes.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from embed_workload import GENOME, SHAPES, Shape, cpu_seconds, make_model, sample_peaks, tokenizer

from peakatlas.atlas.build.local import build_atlas
from peakatlas.engine.dna.genome import open_genome
from peakatlas.engine.embedder import Embedder
from peakatlas.engine.run.hardware import peak_memory
from peakatlas.engine.tokens.kmer import kmer_vocabulary

SMALLEST = Shape(dim=32, layers=1, heads=1, ffn=32, windows=0)


def load(shape: Shape, folder: Path, window: str) -> Embedder:
    """Write a random model as a Hugging Face directory and load it."""
    make_model(shape).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(kmer_vocabulary(6)) + "\n")
    return Embedder.load(str(folder), window=window, device="cpu")


def rss_growth_mb(data: Path, quick: bool, scratch: Path) -> float:
    """Growth of peak memory from few peaks to many, in MB."""
    few, many = (500, 3000) if quick else (10_000, 500_000)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, max_tasks_per_child=1) as processes:
        peak_mb = [processes.submit(peak_rss_mb, data, n, scratch).result() for n in (few, many)]
    return peak_mb[1] - peak_mb[0]


def peak_rss_mb(data: Path, n_peaks: int, scratch: Path) -> float:
    """Peak memory of this process after it has built an atlas, in MB."""
    torch.set_num_threads(1)
    embedder = load(SMALLEST, scratch / f"model-{n_peaks}", "centre:126")
    genome = open_genome(data / GENOME)
    contig, size = next(iter(genome.contig_sizes.items()))
    peaks = sample_peaks(n_peaks, size, contig)
    build_atlas(genome, peaks, scratch / f"{n_peaks}.zarr", embedder).close()
    return peak_memory() / 2**20


def pipeline_efficiency(data: Path, quick: bool, scratch: Path) -> float:
    """CPU time of the bare forward over that of an atlas build."""
    from embed import embed_packed  # noqa: PLC0415 (it starts this script)

    shape = SHAPES["tiny" if quick else "50m"]
    embedder = load(shape, scratch / "model", "peak:1014:60")
    genome = open_genome(data / GENOME)
    contig, size = next(iter(genome.contig_sizes.items()))
    peaks = sample_peaks(48 if quick else 448, size, contig)
    # An N is a token of the bare forward; the atlas build skips windows of N alone.
    peaks = peaks.take(np.flatnonzero(genome.fetch(peaks).n_fraction() == 0))
    tokens = tokenizer().encode(genome.fetch(peaks))
    encoder = embedder._model.encoder
    embed_packed(encoder, tokens)
    ratios = []
    for number in range(1 if quick else 2):
        out = scratch / f"{number}.zarr"
        bare = cpu_seconds(lambda: embed_packed(encoder, tokens))
        built = cpu_seconds(
            lambda out=out: build_atlas(genome, peaks, out, embedder, shard_rows=1024)
        )
        ratios.append(bare / built)
    return statistics.median(ratios)


def main() -> None:
    """Parse the options, run one task, print its figure."""
    tasks = {"rss_growth_mb": rss_growth_mb, "pipeline_efficiency": pipeline_efficiency}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=list(tasks))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        print(tasks[args.task](args.data, args.quick, Path(scratch)))


if __name__ == "__main__":
    main()
