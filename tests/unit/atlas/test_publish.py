"""A published atlas says what it is, is copied in order, and is proved from afar."""

import shlex
import shutil
import subprocess

import numpy as np
import pytest

from peakatlas.atlas import Atlas, build_atlas, publish_atlas, verify_atlas
from peakatlas.atlas.format.segment import read_manifest
from peakatlas.engine.errors import AtlasError
from tests.atlas_tools import ToyEmbedder, append_toy_rows, flip, random_intervals, tree_bytes
from tests.web_server import serving


@pytest.fixture(scope="module")
def kept(tmp_path_factory, genome):
    path = tmp_path_factory.mktemp("published") / "a.zarr"
    build_atlas(genome, random_intervals(40), path, ToyEmbedder(), shard_rows=16)
    append_toy_rows(path, random_intervals(9, seed=5), genome)
    return path


@pytest.fixture
def path(kept, tmp_path):
    return shutil.copytree(kept, tmp_path / "a.zarr")


def test_the_card_names_licence_genome_model_and_sizes(path):
    before = tree_bytes(path)
    done = publish_atlas(path, url="https://host/a.zarr")
    card = done.card.read_text("utf-8")
    manifest = read_manifest(path)
    assert card.startswith("---\nlicense: mit\n")
    for text in (
        "# a.zarr", "keeps its licence: MIT", Atlas.open(path).genomes[0]["seqcol"],
        manifest["sha256"], "| rows | 49 |", "peakatlas atlas lookup https://host/a.zarr peaks.bed",
        "| `segment-0001/embedding` | 2 file(s)", "| genome | toy.fa |",
    ):  # fmt: skip
        assert text in card, text
    assert tree_bytes(path) == before | {"README.md": card.encode()}
    sizes = [file.stat().st_size for file in path.rglob("*") if file.is_file()]
    hidden = [file.stat().st_size for file in path.rglob(".*") if file.is_file()]
    assert (done.n_files, done.bytes) == (len(sizes) - len(hidden), sum(sizes) - sum(hidden))
    assert verify_atlas(path, deep=True).ok


def test_a_card_does_not_hinder_what_writes(path, genome):
    publish_atlas(path)
    append_toy_rows(path, random_intervals(5, seed=6), genome)
    build_atlas(genome, random_intervals(40), path, ToyEmbedder())
    assert len(Atlas.open(path)) == 54


def test_text_of_an_atlas_makes_no_markup(tmp_path):
    values = np.ones((2, 3))
    peaks = random_intervals(2)
    model = {"licence": "MIT\n# x | <b>", "citation": "[a](javascript:b)"}
    Atlas.from_embeddings(tmp_path / "a.zarr", peaks, values, "x", model=model)
    card = publish_atlas(tmp_path / "a.zarr").card.read_text("utf-8")
    assert "\\<b\\>" in card and "\n# x" not in card
    assert "\\[a\\](javascript:b)" in card


def test_a_damaged_atlas_is_not_published(path):
    flip(path / "segment-0000" / "embedding" / "c" / "0" / "0")
    with pytest.raises(AtlasError, match=r"1 fault\(s\): segment-0000/embedding/c/0/0: has"):
        publish_atlas(path)
    assert not (path / "README.md").exists()


def test_the_commands_copy_all_but_working_files_and_the_manifest_last(path, tmp_path):
    if shutil.which("rsync") is None:
        pytest.skip("needs rsync")
    (path / ".left.lock").touch()
    (tmp_path / "there").mkdir()
    files, manifest = publish_atlas(path).commands[:2]
    for command, listed in ((files, False), (manifest, True)):
        words = [word.replace("HOST:FOLDER", f"{tmp_path}/there") for word in shlex.split(command)]
        subprocess.run(words, check=True)
        assert (tmp_path / "there/a.zarr/manifest.json").exists() == listed
    assert not list((tmp_path / "there").rglob(".*"))
    assert tree_bytes(tmp_path / "there/a.zarr") == tree_bytes(path)


def test_an_atlas_is_proved_from_afar(tmp_path, genome):
    pytest.importorskip("aiohttp", reason="reading http:// needs aiohttp")
    build_atlas(genome, random_intervals(12), tmp_path / "a.zarr", ToyEmbedder())
    publish_atlas(tmp_path / "a.zarr")
    with serving(tmp_path) as server:
        url = f"{server.url}/a.zarr"
        right = verify_atlas(url, deep=True, source=genome, embedder=ToyEmbedder(), reembed=5)
        assert right.ok, right.faults
        assert right.facts["n_reembedded_equal"] == 5
        wrong = verify_atlas(url, source=genome, embedder=Turned(), reembed=4)
        assert {fault.kind for fault in wrong.faults} == {"model"}


class Turned(ToyEmbedder):
    """Gives each interval the embedding of another."""

    def embed(self, peaks, source, progress=None):
        return super().embed(peaks.take(np.arange(len(peaks))[::-1]), source, progress)
