"""Documents and shards with bytes or structure changed: refused by name, or read right.

``PEAKATLAS_FUZZ_SECONDS`` is the time for all kinds together (3 when not set),
``PEAKATLAS_FUZZ_SEED`` the first seed (0). ``pytest -s`` shows the counts by kind.
"""

import copy
import json
import os
import shutil
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from peakatlas.atlas import Atlas
from peakatlas.atlas.build.cluster import finalise_atlas
from peakatlas.atlas.check.verify import verify_atlas
from peakatlas.atlas.format.digests import file_digest
from peakatlas.atlas.format.schema import seal_manifest
from peakatlas.atlas.storage.atomic import json_bytes
from peakatlas.classifier.bundle.settings import read_settings
from peakatlas.engine.errors import PeakAtlasError
from tests.atlas_tools import random_intervals, toy_spec, write_toy_atlas

SECONDS = float(os.environ.get("PEAKATLAS_FUZZ_SECONDS", "3"))
SEED = int(os.environ.get("PEAKATLAS_FUZZ_SEED", "0"))
N_ROWS = 24
SEGMENT = "segment-0000"
ODD = [
    None, True, -1, 0, 1, 2**31, 2**63, 10**30, 0.5, -0.0, 1e308, "", "..", "../../x", "/etc/x",
    "\x00", "a" * 5000, [], {}, [[]], {"": None}, "segment-0001", "1.9", "int8", ["chr1"] * 3,
]  # fmt: skip
SETTINGS = {
    "format": "peakatlas-bundle",
    "format_version": 5,
    "levels": {"columns": ["a"], "types": [["B", "T"]], "members": [[0, 1]]},
    "contigs": ["chr1", "chr2"],
    "spec": toy_spec().to_json(),
    "spec_digest": toy_spec().digest,
    "batches": ["x"],
    "method": "default",
    "held_out": {"accuracy": 0.9},
    "provenance": {"cells": 10},
    "arrays_file": "arrays-00ff.safetensors",
    "arrays_sha256": "0" * 64,
}


def changed_bytes(data, rng):
    """Flip, cut, double, exchange or insert some bytes."""
    found = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        at, n = int(rng.integers(len(found) + 1)), int(rng.integers(1, 9))
        match int(rng.integers(5)):
            case 0:
                found[at : at + n] = rng.bytes(len(found[at : at + n]))
            case 1:
                del found[at : at + n]
            case 2:
                found[at:at] = found[at : at + n]
            case 3:
                found[at:at] = bytes(rng.choice(list(b'{}[]",:0-eN\\ \n'), n).tolist())
            case 4:
                found = found[:at] if rng.random() < 0.1 else found
    return bytes(found)


def places(values, path=()):
    """Every place in a document."""
    yield path
    if isinstance(values, dict | list):
        for key, each in values.items() if isinstance(values, dict) else enumerate(values):
            yield from places(each, (*path, key))


def changed_values(values, rng):
    """Replace, remove, rename or nest a value somewhere in a document."""
    found = copy.deepcopy(values)
    every = [place for place in places(found) if place]
    *way, last = every[int(rng.integers(len(every)))]
    parent = found
    for key in way:
        parent = parent[key]
    match int(rng.integers(5)):
        case 0 | 1:
            parent[last] = copy.deepcopy(ODD[int(rng.integers(len(ODD)))])
        case 2:
            del parent[last]
        case 3 if isinstance(parent, dict):
            parent[str(ODD[int(rng.integers(len(ODD)))])[:300]] = parent.pop(last)
        case _:
            number = parent[last]
            plain = isinstance(number, int) and not isinstance(number, bool)
            parent[last] = number + int(rng.integers(-3, 4)) if plain else [number]
    return found


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """An atlas, its files, and what is right."""
    root = tmp_path_factory.mktemp("fuzz") / "a.zarr"
    values = write_toy_atlas(root, random_intervals(N_ROWS), shard_rows=8)
    kept = shutil.copytree(root, root.with_name("kept"))
    return root, kept, values


def names(kept, end):
    found = (path.relative_to(kept).as_posix() for path in kept.rglob("*") if path.is_file())
    return sorted(name for name in found if end in f"/{name}" and not name.startswith("."))


