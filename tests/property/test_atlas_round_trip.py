import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from peakatlas.atlas import Atlas
from peakatlas.atlas.format.digests import DigestIndex, intervals_digest
from peakatlas.atlas.format.ordering import sorted_unique
from peakatlas.engine.intervals.table import Intervals
from tests.atlas_tools import random_intervals, write_toy_atlas

TABLES = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 4), st.integers(1, 3)), max_size=30
)


@settings(max_examples=15, deadline=None)
@given(n=st.integers(1, 40), shard_rows=st.integers(1, 50), rows=st.lists(st.integers(0, 10**6)))
def test_gather_gives_back_what_was_written(n, shard_rows, rows):
    intervals = random_intervals(n)
    with tempfile.TemporaryDirectory() as folder:
        values = write_toy_atlas(Path(folder) / "a.zarr", intervals, shard_rows=shard_rows)
        with Atlas.open(Path(folder) / "a.zarr") as atlas:
            wanted = np.array(rows, np.int64) % n
            np.testing.assert_array_equal(atlas.gather(wanted), values[wanted])
            assert atlas.intervals == intervals


@given(rows=TABLES)
def test_sorted_unique_keeps_every_interval_once(rows):
    chrom, start, width = zip(*rows, strict=True) if rows else ((), (), ())
    start = np.array(start, np.int64)
    given_ = Intervals.from_columns(chrom, start, start + np.array(width, np.int64))
    unique, became = sorted_unique(given_, "cab")
    assert unique.take(became) == given_
    assert not unique.duplicated().any()
    keys = [("cab".index(c), s, e) for c, s, e in unique.to_frame().itertuples(index=False)]
    assert keys == sorted(set(keys))


@given(rows=TABLES)
def test_digest_of_intervals_does_not_depend_on_the_coding_of_contigs(rows):
    chrom, start, width = zip(*rows, strict=True) if rows else ((), (), ())
    start = np.array(start, np.int64)
    table = Intervals.from_columns(chrom, start, start + np.array(width, np.int64))
    recoded = table.recoded(("x", "c", "b", "a"))
    assert intervals_digest(recoded) == intervals_digest(table)


@given(
    known=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2))),
    wanted=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2))),
)
def test_digests_are_found_even_where_their_first_halves_agree(known, wanted):
    def digests(pairs):
        return np.array(pairs, np.uint64).reshape(-1, 2).view(np.uint8)

    rows = np.arange(len(known)) * 10
    found = DigestIndex(digests(known), rows).find(digests(wanted))
    assert found.tolist() == [known.index(w) * 10 if w in known else -1 for w in wanted]
