"""Merging and subsetting, compared with doing it row by row in a dictionary."""

import hashlib
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from peakatlas.atlas import Atlas, AtlasWriter, merge_atlases, subset_atlas
from peakatlas.atlas.derive.contig_order import joint_contigs
from peakatlas.atlas.format.schema import EMBEDDED, MASKED
from peakatlas.engine.intervals.table import Intervals
from tests.atlas_tools import toy_spec

KEYS = st.sets(
    st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(0, 40), st.integers(1, 9)), min_size=1
)


def row_of(key):
    """Values, digest, N fraction and state that follow from an interval."""
    digest = np.frombuffer(hashlib.blake2b(repr(key).encode(), digest_size=16).digest(), np.uint8)
    if digest[0] < 30:
        return np.full(8, np.nan), digest, 1.0, MASKED
    return digest[:8].astype(np.float32) / 8, digest, digest[1] / 256, EMBEDDED


def write(path, keys, shard_rows):
    ordered = sorted(keys)
    chrom, start, width = zip(*ordered, strict=True)
    start = np.array(start)
    rows = Intervals.from_columns(chrom, start, start + np.array(width))
    writer = AtlasWriter.create(
        path, rows, toy_spec(), genome={"name": "g"}, model={}, shard_rows=shard_rows
    )
    columns = [np.array(column) for column in zip(*map(row_of, ordered), strict=True)]
    for shard in range(writer.n_shards):
        writer.write_shard(shard, *(column[writer.shard_rows_of(shard)] for column in columns))
    writer.finalise()


def check_holds(atlas, keys):
    ordered = sorted(keys)
    assert atlas.intervals.names() == [f"{c}:{s}-{s + w}" for c, s, w in ordered]
    values, digests, share, state = (
        np.array(column) for column in zip(*map(row_of, ordered), strict=True)
    )
    np.testing.assert_array_equal(atlas.gather(np.arange(len(ordered))), values.astype(np.float32))
    np.testing.assert_array_equal(atlas.digests, digests)
    np.testing.assert_array_equal(atlas.n_fraction, share.astype(np.float32))
    np.testing.assert_array_equal(atlas.state, state)


@settings(max_examples=7, deadline=None)
@given(parts=st.lists(KEYS, min_size=1, max_size=3), shard_rows=st.integers(1, 8))
def test_a_merge_is_the_union(parts, shard_rows):
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}.zarr" for number in range(len(parts))]
        for path, keys in zip(paths, parts, strict=True):
            write(path, keys, shard_rows)
        check_holds(merge_atlases(paths, Path(folder) / "m.zarr"), set().union(*parts))


@settings(max_examples=7, deadline=None)
@given(keys=KEYS, regions=KEYS, shard_rows=st.integers(1, 8))
def test_a_subset_is_what_overlaps(keys, regions, shard_rows):
    kept = {
        (c, s, w)
        for c, s, w in keys
        if any(c == d and s < t + v and t < s + w for d, t, v in regions)
    }
    if not kept:
        return
    chrom, start, width = zip(*regions, strict=True)
    start = np.array(start)
    table = Intervals.from_columns(chrom, start, start + np.array(width))
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "a.zarr", keys, shard_rows)
        subset = subset_atlas(Path(folder) / "a.zarr", Path(folder) / "s.zarr", table)
        check_holds(subset, kept)
        assert Atlas.open(Path(folder) / "s.zarr").info()["n_intervals"] == len(kept)


@given(
    order=st.permutations(["chr1", "chr2", "chr10", "chrX", "alt"]),
    picks=st.lists(st.sets(st.integers(0, 4)), max_size=5),
)
def test_contigs_of_parts_of_one_genome_keep_its_order(order, picks):
    lists = [[order[i] for i in sorted(pick)] for pick in picks]
    joint = joint_contigs(lists)
    assert set(joint) == {name for names in lists for name in names}
    for names in lists:
        assert [name for name in joint if name in names] == names
    assert joint_contigs(lists[::-1]) == joint
