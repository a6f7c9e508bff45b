"""A fresh atlas is read by xarray, zarr-python and zarrita alone, value for value."""

import json
import os
import re
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import zarr

from peakatlas.atlas import Atlas, build_atlas, quantise_atlas
from peakatlas.atlas.format.schema import STATES
from tests.atlas_tools import ToyEmbedder, append_toy_rows, random_intervals

ROOT = Path(__file__).parents[4]
FORMAT = (ROOT / "atlas" / "FORMAT.md").read_text("utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, genome):
    """An atlas of two segments as ``atlas.zarr``, and one of int8 as ``int8.zarr``."""
    out = tmp_path_factory.mktemp("readable")
    build_atlas(genome, random_intervals(40), out / "atlas.zarr", ToyEmbedder(), shard_rows=8)
    append_toy_rows(out / "atlas.zarr", random_intervals(10, seed=7), genome)
    quantise_atlas(out / "atlas.zarr", out / "int8.zarr")
    return out


@pytest.fixture(scope="module")
def atlas(folder):
    return Atlas.open(folder / "atlas.zarr")


def block(kind: str) -> str:
    """The reader of this language that the specification prints."""
    (text,) = re.findall(rf"```{kind}\n(.*?)```", FORMAT, re.DOTALL)
    assert "peakatlas" not in text
    assert text.count("\n") <= 10
    return text


def segment_rows(atlas):
    first = np.cumsum([0, *(each["n_rows"] for each in atlas.provenance["segments"])])
    return [
        (f"segment-{number:04d}", np.arange(low, high))
        for number, (low, high) in enumerate(pairwise(first))
    ]


def test_the_python_reader_of_the_specification_finds_every_value(folder, atlas):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    for name, rows in segment_rows(atlas):
        text = block("python").replace("segment-0000", name) + (
            "assert 'peakatlas' not in __import__('sys').modules\n"
            "np.savez('read.npz', chrom=chrom, start=start, end=end, embedding=embedding)\n"
        )
        subprocess.run([sys.executable, "-c", text], cwd=folder, env=environment, check=True)
        with np.load(folder / "read.npz") as read:
            table = atlas.intervals.take(rows)
            assert read["chrom"].tolist() == [table.contigs[code] for code in table.contig_ids]
            np.testing.assert_array_equal(read["start"], table.start)
            np.testing.assert_array_equal(read["end"], table.end)
            np.testing.assert_array_equal(read["embedding"], atlas.gather(rows))


def test_zarr_alone_finds_every_value_and_what_it_means(folder, atlas):
    for name, rows in segment_rows(atlas):
        segment = zarr.open_group(folder / "atlas.zarr" / name, mode="r")
        assert segment.metadata.consolidated_metadata is not None
        np.testing.assert_array_equal(segment["embedding"][:], atlas.gather(rows))
        np.testing.assert_array_equal(segment["digest"][:], atlas.digests[rows])
        np.testing.assert_array_equal(segment["n_fraction"][:], atlas.n_fraction[rows])
        np.testing.assert_array_equal(segment["state"][:], atlas.state[rows])
        assert segment["embedding"].metadata.dimension_names == ("row", "dim")
        assert segment["digest"].metadata.dimension_names == ("row", "digest_byte")
        assert segment["intervals/start"].metadata.dimension_names == ("row",)
        assert segment["state"].attrs["flag_meanings"].split() == list(STATES)
        assert segment.attrs["spec"] == atlas.spec.to_json()
        assert segment.attrs["model"] == {"name": "toy", "licence": "MIT"}
        intervals = segment["intervals"]
        sizes = [atlas.genomes[0]["contigs"][key]["bp"] for key in intervals.attrs["contigs"]]
        assert intervals.attrs["contig_bp"] == sizes


def test_xarray_alone_finds_every_value(folder, atlas):
    xarray = pytest.importorskip("xarray", reason="xarray is not installed")
    for name, rows in segment_rows(atlas):
        with xarray.open_datatree(folder / "atlas.zarr" / name, engine="zarr", chunks=None) as tree:
            assert dict(tree.sizes) == {"row": len(rows), "dim": 8, "digest_byte": 16}
            np.testing.assert_array_equal(tree["embedding"].values, atlas.gather(rows))
            np.testing.assert_array_equal(tree["state"].values, atlas.state[rows])
            np.testing.assert_array_equal(tree["digest"].values, atlas.digests[rows])
            np.testing.assert_array_equal(tree["n_fraction"].values, atlas.n_fraction[rows])
            table = atlas.intervals.take(rows)
            contigs = np.array(tree["intervals"].attrs["contigs"])
            chrom = contigs[tree["intervals/contig"].values]
            assert chrom.tolist() == [table.contigs[code] for code in table.contig_ids]
            np.testing.assert_array_equal(tree["intervals/start"].values, table.start)
            np.testing.assert_array_equal(tree["intervals/end"].values, table.end)


def test_int8_codes_are_decoded_by_what_the_group_says(folder):
    segment = zarr.open_group(folder / "int8.zarr" / "segment-0000", mode="r")
    codes, scale, offset = (
        segment["embedding_int8"][:],
        np.float32(segment.attrs["embedding_scale"]),
        np.float32(segment.attrs["embedding_offset"]),
    )
    values = np.where(codes == -128, np.nan, codes * scale + offset)
    held = Atlas.open(folder / "int8.zarr")
    np.testing.assert_allclose(values, held.gather(np.arange(len(held))), rtol=1e-6)


def node_packages() -> Path | None:
    """A ``node_modules`` with zarrita: of the repository, or as PEAKATLAS_NODE_MODULES says."""
    places = [os.environ.get("PEAKATLAS_NODE_MODULES"), ROOT / "node_modules"]
    found = (Path(place) for place in places if place)
    return next((place for place in found if (place / "zarrita").is_dir()), None)


def test_the_javascript_reader_of_the_specification_finds_every_value(folder, atlas, tmp_path):
    packages = node_packages()
    if shutil.which("node") is None or packages is None:
        pytest.skip("needs node, and zarrita in node_modules or PEAKATLAS_NODE_MODULES")
    (tmp_path / "node_modules").symlink_to(packages.resolve())
    (tmp_path / "atlas.zarr").symlink_to(folder / "atlas.zarr")
    halves = 'import "./half.mjs";\n'  # node before 24 has no Float16Array
    (tmp_path / "half.mjs").write_text(
        "if (!globalThis.Float16Array) globalThis.Float16Array = (await import("
        '"@petamoriken/float16")).Float16Array;\n'
    )
    shown = "console.log(JSON.stringify({chrom, start, values: Array.from(embedding.data)}, " \
        "(_, value) => typeof value === 'bigint' ? Number(value) : value));\n"  # fmt: skip
    (tmp_path / "read.mjs").write_text(halves + block("js") + shown)
    done = subprocess.run(
        ["node", "read.mjs"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    if "ERR_MODULE_NOT_FOUND" in done.stderr:
        pytest.skip("this node has no Float16Array: npm install @petamoriken/float16")
    assert done.returncode == 0, done.stderr
    read = json.loads(done.stdout)
    _, rows = segment_rows(atlas)[0]
    table = atlas.intervals.take(rows)
    assert read["chrom"] == [table.contigs[code] for code in table.contig_ids]
    assert read["start"] == table.start.tolist()
    values = np.array(read["values"], np.float32).reshape(-1, 8)
    np.testing.assert_array_equal(values, atlas.gather(rows))
