"""Rows that were written wrong are found though every document agrees with them."""

import json

import numpy as np
import pytest
import zarr
from zarr.storage import LocalStore

from peakatlas.atlas.check.verify import verify_atlas
from peakatlas.atlas.format.digests import file_digest
from peakatlas.atlas.format.schema import seal_manifest
from peakatlas.atlas.storage.atomic import json_bytes
from tests.atlas_tools import random_intervals, write_toy_atlas


@pytest.fixture
def path(tmp_path):
    write_toy_atlas(tmp_path / "a.zarr", random_intervals(20), shard_rows=8)
    return tmp_path / "a.zarr"


def checksums(shard):
    """CRC32C of the chunks of a file, as the manifest lists them; shards here have one chunk."""
    data = shard.read_bytes()
    return data[-24:-20][::-1].hex()


def rewrite_array(path, name, change):
    """Change the values of an array and make every document agree."""
    array = zarr.open_array(LocalStore(path / "segment-0000"), path=name, mode="r+")
    values = array[:]
    change(values)
    array[:] = values
    manifest = json.loads((path / "manifest.json").read_text())
    listed = manifest["segments"][0]["files"]
    for file in listed:
        at = path / "segment-0000" / file
        sums = {"crc32c": checksums(at)} if "crc32c" in listed[file] else {}
        listed[file] = {"bytes": at.stat().st_size, "sha256": file_digest(at)} | sums
    for log in (path / "segment-0000" / "log").iterdir():
        entry = json.loads(log.read_text())
        entry["files"] = {file: listed[file] for file in entry["files"]}
        log.write_bytes(json_bytes(entry))
    (path / "manifest.json").write_bytes(json_bytes(seal_manifest(manifest)))


def put(row, value):
    return lambda values: values.__setitem__(row, value)


WRONG_ROWS = {
    "moved": ("intervals/start", put(0, 1), "intervals_digest"),
    "backwards": ("intervals/end", put(3, 1), "break 0 <= start < end"),
    "no such contig": ("intervals/contig", put(-1, 7), "contig ids run from 0 to 7, for 2 contigs"),
    "absent": ("state", put(9, 0), "1 row(s) are neither embedded nor masked (rows 9)"),
    "not finite": ("embedding", put((9, 2), np.inf), "1 row(s) do not fit their state (rows 9)"),
    "share": ("n_fraction", put(9, 1.5), "1 row(s) are not from 0 to 1 (rows 9)"),
}


@pytest.mark.parametrize("case", WRONG_ROWS)
def test_rows_that_were_written_wrong_are_found(path, case):
    name, change, text = WRONG_ROWS[case]
    rewrite_array(path, name, change)
    report = verify_atlas(path, deep=name in ("embedding", "n_fraction"))
    assert len(report.faults) == 1
    assert text in report.faults[0].what
    assert report.faults[0].file.startswith(f"segment-0000/{name.split('/')[0]}")
