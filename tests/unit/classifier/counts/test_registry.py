"""Peaks are carried to the registry interval with the nearest centre."""

from __future__ import annotations

import numpy as np

from peakatlas.classifier.counts.registry import Sources, registry_rows, resolve, shared_registry
from peakatlas.engine.intervals.table import Intervals


def naive_row(chrom, start, end, registry) -> int:
    best, best_key = -1, None
    for row in range(len(registry)):
        if registry.chrom[row] != chrom:
            continue
        shared = min(end, registry.end[row]) - max(start, registry.start[row])
        if shared <= 0 or shared < 0.25 * min(end - start, registry.widths[row]):
            continue
        key = (abs((start + end) // 2 - registry.centres[row]), row)
        if best_key is None or key < best_key:
            best, best_key = row, key
    return best


def test_rows_equal_a_double_loop():
    rng = np.random.default_rng(0)

    def draw(n):
        start = rng.integers(0, 4000, n)
        chrom = rng.choice(["chr1", "chr2"], n)
        return Intervals.from_columns(chrom, start, start + rng.integers(1, 400, n))

    registry, peaks = draw(60), draw(80)
    got = registry_rows(peaks, registry)
    naive = [
        naive_row(c, s, e, registry)
        for c, s, e in zip(peaks.chrom, peaks.start, peaks.end, strict=True)
    ]
    assert got.tolist() == naive
    assert -1 in got and got.max() > 0


def test_registry_without_atlas_is_the_peaks():
    peaks = Intervals.from_columns(["chr1", "chr1"], [0, 500], [200, 700])
    found = resolve(peaks, None, Sources())
    assert found.values.shape == (2, 0) and found.tiers() == {"missing": 2}
    assert shared_registry([peaks]) == peaks


def test_later_references_add_what_is_carried_to_none():
    first = Intervals.from_columns(["chr1"] * 2, [0, 1000], [200, 1200])
    second = Intervals.from_columns(["chr1"] * 3, [1030, 190, 5000], [1230, 390, 5200])
    peaks = shared_registry([first, second])
    assert peaks.start.tolist() == [0, 1000, 190, 5000]
    assert registry_rows(second, peaks).tolist() == [1, 2, 3]


def test_missing_peaks_have_nan_rows_unless_an_offset_is_allowed(atlas, world):
    start = np.array([world.start[5], world.start[6] + 20])
    peaks = Intervals.from_columns(["chr1"] * 2, start, start + 200)
    strict = resolve(peaks, atlas, Sources())
    assert np.isnan(strict.values[1]).all() and strict.tiers()["missing"] == 1
    loose = resolve(peaks, atlas, Sources(max_offset=20))
    np.testing.assert_allclose(loose.values, world.values[5:7], atol=0.01)
