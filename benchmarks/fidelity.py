"""What it costs to let a neighbouring row stand in for a peak: the table behind `--max-offset`.

    python benchmarks/fidelity.py --json

The shipped model embeds real peaks of chromosome 20 (GRCh37; places drawn with `SEED` among windows
without N) and, beside each, what an atlas might hold instead of it. A stand-in is judged by

``centred_cosine``: mean cosine to the peak's own embedding, both centred on the mean embedding of
all peaks; ``p10_centred_cosine`` is its tenth percentile. Uncentred cosines are near 1 for any two
windows and say nothing (``random_cosine``).
``own_peak_top1``: how often the peak's own embedding is the nearest to the stand-in, by centred
cosine, among those of all peaks.

Stand-ins: ``shift_<bp>``, the window moved by so many bp, up and down in turn. Tokens are six
bases: a shift that is a multiple of 6 keeps their frame, so both kinds are listed. ``best_tile``,
of windows of 510 bp every 128 bp from the start of the contig, the one with the nearest centre (it
is up to 64 bp off, 32 on average); ``mean_of_tiles``, the mean of the tiles that the peak overlaps,
weighted by shared bp, as `Atlas.overlap_mean` has it.
``recommended_max_offset``: the largest of `SHIFTS` up to which the centred cosine is `ENOUGH`.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from provenance import provenance

from peakatlas.engine.dna.genome import SequenceSource, open_genome
from peakatlas.engine.embedder import Embedder
from peakatlas.engine.intervals.table import Intervals

GENOME = Path("genome/GRCh37_chr20.fa.gz")
SHIFTS = (0, 10, 25, 50, 100, 125, 250)
SHIFTS_IN_FRAME = (6, 12, 24, 48, 102, 126, 252)
WIDTH, TILE_STEP = 510, 128
SEED = 0
ENOUGH = 0.9

Vectors = NDArray[np.float32]


def draw_peaks(source: SequenceSource, n: int) -> Intervals:
    """Windows of `WIDTH` bp on the first contig, at least so far apart, without N around them."""
    contig, size = next(iter(source.contig_sizes.items()))
    rng = np.random.default_rng(SEED)
    margin = max(*SHIFTS, *SHIFTS_IN_FRAME) + WIDTH
    grid = np.arange(margin, size - margin - WIDTH, 3 * WIDTH)
    start = np.sort(rng.choice(grid, min(4 * n, len(grid)), replace=False))
    start += rng.integers(0, WIDTH, len(start))
    wide = Intervals((contig,), np.zeros(len(start), np.int32), start - margin, start + margin)
    start = start[source.fetch(wide).n_fraction() == 0][:n]
    return Intervals((contig,), np.zeros(len(start), np.int32), start, start + WIDTH)


def moved(peaks: Intervals, by: NDArray[np.int64] | int) -> Intervals:
    """The same peaks, moved by so many bp."""
    return Intervals(peaks.contigs, peaks.contig_ids, peaks.start + by, peaks.end + by)


def tiles_of(peaks: Intervals) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Peak and start of every tile that overlaps it by at least 1 bp."""
    first = -((WIDTH - 1 - peaks.start) // TILE_STEP)
    last = (peaks.end - 1) // TILE_STEP
    counts = last - first + 1
    owner = np.repeat(np.arange(len(peaks)), counts)
    nth = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    return owner, (first[owner] + nth) * TILE_STEP


def tile_vectors(
    embedder: Embedder, peaks: Intervals, source: SequenceSource
) -> tuple[Vectors, Vectors]:
    """Embedding of the nearest tile, and mean of the overlapping tiles, of each peak."""
    owner, start = tiles_of(peaks)
    unique, at = np.unique(start, return_inverse=True)
    tiles = Intervals(peaks.contigs, np.zeros(len(unique), np.int32), unique, unique + WIDTH)
    values = embedder.embed(tiles, source).values[at]
    offset = np.abs(start - peaks.start[owner])
    nearest = np.lexsort((start, offset, owner))
    best = values[nearest[np.diff(owner[nearest], prepend=-1) > 0]]
    weight = (WIDTH - offset).astype(np.float32)
    sums = np.zeros_like(best)
    np.add.at(sums, owner, values * weight[:, None])
    return best, sums / np.bincount(owner, weight)[:, None].astype(np.float32)


def judged(own: Vectors, stand_in: Vectors) -> dict[str, float]:
    """Fidelity of one kind of stand-in, see the top of this file."""
    centre = own.mean(axis=0)
    a, b = unit(own - centre), unit(stand_in - centre)
    cosine = np.sum(a * b, axis=1)
    nearest = np.argmax(b @ a.T, axis=1)
    return {
        "centred_cosine": round(float(cosine.mean()), 4),
        "p10_centred_cosine": round(float(np.quantile(cosine, 0.1)), 4),
        "own_peak_top1": round(float(np.mean(nearest == np.arange(len(own)))), 4),
    }


def unit(vectors: Vectors) -> Vectors:
    """Rows scaled to length 1."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def recommended(table: dict[str, dict[str, float]]) -> int:
    """Largest shift at which, as at all smaller ones, the centred cosine is `ENOUGH`."""
    near = [table[f"shift_{shift}"]["centred_cosine"] >= ENOUGH for shift in SHIFTS]
    return SHIFTS[near.index(False) - 1] if False in near else SHIFTS[-1]


def benchmark(data: Path, n: int) -> dict[str, object]:
    """Run all and return the JSON object to print."""
    began = time.monotonic()
    source = open_genome(data / GENOME)
    embedder = Embedder.load("peaklm-v3", device="cpu")
    peaks = draw_peaks(source, n)
    own = embedder.embed(peaks, source).values
    direction = np.where(np.arange(len(peaks)) % 2, 1, -1)
    table = {
        f"shift_{shift}": judged(
            own, embedder.embed(moved(peaks, direction * shift), source).values if shift else own
        )
        for shift in (*SHIFTS, *SHIFTS_IN_FRAME)
    }
    best, mean = tile_vectors(embedder, peaks, source)
    table |= {"best_tile": judged(own, best), "mean_of_tiles": judged(own, mean)}
    shuffled = np.random.default_rng(SEED).permutation(len(own))
    random_cosine = float(np.mean(np.sum(unit(own) * unit(own[shuffled]), axis=1)))
    return {
        "benchmark": "fidelity",
        "model": embedder.spec.model,
        "window": embedder.spec.window,
        "peaks": len(peaks),
        "table": table,
        "random_centred": judged(own, own[shuffled]),
        "random_cosine": round(random_cosine, 4),
        "recommended_max_offset": recommended(table),
        "seconds": round(time.monotonic() - began, 1),
        "provenance": provenance(),
    }


def main() -> None:
    """Parse the options, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="data folder")
    parser.add_argument("--peaks", type=int, default=3000, help="peaks to draw")
    parser.add_argument("--json", action="store_true", help="print one JSON object only")
    args = parser.parse_args()
    result = benchmark(args.data, args.peaks)
    print(json.dumps(result) if args.json else json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
