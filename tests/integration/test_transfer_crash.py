"""Merging and repairing, killed at many flushes to the disk and begun again."""

import os
import shutil
from functools import partial

import pytest

from peakatlas.atlas import Atlas, compact_atlas, merge_atlases, repair_atlas, verify_atlas
from peakatlas.atlas.build.local import build_atlas
from peakatlas.engine.dna.genome import open_genome
from tests.atlas_tools import (
    ToyEmbedder,
    append_toy_rows,
    random_intervals,
    rows_by_interval,
    tree_bytes,
    write_toy_genome,
)


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    path = tmp_path_factory.mktemp("genome") / "toy.fa"
    return open_genome(write_toy_genome(path, {"chr1": 50_000, "chr2": 50_000}))


def dies(monkeypatch, step, work):
    """Do the work, dying at a flush to the disk; whether it came that far."""
    steps, flush = iter(range(10**6)), os.fsync

    def dying(descriptor):
        if next(steps) == step:
            raise KeyboardInterrupt
        flush(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", dying)
        try:
            work()
        except KeyboardInterrupt:
            return True
    return False


def test_a_merge_that_died_is_not_there_and_is_finished_by_the_same_call(
    tmp_path, monkeypatch, genome
):
    monkeypatch.setattr("peakatlas.atlas.derive.copy_rows.default_shard_rows", lambda n: 8)
    monkeypatch.setattr("peakatlas.atlas.derive.copy_rows.CHUNK_ROWS", 8)
    paths = [tmp_path / "a.zarr", tmp_path / "b.zarr"]
    for seed, path in enumerate(paths):
        build_atlas(genome, random_intervals(9, seed=seed), path, ToyEmbedder())
    merge_atlases(paths, tmp_path / "whole.zarr")
    whole, step = tree_bytes(tmp_path / "whole.zarr"), 0
    while True:
        out = tmp_path / f"{step}.zarr"
        if not dies(monkeypatch, step, partial(merge_atlases, paths, out)):
            break
        finished = (out / "manifest.json").exists()
        assert len(merge_atlases(paths, out)) == 18
        assert tree_bytes(out) == whole, step
        assert not finished or step > 40
        step += 7  # each way to die takes two merges
    assert step > 40


def test_a_compaction_that_died_lost_nothing_and_is_finished_by_the_same_call(
    tmp_path, monkeypatch, genome
):
    grown = tmp_path / "grown" / "a.zarr"
    build_atlas(genome, random_intervals(9), grown, ToyEmbedder())
    for seed in (1, 2):
        append_toy_rows(grown, random_intervals(4, seed=seed), genome)
    before, whole = rows_by_interval(grown), shutil.copytree(grown, tmp_path / "whole" / "a.zarr")
    flushed, flush = [], os.fsync
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: flushed.append(flush(descriptor)))
        compact_atlas(whole)
    n_swapped = 0
    for step in (*range(0, len(flushed), 12), *range(len(flushed) - 5, len(flushed))):
        path = shutil.copytree(grown, tmp_path / str(step) / "a.zarr")
        assert dies(monkeypatch, step, partial(compact_atlas, path))
        assert rows_by_interval(path) == before, step
        assert verify_atlas(path).ok, step
        swapped = len(Atlas.open(path).provenance["segments"]) == 1
        if swapped and n_swapped % 2:  # old segments beside a new one that no manifest lists
            (path / "manifest.json").unlink()
            assert repair_atlas(path) == ["manifest.json"]
            assert rows_by_interval(path) == before, step
        compact_atlas(path)
        assert tree_bytes(path) == tree_bytes(whole), step
        shutil.rmtree(path)
        n_swapped += swapped
    assert n_swapped > 2


def test_a_repair_that_died_is_finished_by_the_same_call(tmp_path, monkeypatch, genome):
    sound = tmp_path / "sound.zarr"
    build_atlas(genome, random_intervals(12), sound, ToyEmbedder(), shard_rows=4)
    whole, step, died = tree_bytes(sound), 0, True
    while died:
        hurt = shutil.copytree(sound, tmp_path / f"{step}.zarr")
        for name in ("zarr.json", "segment-0000/log/shard-00001.json"):
            (hurt / name).write_bytes(b"{}")
        for name in ("embedding/c/0/0", "state/c/2"):
            data = bytearray((hurt / "segment-0000" / name).read_bytes())
            data[1] ^= 1
            (hurt / "segment-0000" / name).write_bytes(data)
        work = partial(repair_atlas, hurt, source=genome, embedder=ToyEmbedder)
        died = dies(monkeypatch, step, work)
        if died:
            work()
        assert tree_bytes(hurt) == whole, step
        assert (hurt / "manifest.json").read_bytes() == (sound / "manifest.json").read_bytes()
        assert verify_atlas(hurt, deep=True).ok
        assert len(Atlas.open(hurt)) == 12
        step += 2
    assert step > 15
