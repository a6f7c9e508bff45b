"""`peakatlas atlas neighbours` and `mirror`, and `lookup` of a URL."""

import json

import pytest
from typer.testing import CliRunner

from peakatlas.atlas import Atlas
from peakatlas.cli.main import app
from peakatlas.engine.errors import IntervalError
from peakatlas.engine.intervals.readers import parse_region
from tests.atlas_tools import random_intervals, tree_bytes, write_toy_atlas
from tests.web_server import serving

pytest.importorskip("faiss", reason="neighbours need faiss")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("search") / "a.zarr"
    write_toy_atlas(path, random_intervals(200), shard_rows=64)
    return path


def run(*arguments):
    result = CliRunner().invoke(app, ["atlas", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def test_neighbours_as_a_table_and_as_json(path):
    atlas = Atlas.open(path)
    name = atlas.intervals.take([17]).names()[0]
    expected = atlas.neighbours([17], k=3)
    lines = run("neighbours", path, name, "-k", "3").stdout.splitlines()
    assert lines[0] == "row\tchrom\tstart\tend\tcosine"
    assert [int(line.split("\t")[0]) for line in lines[1:]] == expected.row.tolist()
    found = json.loads(run("neighbours", path, name, "-k", "3", "--json").stdout)
    assert (found["query"], found["query_row"], found["recall"]) == (name, 17, None)
    assert [hit["row"] for hit in found["neighbours"]] == expected.row.tolist()
    assert set(found["neighbours"][0]) == {"row", "chrom", "start", "end", "cosine"}


def test_neighbours_in_a_region_by_ivf_with_recall(path):
    name = Atlas.open(path).intervals.take([17]).names()[0]
    options = ("--region", "chr2:0-4e4", "--index", "ivf", "--recall", "--json")
    found = json.loads(run("neighbours", path, name, *options).stdout)
    assert found["recall"] > 0.5
    assert {hit["chrom"] for hit in found["neighbours"]} == {"chr2"}
    assert all(hit["start"] < 40_000 for hit in found["neighbours"])
    whole = json.loads(run("neighbours", path, name, "--region", "chr2", "--json").stdout)
    assert {hit["chrom"] for hit in whole["neighbours"]} == {"chr2"}


def test_mirror_and_lookup_of_a_url(path, tmp_path):
    pytest.importorskip("aiohttp", reason="reading http:// needs aiohttp")
    bed = tmp_path / "peaks.bed"
    bed.write_text("chr1\t500\t900\n")
    with serving(path.parent) as web:
        near, far = run("lookup", path, bed), run("lookup", f"{web.url}/a.zarr", bed)
        assert far.stdout == near.stdout
        info = json.loads(run("info", f"{web.url}/a.zarr", "--json").stdout)
        assert info["n_intervals"] == 200
        assert run("mirror", f"{web.url}/a.zarr", tmp_path / "copy").stdout.strip() == str(
            tmp_path / "copy"
        )
    assert tree_bytes(tmp_path / "copy") == tree_bytes(path)


@pytest.mark.parametrize("text", ["chr1", "chr1:5", "chr1:1.5-3", "chr1:9-3", "chr1:-5-3"])
def test_what_is_no_region_is_refused(text):
    with pytest.raises(IntervalError, match=r"is not a region|break 0 <= start < end"):
        parse_region(text)


def test_regions_as_people_type_them():
    assert parse_region(" HLA-A*01:01:1,000-2e3 ").names() == ["HLA-A*01:01:1000-2000"]


def test_lookup_by_either_index_prints_the_same(path, tmp_path):
    bed = tmp_path / "peaks.bed"
    names = Atlas.open(path).intervals.take([3, 90]).to_frame()
    rows = [*names.itertuples(index=False, name=None), ("chr1", 0, 50_000), ("chrY", 5, 9)]
    bed.write_text("".join("\t".join(map(str, row)) + "\n" for row in rows))
    by_ncls = run("lookup", path, bed, "--max-offset", "40000")
    by_faiss = run("lookup", path, bed, "--max-offset", "40000", "--index", "faiss")
    assert by_faiss.stdout == by_ncls.stdout
    tiers = [line.split("\t")[3] for line in by_ncls.stdout.splitlines()[1:5]]
    assert tiers == ["exact", "exact", "overlap", "missing"]