def put(root, kept, name, data):
    """Put one changed file into the atlas, and all others as they were."""
    for path in (root / f"{SEGMENT}/plan.json", root / "manifest.json"):
        path.write_bytes((kept / path.relative_to(root)).read_bytes())
    (root / name).write_bytes(data)


def document(name):
    """Bytes of a document: opened, it is refused or read right."""

    def once(world, rng):
        root, kept, values = world
        chosen = str(rng.choice(names(kept, name)))
        put(root, kept, chosen, changed_bytes((kept / chosen).read_bytes(), rng))
        try:
            return read_right(root, values, with_verify=rng.random() < 0.05)
        finally:
            put(root, kept, chosen, (kept / chosen).read_bytes())

    return once


def read_right(root, values, *, with_verify):
    if with_verify:
        verify_atlas(root, deep=True)
        with suppress(PeakAtlasError):
            finalise_atlas(root)
    try:
        atlas = Atlas.open(root)
        np.testing.assert_array_equal(atlas.gather(np.arange(N_ROWS)), values)
        assert atlas.intervals == random_intervals(N_ROWS)
    except PeakAtlasError:
        return "refused"
    return "right"


def sealed_manifest(world, rng):
    """Structure of a manifest, sealed again: refused, or every value right."""
    root, kept, values = world
    manifest = changed_values(json.loads((kept / "manifest.json").read_text()), rng)
    put(root, kept, "manifest.json", json_bytes(seal_manifest(manifest)))
    return read_right(root, values, with_verify=rng.random() < 0.05)


def sealed_plan(world, rng):
    """Structure of a plan that the manifest vouches for: refused, or the rows right.

    What it says of contigs is believed: nothing at hand contradicts it.
    """
    root, kept, values = world
    plan = changed_values(json.loads((kept / SEGMENT / "plan.json").read_text()), rng)
    put(root, kept, f"{SEGMENT}/plan.json", json_bytes(plan))
    manifest = json.loads((kept / "manifest.json").read_text())
    path = root / SEGMENT / "plan.json"
    listed = {"bytes": path.stat().st_size, "sha256": file_digest(path)}
    manifest["segments"][0]["files"]["plan.json"] = listed
    (root / "manifest.json").write_bytes(json_bytes(seal_manifest(manifest)))
    if rng.random() < 0.05:
        verify_atlas(root)
    try:
        atlas = Atlas.open(root)
        np.testing.assert_array_equal(atlas.gather(np.arange(N_ROWS)), values)
        assert len(atlas.intervals) == N_ROWS
    except PeakAtlasError:
        return "refused"
    return "right"


def bundle_settings(_world, rng):
    """Settings of a bundle, by bytes or structure."""
    if rng.random() < 0.5:
        data = changed_bytes(json_bytes(SETTINGS), rng)
    else:
        data = json.dumps(changed_values(SETTINGS, rng)).encode()
    try:
        settings = read_settings(data, "bundle.json", 5)
    except PeakAtlasError:
        return "refused"
    assert Path(settings.arrays_file).name == settings.arrays_file
    assert settings.levels.fault() == ""
    return "right"


KINDS = {
    "manifest, bytes": document("/manifest.json"),
    "manifest, structure": sealed_manifest,
    "plan, bytes": document("/plan.json"),
    "plan, structure": sealed_plan,
    "shard, bytes": document("/c/"),
    "array and group, bytes": document("/zarr.json"),
    "log, bytes": document("/log/"),
    "bundle settings": bundle_settings,
}


@pytest.mark.parametrize("kind", KINDS)
def test_changed_documents_are_refused_or_read_right(world, kind):
    counts, seed = Counter(), SEED
    stop = time.monotonic() + SECONDS / len(KINDS)
    while time.monotonic() < stop or not counts:
        try:
            counts[KINDS[kind](world, np.random.default_rng(seed))] += 1
        except Exception as error:
            error.add_note(f"{kind}, PEAKATLAS_FUZZ_SEED={seed}")
            raise
        seed += 1
    print(f"\n{kind}: {counts.total():,} inputs, {dict(sorted(counts.items()))}")
    assert counts["refused"] + counts["right"] == counts.total()
