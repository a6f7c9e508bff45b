"""The configuration of a model's folder is believed only as far as its weights go."""

import json

import pytest

from peakatlas.engine.embedder import Embedder
from peakatlas.engine.errors import ModelError
from peakatlas.engine.models.peaklm import read_model
from tests.toy_models import write_toy_peaklm


@pytest.fixture
def folder(tmp_path):
    return write_toy_peaklm(tmp_path / "m")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"hidden_size": 10**6}, "describes [0-9,]+ weights, and model.safetensors has"),
        ({"num_hidden_layers": 10**9}, "describes [0-9,]+ weights"),
        ({"n_filters": 10**12}, "describes [0-9,]+ weights"),
        ({"hidden_size": 32.5}, "Expected `int`, got `float`"),
        ({"hidden_size": -32}, "not a positive number"),
        ({"hidden_size": "32"}, "not a positive number"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(folder, changes, text):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))
    with pytest.raises(ModelError, match=text):
        read_model(folder)


@pytest.mark.parametrize("text", ["", "[]", "[" * 10**5, '{"a": NaN}', " " * (1 << 25)])
def test_a_configuration_that_is_none_is_refused(folder, text):
    (folder / "config.json").write_text(text)
    with pytest.raises(ModelError, match=r"JSON|bytes"):
        Embedder.load(str(folder))
