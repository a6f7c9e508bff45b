"""What is identity in a spec and what is not."""

import shutil

import pytest

from peakatlas.engine.embedder import Embedder
from peakatlas.engine.errors import ModelError
from peakatlas.engine.spec import EmbeddingSpec

FIELDS = {"model": "a", "weights_sha256": "0" * 64, "tokenizer_sha256": "1" * 64, "dim": 8,
          "window": "centre:60"}  # fmt: skip


def test_a_spec_does_not_depend_on_the_folder(toy_esm, tmp_path):
    here = Embedder.load(str(toy_esm)).spec
    there = Embedder.load(str(shutil.copytree(toy_esm, tmp_path / "elsewhere"))).spec
    assert (here.model, there.model) == (toy_esm.name, "elsewhere")
    assert here == there
    assert here.digest == there.digest
    assert here.difference(there) == ""


def test_the_configuration_is_part_of_the_identity(toy_esm, tmp_path):
    copy = shutil.copytree(toy_esm, tmp_path / "copy")
    config = (copy / "config.json").read_text()
    (copy / "config.json").write_text(
        config.replace('"token_dropout": true', '"token_dropout": false')
    )
    ours, theirs = Embedder.load(str(toy_esm)).spec, Embedder.load(str(copy)).spec
    assert ours.difference(theirs).startswith("config_sha256: ")
    assert ours.digest != theirs.digest


def test_a_spec_written_before_a_field_was_added_reads_as_it_was():
    old = EmbeddingSpec.from_json(FIELDS)
    assert (old.max_n_fraction, old.config_sha256) == (1, "")
    assert EmbeddingSpec.from_json(old.to_json()) == old
    with pytest.raises(TypeError, match="colour"):
        EmbeddingSpec.from_json(FIELDS | {"colour": "red"})


def test_difference_names_the_models_only_where_the_weights_differ():
    other = EmbeddingSpec(**FIELDS | {"model": "b", "weights_sha256": "2" * 64})
    renamed = EmbeddingSpec(**FIELDS | {"model": "b", "layer": 1})
    spec = EmbeddingSpec(**FIELDS)
    assert spec.difference(other).startswith("model: a != b, weights_sha256: 0")
    assert spec.difference(renamed) == "layer: -1 != 1"


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_a_share_outside_0_to_1_is_refused(share):
    with pytest.raises(ModelError, match="is not from 0 to 1"):
        EmbeddingSpec(**FIELDS, max_n_fraction=share)
