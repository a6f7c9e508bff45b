"""`peakatlas atlas verify`, `merge`, `subset` and `quantise` from the command line."""

import json
import shutil

import numpy as np
import pytest

from peakatlas.atlas import Atlas
from tests.atlas_tools import flip


@pytest.fixture
def copied(built, tmp_path):
    return shutil.copytree(built, tmp_path / "copy.zarr")


def test_verify_says_that_an_atlas_is_sound(run, world, built):
    ran = run("atlas", "verify", built, "--deep", "--reembed", 20, "--genome", world / "genome.fa",
              "--model", world.parent / "no-such-model")  # fmt: skip
    assert ran.code == 1
    assert "no-such-model" in ran.err
    assert run("atlas", "verify", built).code == 0
    assert run("atlas", "verify", built, "--deep").out == ""


@pytest.mark.parametrize("command", [("merge",), ("quantise",), ("subset", "--region", "chr1:0-9")])
def test_an_atlas_is_not_written_onto_itself(run, built, command):
    name, *options = command
    ran = run("atlas", name, built, *options, "-o", built)
    assert ran.code == 1
    assert f"{built} is an input ({built}); it would be overwritten" in ran.err


def test_verify_embeds_rows_again(run, world, built, toy_esm):
    ran = run("atlas", "verify", built, "--deep", "--reembed", 20, "--genome", world / "genome.fa",
              "--model", toy_esm, "--json")  # fmt: skip
    assert ran.code == 0, ran.err
    said = json.loads(ran.out)
    assert said["ok"] is True
    assert said["n_reembedded"] == said["n_reembedded_equal"] == 20
    assert said["least_centred_cosine"] == 1
    assert run("atlas", "verify", built, "--reembed", 5).code == 2  # needs --genome


def test_verify_finds_the_folder_of_the_model_in_the_atlas(run, world, copied):
    embed = ("--reembed", 5, "--genome", world / "genome.fa", "--json")
    ran = run("atlas", "verify", copied, *embed)
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["n_reembedded_equal"] == 5


def test_verify_prints_a_line_for_each_fault_and_exits_1(run, copied):
    flip(copied / "segment-0000" / "embedding" / "c" / "0" / "0")
    flip(copied / "zarr.json")
    (copied / "notes.txt").write_text("x")
    ran = run("atlas", "verify", copied, "--deep")
    lines = ran.out.splitlines()
    assert ran.code == 1
    assert [line.partition(":")[0] for line in lines] == [
        "zarr.json", "segment-0000/embedding/c/0/0", "notes.txt",
    ]  # fmt: skip
    assert f"peakatlas atlas verify {copied} --repair --genome GENOME.fa" in lines[1]
    assert "3 fault(s)" in ran.err
    ran = run("atlas", "verify", copied, "--json")
    said = json.loads(ran.out)
    assert ran.code == 1
    assert [fault["file"] for fault in said["faults"]] == ["zarr.json", "notes.txt"]
    assert "--repair" in said["faults"][0]["remedy"]


def test_the_remedy_of_a_damaged_shard_is_true(run, world, copied, toy_esm):
    """What the line says, done; the embedding model makes the same bytes."""
    shard = copied / "segment-0000" / "embedding" / "c" / "0" / "0"
    before = shard.read_bytes(), (copied / "manifest.json").read_bytes()
    flip(shard)
    ran = run("atlas", "verify", copied, "--repair", "--genome", world / "genome.fa",
              "--model", toy_esm)  # fmt: skip
    assert ran.code == 0, ran.err
    assert "wrote anew: segment-0000: shard 0" in ran.err
    assert (shard.read_bytes(), (copied / "manifest.json").read_bytes()) == before
    flip(shard)
    shard.unlink()
    again = run("atlas", "build", world / "genome.fa", world / "peaks.bed", copied,
                "--model", toy_esm)  # fmt: skip
    assert again.code == 0, again.err
    assert (shard.read_bytes(), (copied / "manifest.json").read_bytes()) == before


def test_compact_folds_what_was_appended(run, world, copied):
    genome, more = world / "genome.fa", copied.parent / "more.bed"
    more.write_text("chr1\t100\t600\nchr1\t150\t550\n")
    assert run("atlas", "append", copied, genome, more).code == 0
    n_rows = len(Atlas.open(copied))
    ran = run("atlas", "compact", copied, "--json")
    assert ran.code == 0 and "segments: 2 before, 1 now" in ran.err
    found = json.loads(ran.out)
    assert (found["n_intervals"], found["n_segments"]) == (n_rows, 1)
    assert run("atlas", "verify", copied, "--deep").code == 0


def test_subset_then_merge_gives_the_atlas_back(run, built, tmp_path):
    bed = tmp_path / "first.bed"
    bed.write_text("chr1\t0\t20000\n")
    parts = [tmp_path / "first.zarr", tmp_path / "rest.zarr"]
    assert run("atlas", "subset", built, "--bed", bed, "-o", parts[0]).code == 0
    ran = run("atlas", "subset", built, "--region", "chr1:19000-60000", "-o", parts[1], "--json")
    assert json.loads(ran.out)["n_intervals"] < 60
    merged = run("atlas", "merge", *parts, "-o", tmp_path / "m.zarr")
    assert merged.code == 0, merged.err
    assert "2 repeated intervals were collapsed" in merged.err
    whole, again = Atlas.open(built), Atlas.open(tmp_path / "m.zarr")
    assert again.intervals == whole.intervals
    np.testing.assert_array_equal(again.gather(np.arange(60)), whole.gather(np.arange(60)))
    assert run("atlas", "verify", tmp_path / "m.zarr", "--deep").code == 0


def test_subset_wants_regions(run, built, tmp_path):
    assert run("atlas", "subset", built, "-o", tmp_path / "s.zarr").code == 2
    ran = run("atlas", "subset", built, "--region", "chr7:1-2", "-o", tmp_path / "s.zarr")
    assert ran.code == 1
    assert "no row of" in ran.err


def test_subset_matches_contigs_when_asked(run, built, tmp_path):
    out = tmp_path / "s.zarr"
    words = ("atlas", "subset", built, "--region", "1:0-20000", "-o", out)
    assert run(*words).code == 1
    assert run(*words, "--match-contigs").code == 0
    assert Atlas.open(out).intervals.contigs == ("chr1",)


def test_quantise_prints_its_loss(run, built, tmp_path):
    ran = run("atlas", "quantise", built, "-o", tmp_path / "q.zarr", "--json")
    assert ran.code == 0, ran.err
    said = json.loads(ran.out)
    assert 0.998 < said["least_centred_cosine"] <= said["mean_centred_cosine"] <= 1
    assert said["bytes"] < said["bytes_before"]
    assert run("atlas", "verify", tmp_path / "q.zarr", "--deep").code == 0
    lookup = run("atlas", "lookup", tmp_path / "q.zarr", built.parent / "peaks.bed")
    assert lookup.out.count("exact") == 60
