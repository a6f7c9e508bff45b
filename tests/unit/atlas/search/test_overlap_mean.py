import numpy as np
import pytest

from peakatlas.atlas import Atlas
from peakatlas.atlas.format.schema import MASKED
from peakatlas.atlas.search.overlap_mean import overlap_mean
from peakatlas.engine.intervals.table import Intervals
from tests.atlas_tools import begin_toy_atlas, random_intervals, toy_rows

MASKED_ROWS = [3, 50, 51]


@pytest.fixture(scope="module")
def atlas(tmp_path_factory):
    rows = random_intervals(300, extent=9000)
    path = tmp_path_factory.mktemp("reduce") / "a.zarr"
    values, digests, n_fraction, state = toy_rows(len(rows))
    values[MASKED_ROWS], state[MASKED_ROWS] = np.nan, MASKED
    writer = begin_toy_atlas(path, rows, shard_rows=64)
    for shard in range(writer.n_shards):
        part = writer.shard_rows_of(shard)
        writer.write_shard(shard, values[part], digests[part], n_fraction[part], state[part])
    writer.finalise()
    return Atlas.open(path)


def naive(atlas, peaks):
    """Means, row counts and shared bp, one peak and one row at a time."""
    rows, everything = atlas.intervals, atlas.gather(np.arange(len(atlas))).astype(float)
    means, counts, shared = [], [], []
    for chrom, start, end in zip(peaks.chrom, peaks.start, peaks.end, strict=True):
        bp = np.minimum(end, rows.end) - np.maximum(start, rows.start)
        at = np.flatnonzero((rows.chrom == chrom) & (bp > 0) & (atlas.state != MASKED))
        counts.append(len(at))
        shared.append(bp[at].sum())
        total = sum((bp[row] * everything[row] for row in at), np.zeros(atlas.dim))
        means.append(total / shared[-1] if len(at) else np.full(atlas.dim, np.nan))
    return np.array(means), counts, shared


def peaks_for(atlas):
    drawn = random_intervals(400, seed=1, extent=12_000)
    wide = Intervals.from_columns(["chr1", "chrY", "chr2"], [0, 5, 50_000], [9000, 50, 50_100])
    masked_only = atlas.intervals.take([3])
    mixed = Intervals.concatenate([drawn, wide, masked_only, drawn.take([7, 7])])
    return mixed.take(np.random.default_rng(2).permutation(len(mixed)))


def test_equals_the_loop_over_peaks_and_rows(atlas):
    peaks = peaks_for(atlas)
    found = overlap_mean(atlas, peaks)
    means, counts, shared = naive(atlas, peaks)
    np.testing.assert_allclose(found.values, means, rtol=1e-5, atol=1e-6)
    assert found.values.dtype == np.float32
    assert found.n_rows.tolist() == counts
    assert found.overlap_bp.tolist() == shared
    assert 0 < np.isnan(means[:, 0]).sum() < len(peaks) / 2


@pytest.mark.parametrize("pairs", [1, 37])
def test_neither_blocks_nor_company_nor_index_change_a_bit(atlas, monkeypatch, pairs):
    peaks = peaks_for(atlas)
    whole = overlap_mean(atlas, peaks).values
    monkeypatch.setattr("peakatlas.atlas.search.overlap_mean.PAIRS_PER_BLOCK", pairs)
    np.testing.assert_array_equal(overlap_mean(atlas, peaks).values, whole)
    some = np.arange(0, len(peaks), 3)
    found = atlas.overlap_mean(peaks.take(some).to_frame(), index="faiss")
    np.testing.assert_array_equal(found.values, whole[some])


def test_a_peak_that_is_a_row_alone_is_that_row(tmp_path):
    rows = Intervals.from_columns(["1", "1"], [0, 500], [100, 600])
    writer = begin_toy_atlas(tmp_path / "b.zarr", rows)
    writer.write_shard(0, *toy_rows(2))
    writer.finalise()
    atlas = Atlas.open(tmp_path / "b.zarr")
    np.testing.assert_array_equal(overlap_mean(atlas, rows).values, atlas.gather([0, 1]))


def test_no_peaks(atlas):
    found = overlap_mean(atlas, Intervals.from_columns([], [], []))
    assert found.values.shape == (0, atlas.dim)
    assert found.overlap_bp.shape == (0,)
