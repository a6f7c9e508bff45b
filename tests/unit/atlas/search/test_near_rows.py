"""Look-ups that read a few chunks of intervals give what the whole atlas gives."""

import numpy as np
import pytest

from peakatlas.atlas import Atlas
from peakatlas.atlas.format import layout
from peakatlas.atlas.format.interval_runs import chunks_near, run_starts
from peakatlas.atlas.search.lookup import look_up
from peakatlas.engine.errors import AtlasError
from peakatlas.engine.intervals.table import Intervals
from tests.atlas_tools import append_toy_rows, random_intervals, write_toy_atlas
from tests.hostile import edit_plan
from tests.web_server import serving

CONTIGS = ("chr1", "chr2", "chr3")
N_ROWS = 400


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(layout, "INTERVAL_ROWS", 8)
    monkeypatch.setattr(layout, "INTERVAL_CHUNKS", 4)


@pytest.fixture
def path(tmp_path, small_chunks, genome):
    """An atlas of two segments, intervals of many widths among them."""
    rng = np.random.default_rng(0)
    rows = random_intervals(N_ROWS, contigs=CONTIGS[:2], extent=40_000)
    widths = rng.choice([20, 200, 3000], N_ROWS)
    rows = Intervals(rows.contigs, rows.contig_ids, rows.start, rows.start + widths)
    rows = rows.take(rows.genome_order())
    write_toy_atlas(tmp_path / "a.zarr", rows, shard_rows=64)
    append_toy_rows(tmp_path / "a.zarr", random_intervals(30, seed=8), genome)
    return tmp_path / "a.zarr"


def queries(atlas, n, seed):
    """Peaks of the atlas, moved ones, some on a contig that it lacks."""
    rng = np.random.default_rng(seed)
    own = atlas.intervals.take(rng.integers(0, len(atlas), n))
    drawn = random_intervals(n, seed=seed, contigs=CONTIGS, extent=45_000)
    both = Intervals.concatenate([own, drawn])
    return both.take(rng.permutation(len(both))[:n])


@pytest.mark.parametrize("n", [1, 2, 5, 20])
def test_few_chunks_give_the_same_as_all_rows(path, n, monkeypatch):
    whole = Atlas.open(path)
    for seed in range(8):
        peaks, atlas = queries(whole, n, seed), Atlas.open(path)
        monkeypatch.setattr("peakatlas.atlas.atlas.MOST_SHARE", 10.0)
        found = atlas.lookup(peaks, max_offset=500)
        assert "intervals" not in atlas._kept
        wanted = look_up(whole, peaks, max_offset=500)
        for name in ("row", "tier", "overlap_row", "overlap_bp", "centre_offset_bp"):
            np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name), name)


def test_many_rows_are_read_whole_and_kept(path):
    atlas = Atlas.open(path)
    atlas.lookup(atlas.intervals.take([3]))
    assert "intervals" in atlas._kept
    atlas = Atlas.open(path)
    for row in range(0, N_ROWS, 5):
        atlas.lookup(Atlas.open(path).intervals.take([row]))
    assert "intervals" in atlas._kept


def test_a_peak_costs_the_chunks_near_it_and_no_more(path):
    pytest.importorskip("aiohttp", reason="reading http:// needs aiohttp")
    with serving(path.parent) as web:
        atlas = Atlas.open(f"{web.url}/a.zarr")
        web.log.clear()
        found = atlas.lookup(Intervals.from_columns(["chr2"], [20_000], [20_200]))
        assert found.counts()["exact"] == 0
        assert all("/start/" in line or "/end/" in line for line in web.log)
        assert len(web.log) <= 8


def test_runs_are_those_of_contigs_and_chunks(path):
    plan = Atlas.open(path)._segments[0].plan
    table = Atlas.open(path)._segments[0].intervals()
    first = run_starts(np.array(plan.contig_rows), 8)
    bounds = zip(first, [*first[1:], plan.n_rows], plan.interval_runs, strict=True)
    for low, high, (start, end) in bounds:
        assert len(set(table.contig_ids[low:high])) == 1
        assert (table.start[low:high].min(), table.end[low:high].max()) == (start, end)
    nowhere = Intervals.from_columns(["chr3", "chr1"], [5, 0], [10, 1])
    assert chunks_near(plan, nowhere).tolist() == []


@pytest.mark.parametrize(
    "change",
    [
        lambda plan: plan["contig_rows"].pop(),
        lambda plan: plan["contig_rows"].__setitem__(1, 10**6),
        lambda plan: plan["interval_runs"].pop(),
        lambda plan: plan.pop("contig_rows"),
    ],
)
def test_runs_that_do_not_cover_the_rows_are_refused(tmp_path, change):
    write_toy_atlas(tmp_path / "a.zarr", random_intervals(40))
    edit_plan(tmp_path / "a.zarr", change)
    with pytest.raises(AtlasError, match="do not cover the 40 rows of 2 contigs"):
        Atlas.open(tmp_path / "a.zarr")
