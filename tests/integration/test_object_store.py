"""Commands that write an atlas into an object store."""

import json

import pytest

from tests.s3_server import s3_bucket


@pytest.fixture
def bucket():
    with s3_bucket() as url:
        yield url


def test_an_atlas_is_built_and_used_at_its_url(run, bucket, world, toy_esm):
    inputs, out = (world / "genome.fa", world / "peaks.bed"), f"{bucket}/a.zarr"
    assert run("atlas", "build", *inputs, out, "--plan").code == 2
    done = run("atlas", "build", *inputs, out, "--model", toy_esm, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["n_intervals"] == 60
    found = run("atlas", "lookup", out, world / "peaks.bed", "--json")
    assert json.loads(found.out)["tiers"]["exact"] == 60, found.err
    assert run("atlas", "verify", out, "--deep").code == 0


def test_an_atlas_is_written_by_separate_commands(run, bucket, world, toy_esm):
    out = f"{bucket}/parts.zarr"
    begun = run("atlas", "init", world / "genome.fa", world / "peaks.bed", out, "--model", toy_esm,
                "--shard-rows", 32)  # fmt: skip
    assert f"peakatlas atlas write-shard {out}" in begun.err
    assert "none is missing" in run("atlas", "write-shard", out, world / "genome.fa",
                                    "--shard", "0-1").err  # fmt: skip
    assert run("atlas", "finalise", out).code == 0


def test_an_absent_bucket_is_named(run, bucket, world, toy_esm):
    done = run("atlas", "build", world / "genome.fa", world / "peaks.bed", "s3://nobody/a.zarr",
               "--model", toy_esm)  # fmt: skip
    assert done.code == 1
    assert "error: s3://nobody/a.zarr: there is no such bucket" in done.err
