"""Every family of models passes the same tests."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from toy_models import nt_vocabulary

from peakatlas.engine.dna.sequences import Sequences
from peakatlas.engine.embedder import Embedder
from peakatlas.engine.errors import ModelError
from peakatlas.engine.models.loading import find_model
from peakatlas.engine.models.table import MODELS


def random_dna(n, lengths=(510, 510, 120, 61), seed=0):
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list("ACGT"), lengths[i % len(lengths)])) for i in range(n)]


class ModelContract:
    """What a family must do; subclasses name the fixture of a directory."""

    fixture: str
    loader: str

    @pytest.fixture
    def directory(self, request):
        return request.getfixturevalue(self.fixture)

    def test_family_is_told_from_the_directory(self, directory):
        card, path = find_model(str(directory))
        assert (card.loader, card.dim, path) == (self.loader, 32, directory)

    def test_spec_names_weights_and_vocabulary(self, directory):
        spec = Embedder.load(str(directory)).spec
        assert (spec.model, spec.dim, spec.window) == (directory.name, 32, "centre:510")
        assert len(spec.weights_sha256) == len(spec.tokenizer_sha256) == 64

    @pytest.mark.parametrize("precision", ["bf16", "fp32"])
    def test_same_sequence_same_bytes(self, directory, precision):
        texts = random_dna(12)
        loaded = {b: Embedder.load(str(directory), precision=precision, token_budget=b)
                  for b in (64, 1536)}  # fmt: skip
        together = loaded[1536].embed_sequences(Sequences.from_strings(texts))
        order = np.random.default_rng(1).permutation(len(texts))
        shuffled = loaded[64].embed_sequences(Sequences.from_strings([texts[i] for i in order]))
        assert np.array_equal(shuffled, together[order])
        for text, row in zip(texts, together, strict=True):
            assert np.array_equal(
                loaded[1536].embed_sequences(Sequences.from_strings([text]))[0], row
            )

    def test_bf16_is_close_to_fp32_and_sequences_differ(self, directory):
        dna = Sequences.from_strings(random_dna(12))
        values = {p: Embedder.load(str(directory), precision=p).embed_sequences(dna)
                  for p in ("bf16", "fp32")}  # fmt: skip
        assert values["fp32"].std(0).mean() > 0.01
        np.testing.assert_allclose(values["bf16"], values["fp32"], atol=0.02)

    def test_missing_weights_are_refused(self, directory, tmp_path):
        copy = shutil.copytree(directory, tmp_path / "copy")
        (copy / "model.safetensors").unlink()
        with pytest.raises(ModelError, match=r"no safetensors weights\. Pickled weights are never"):
            Embedder.load(str(copy))

    def test_a_truncated_weight_file_is_refused(self, directory, tmp_path):
        copy = shutil.copytree(directory, tmp_path / "copy")
        weights = copy / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-100])
        with pytest.raises(ModelError, match="damaged weights"):
            Embedder.load(str(copy))

    def test_weights_of_another_shape_are_refused(self, directory, tmp_path):
        copy = shutil.copytree(directory, tmp_path / "copy")
        config = json.loads((copy / "config.json").read_text())
        (copy / "config.json").write_text(json.dumps(config | {"intermediate_size": 64}))
        with pytest.raises(ModelError, match=r"cannot be loaded|absent or misshapen|do not fit"):
            Embedder.load(str(copy))


class TestPeaklm(ModelContract):
    fixture, loader = "toy_peaklm", "peaklm"


class TestEsmRotary(ModelContract):
    fixture, loader = "toy_esm", "esm"


class TestEsmLearntPositions(ModelContract):
    fixture, loader = "toy_absolute", "esm"


class TestEsmGlu(ModelContract):
    fixture, loader = "toy_glu", "esm-glu"


def test_the_card_of_the_shipped_model_is_true():
    card = MODELS["peaklm-v3"]
    weights = Path(card.source, "model.safetensors").read_bytes()
    assert len(weights) <= 8_000_000
    assert hashlib.sha256(weights).hexdigest() in Path(card.source, "README.md").read_text()
    found = find_model(card.source)[0]
    assert (found.dim, found.n_parameters) == (card.dim, card.n_parameters)
    assert found.context_tokens >= card.context_tokens
    values = Embedder.load().embed_sequences(Sequences.from_strings(random_dna(4)))
    assert values.shape == (4, card.dim)
    assert np.isfinite(values).all()


def test_an_unknown_model_is_refused_with_the_known_ones():
    with pytest.raises(
        ModelError, match=r"'nope' is neither a known model nor .* Known: peaklm-v3, "
    ):
        Embedder.load("nope")


def test_another_architecture_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "nonsense"}')
    with pytest.raises(ModelError, match="model type 'nonsense' has no adapter here"):
        Embedder.load(str(tmp_path))


def test_vocabulary_of_the_toys_is_that_of_nucleotide_transformer():
    vocabulary = nt_vocabulary()
    assert len(vocabulary) == 4 + 4**6 + 5
    assert vocabulary[4:6] == ["AAAAAA", "AAAAAT"]
