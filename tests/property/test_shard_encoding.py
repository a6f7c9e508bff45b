"""Shards are encoded without zarr; zarr would have written the same bytes."""

import hashlib

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from zarr.storage import MemoryStore

from peakatlas.atlas.format.int8 import Int8Code
from peakatlas.atlas.format.schema import EMBEDDED, FORMAT_VERSION, INT8_VERSION, Plan
from peakatlas.atlas.format.shard_encoding import encode_shard
from tests.atlas_tools import toy_spec


def plan_of(n_rows, shard_chunks, chunk_rows, dim, int8):
    code = Int8Code(scale=(0.5,) * dim, offset=(0.0,) * dim) if int8 else None
    return Plan(
        spec=toy_spec(dim=dim), n_rows=n_rows, contigs=("chr1",), intervals_digest="0",
        shard_rows=shard_chunks * chunk_rows, chunk_rows=chunk_rows, int8=code,
        format_version=INT8_VERSION if int8 else FORMAT_VERSION,
    )  # fmt: skip


def columns_of(plan, shard, seed):
    rows = plan.shard_slice(shard)
    n, rng = rows.stop - rows.start, np.random.default_rng(seed)
    codes = rng.integers(-127, 128, (n, plan.spec.dim)).astype(np.int8)
    values = codes if plan.int8 else codes.astype(np.float16)
    if seed % 2 and not plan.int8:
        values[n // 2 :] = np.nan
    return {
        plan.embedding_column: values,
        "digest": rng.integers(0, 256, (n, 16)).astype(np.uint8),
        "n_fraction": rng.random(n).astype(np.float32),
        "state": np.full(n, EMBEDDED, np.uint8),
    }


def written_by_zarr(plan, shard, columns):
    """The files of a shard as zarr makes them, by path."""
    encoded = {}
    store = MemoryStore(encoded)
    for name, values in columns.items():
        array = plan.layouts[name].create(store, attributes={}, named=True)
        array[plan.shard_slice(shard)] = values
    return {path: encoded[path].to_bytes() for path in plan.shard_files(shard).values()}


def checksums(plan, path, data):
    """CRC32C of each chunk, taken from where it lies in the file."""
    layout = plan.layouts[path.split("/")[0]]
    ends = range(layout.chunk_bytes, len(data) - layout.index_bytes, layout.chunk_bytes + 4)
    return "".join(data[end : end + 4][::-1].hex() for end in ends)


@settings(max_examples=40, deadline=None)
@given(
    n_rows=st.integers(1, 60), shard_chunks=st.integers(1, 9), chunk_rows=st.integers(1, 8),
    dim=st.sampled_from([1, 3, 700]), int8=st.booleans(), seed=st.integers(0, 9),
)  # fmt: skip
def test_shards_are_what_zarr_writes(n_rows, shard_chunks, chunk_rows, dim, int8, seed):
    plan = plan_of(n_rows, shard_chunks, chunk_rows, dim, int8)
    for shard in {0, plan.n_shards // 2, plan.n_shards - 1}:
        columns = columns_of(plan, shard, seed)
        encoded = encode_shard(plan, shard, columns)
        files = {path: b"".join(pieces) for path, pieces in encoded.pieces.items()}
        assert files == written_by_zarr(plan, shard, columns)
        assert encoded.entry["files"] == {
            path: {
                "bytes": len(data),
                "sha256": hashlib.sha256(data).hexdigest(),
                "crc32c": checksums(plan, path, data),
            }
            for path, data in files.items()
        }


def test_a_shard_of_the_usual_size_is_what_zarr_writes():
    plan = plan_of(20_000, 16, 1024, 64, int8=False)
    for shard in (0, 1):
        columns = columns_of(plan, shard, 0)
        pieces = encode_shard(plan, shard, columns).pieces
        expected = written_by_zarr(plan, shard, columns)
        assert {path: b"".join(part) for path, part in pieces.items()} == expected
